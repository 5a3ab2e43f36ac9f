"""When a failure may be tried again, and after which pause; sole user of ``backoff``."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

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
    from collections.abc import Awaitable, Callable, Generator

    from prolific_async.policies import RetryPolicy

A = TypeVar("A")
T = TypeVar("T")

_GET_AGAIN = frozenset({429, 500, 502, 503, 504})
_POLLS_AGAIN = frozenset({408, 425, 429})
_MAY_HAVE_RUN = frozenset({408})


def get_again(error: ProlificError) -> bool:
    """Tell whether a GET that failed so is worth another attempt at once."""
    if isinstance(error, APIStatusError):
        return error.status in _GET_AGAIN
    return isinstance(error, TransportError)


def may_poll_again(error: ProlificError) -> bool:
    """Tell whether a wait that failed to poll may poll again later."""
    if isinstance(error, APIStatusError):
        return isinstance(error, ServerError) or error.status in _POLLS_AGAIN
    return isinstance(error, TransportError | DecodeError)


def did_not_run(error: ProlificError) -> bool:
    """Tell whether a POST that failed so surely changed nothing, so that it may be sent again."""
    return isinstance(error, ConnectError | RateLimitedError)


def may_have_run(error: ProlificError) -> bool:
    """Tell whether a POST that failed so may have changed something all the same."""
    if isinstance(error, APIStatusError):
        return isinstance(error, ServerError) or error.status in _MAY_HAVE_RUN
    if isinstance(error, TransportError):
        return not isinstance(error, ConnectError)
    return isinstance(error, DecodeError)


def pauses(policy: RetryPolicy) -> Generator[float, ProlificError | None]:
    """Generate the seconds before each further attempt; each failure is sent in.

    Full jitter lies between nothing and the exponential bound, so it is applied here, before the
    service's own hint: that one is a floor which no jitter may undercut.
    """
    import backoff  # noqa: PLC0415 - as in retrying

    # Kept as a number, since a failure that this holds would be in a cycle with its own traceback.
    asked = hint((yield 0.0), policy)
    # backoff doubles without end what never comes to the maximum, until it overflows.
    growing = backoff.expo(factor=policy.initial, max_value=policy.maximum)
    bounds = chain(islice(growing, 1, 1000), repeat(policy.maximum if policy.initial else 0.0))
    while True:
        asked = hint((yield max(backoff.full_jitter(next(bounds)), asked)), policy)


def hint(failure: ProlificError | None, policy: RetryPolicy) -> float:
    """Return the seconds that the service asked to wait, capped by the policy, 0 if it did not."""
    return min(_asked(failure), policy.retry_after_cap)


def _asked(failure: object) -> float:
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

    An answer that asks for a longer wait than ``retry_after_cap`` is not repeated: its error says
    how long, and holding the caller for it would be a hang.

    Args:
        call: Makes one attempt.
        policy: How many attempts there are, and how long the pauses between them.
        again: Tells whether a failure may be tried again.
        sleep: Waits so many seconds, or until the client is closed.

    """
    import backoff  # noqa: PLC0415 - 1 % of this package's import, which only a client pays

    def give_up(error: Exception) -> bool:
        return not again(cast("ProlificError", error)) or _asked(error) > policy.retry_after_cap

    async def pause(details: Any) -> None:
        seconds = details["args"][2].send(details["exception"])
        _log.info(
            "attempt %d of %d: %s; next in %.2f s",
            details["tries"],
            policy.max_attempts,
            details["exception"],
            seconds,
        )
        await sleep(seconds)

    # backoff would by default jitter below a hint, log what it retries and count wall-clock time.
    # Its own pauses cannot be cut short, so they take no time.
    @backoff.on_exception(
        partial(backoff.constant, interval=0),
        ProlificError,
        max_tries=policy.max_attempts,
        giveup=give_up,
        on_backoff=pause,
        jitter=None,
        logger=None,
    )
    async def repeat(
        argument: A,
        failures: list[ProlificError],
        _: Generator[float, ProlificError | None],
    ) -> T:
        if failures:
            raise failures.pop()
        return await call(argument)

    async def wrapped(argument: A) -> T:
        # The first attempt is made outside of backoff, whose machinery costs about a tenth of a
        # request, and is handed in only if it failed.
        try:
            return await call(argument)
        except ProlificError as error:
            failures = [error]
        waits = pauses(policy)
        next(waits)
        return await repeat(argument, failures, waits)

    return wrapped
