"""Retries: which failures may be tried again, and after which pause; sole user of ``backoff``."""

from __future__ import annotations

import asyncio
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, TypeVar

from prolific_async._logging import log as _log
from prolific_async.errors import (
    APIStatusError,
    ConfigurationError,
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


def may_get_again(error: ProlificError) -> bool:
    """Return whether a GET may be retried after this failure."""
    if isinstance(error, APIStatusError):
        return error.status in _GET_AGAIN
    return isinstance(error, TransportError)


def may_poll_again(error: ProlificError) -> bool:
    """Return whether a wait may poll again after this failure of a poll."""
    if isinstance(error, APIStatusError):
        return isinstance(error, ServerError) or error.status in _POLLS_AGAIN
    return isinstance(error, TransportError | DecodeError)


def did_not_run(error: ProlificError) -> bool:
    """Return whether a POST with this failure surely did not run, so that a retry is safe."""
    return isinstance(error, ConnectError | RateLimitedError)


def may_have_run(error: ProlificError) -> bool:
    """Return whether a POST may have run in spite of this failure."""
    if isinstance(error, APIStatusError):
        return isinstance(error, ServerError) or error.status in _MAY_HAVE_RUN
    if isinstance(error, TransportError):
        return not isinstance(error, ConnectError)
    return isinstance(error, DecodeError)


def pauses(policy: RetryPolicy) -> Iterator[float]:
    """Yield the seconds before each further attempt: exponential, with full jitter.

    The caller waits longer if the service asks for that (``capped_retry_after``).
    """
    import backoff  # noqa: PLC0415 - 1 % of the import time, needed only after a failure

    # Without islice, backoff's exponent would grow until it overflows, such as if initial is 0.
    growing = backoff.expo(factor=policy.initial, max_value=policy.maximum)
    bounds = chain(islice(growing, 1, 1000), repeat(policy.maximum if policy.initial else 0.0))
    return map(backoff.full_jitter, bounds)


def capped_retry_after(failure: ProlificError, policy: RetryPolicy) -> float:
    """Return the ``Retry-After`` of a failure in seconds, capped by the policy; 0 for none."""
    return min(_retry_after(failure), policy.retry_after_cap)


def _retry_after(failure: ProlificError) -> float:
    """Return the ``Retry-After`` of a failure in seconds, 0 for none."""
    return (failure.retry_after or 0.0) if isinstance(failure, APIStatusError) else 0.0


class Failures:
    """Counts the failures of one call; decides whether to try again, and after which pause.

    After a ``Retry-After`` above ``retry_after_cap``, the call is not repeated: its error tells how
    long to wait, and to wait that long here would look like a hang.

    Args:
        policy: The number of attempts, and the pauses between them.
        again: Returns whether a failure may be tried again.

    """

    def __init__(self, policy: RetryPolicy, again: Callable[[ProlificError], bool]) -> None:
        self._policy = policy
        self._again = again
        self._count = 0
        self._pauses = pauses(policy)

    def pause_after(self, error: ProlificError) -> float | None:
        """Count a failure; return the seconds before the next attempt, None if there is none."""
        self._count += 1
        attempts, asked = self._policy.max_attempts, _retry_after(error)
        if (
            self._count == attempts
            or not self._again(error)
            or asked > self._policy.retry_after_cap
        ):
            if not isinstance(error, ConfigurationError):  # raised before anything was sent
                error.attempts = self._count
            return None
        pause = max(next(self._pauses), asked)
        _log.info("attempt %d of %d: %s; next in %.2f s", self._count, attempts, error, pause)
        return pause


def retrying(
    call: Callable[[A], Awaitable[T]],
    policy: RetryPolicy,
    again: Callable[[ProlificError], bool],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Callable[[A], Awaitable[T]]:
    """Wrap a call of one or more requests, so that it is repeated as ``Failures`` says.

    Args:
        call: Makes one attempt.
        policy: As in ``Failures``.
        again: As in ``Failures``.
        sleep: Waits the given seconds, or until the client is closed.

    """

    async def wrapped(argument: A) -> T:
        failures: Failures | None = None
        while True:
            try:
                return await call(argument)
            except ProlificError as error:
                failures = failures or Failures(policy, again)
                if (pause := failures.pause_after(error)) is None:
                    raise
            await sleep(pause)

    return wrapped
