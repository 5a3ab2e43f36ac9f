"""Retries: which failures may be tried again, and after which pause; sole user of ``backoff``."""

from __future__ import annotations

import asyncio
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, TypeVar

from prolific_async._logging import log as _log
from prolific_async.errors import (
    APIStatusError,
    ConnectError,
    DecodeError,
    ProlificError,
    RateLimitedError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prolific_async.policies import RetryPolicy

A = TypeVar("A")
T = TypeVar("T")

_GET_AGAIN = frozenset({429, 500, 502, 503, 504})
_POLLS_AGAIN = frozenset({408, 425, 429})
_MAY_HAVE_RUN = frozenset({408})


def get_again(error: ProlificError) -> bool:
    """Return whether a GET with this failure is worth another attempt at once."""
    if isinstance(error, APIStatusError):
        return error.status in _GET_AGAIN
    return isinstance(error, TransportError)


def may_poll_again(error: ProlificError) -> bool:
    """Return whether a wait may poll again after this failure of a poll."""
    if isinstance(error, APIStatusError):
        return isinstance(error, ServerError) or error.status in _POLLS_AGAIN
    return isinstance(error, TransportError | DecodeError)


def did_not_run(error: ProlificError) -> bool:
    """Return whether a POST with this failure surely did not run, so that it may be sent again."""
    return isinstance(error, ConnectError | RateLimitedError)


def may_have_run(error: ProlificError) -> bool:
    """Return whether a POST with this failure may have run all the same."""
    if isinstance(error, APIStatusError):
        return isinstance(error, ServerError) or error.status in _MAY_HAVE_RUN
    if isinstance(error, TransportError):
        return not isinstance(error, ConnectError)
    return isinstance(error, DecodeError)


def pauses(policy: RetryPolicy) -> Iterator[float]:
    """Yield the seconds before each further attempt: exponential, with full jitter.

    What the service asks for (``hint``) is a floor, for the caller to add after the jitter.
    """
    import backoff  # noqa: PLC0415 - 1 % of this package's import, which only a failure pays

    # backoff doubles without end what never comes to the maximum, until it overflows.
    growing = backoff.expo(factor=policy.initial, max_value=policy.maximum)
    bounds = chain(islice(growing, 1, 1000), repeat(policy.maximum if policy.initial else 0.0))
    return map(backoff.full_jitter, bounds)


def hint(failure: ProlificError, policy: RetryPolicy) -> float:
    """Return the seconds that the service asked to wait, capped by the policy, 0 if it did not."""
    return min(_asked(failure), policy.retry_after_cap)


def _asked(failure: ProlificError) -> float:
    """Return the seconds that the service asked to wait, 0 if it did not."""
    return (failure.retry_after or 0.0) if isinstance(failure, APIStatusError) else 0.0


def retrying(
    call: Callable[[A], Awaitable[T]],
    policy: RetryPolicy,
    again: Callable[[ProlificError], bool],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Callable[[A], Awaitable[T]]:
    """Wrap a call so that a ProlificError of which ``again`` is true repeats it.

    A failure that asks for a longer wait than ``retry_after_cap`` is not repeated: its error says
    how long, and holding the caller for it would be a hang.

    Args:
        call: Makes one attempt.
        policy: How many attempts there are, and how long the pauses between them.
        again: Returns whether a failure may be tried again.
        sleep: Waits so many seconds, or until the client is closed.

    """

    async def wrapped(argument: A) -> T:
        failures = 0
        gaps: Iterator[float] | None = None  # made at the first failure
        while True:
            try:
                return await call(argument)
            except ProlificError as error:
                failures += 1
                if (
                    failures == policy.max_attempts
                    or not again(error)
                    or _asked(error) > policy.retry_after_cap
                ):
                    raise
                gaps = gaps or pauses(policy)
                gap = max(next(gaps), _asked(error))
                told = "attempt %d of %d: %s; next in %.2f s"
                _log.info(told, failures, policy.max_attempts, error, gap)
            await sleep(gap)

    return wrapped
