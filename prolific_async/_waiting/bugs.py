"""Ends the waits that a bug concerns, and logs it; all others go on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from prolific_async._frames import without_frames
from prolific_async._logs import log as _log
from prolific_async._wording import brief
from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prolific_async._waiting.waiter import Waiter

BUGS = (Exception, asyncio.CancelledError)
"""What a waiter may raise by mistake, as a policy of the caller's may; it stops no other one."""


def log(what: str, name: str | None, error: BaseException) -> None:
    """Log a bug with its traceback."""
    _log.error("%s %s is broken", what, name, exc_info=error)


def fail(
    key: str,
    waiters: Mapping[Waiter, asyncio.Future[None] | None],
    error: BaseException,
    now: float,
) -> None:
    """Log a bug, and end the waiters of one key that it concerns.

    Args:
        key: What they wait for.
        waiters: Each with the future to settle, None for none.
        error: What was raised; its traceback is logged, then dropped.
        now: The loop's time in seconds.

    """
    failure = told(key, error)
    for waiter, done in waiters.items():
        end(waiter, done, failure, now)


def told(key: str, error: BaseException) -> ProlificError:
    """Log a bug in waiting for a key, and return what its waiters fail with."""
    log("waiting for", key, error)
    failure = ProlificError(
        "this is a bug, of this package or of a policy or log handler that it was given "
        f"({brief(repr(error))}); the log has its traceback"
    )
    # Its frames hold the waiters, which are to hold it.
    failure.failure = without_frames(error)
    return failure


def end(
    waiter: Waiter, done: asyncio.Future[None] | None, failure: ProlificError, now: float
) -> None:
    """End a waiter that a bug concerns."""
    with suppress(*BUGS):  # the waiter may be what is broken
        if not waiter.is_over:
            waiter.fail(failure, now)
    settle(done)


def settle(done: asyncio.Future[None] | None) -> None:
    """Tell who awaits a waiter that it is over."""
    if done is not None and not done.done():
        done.set_result(None)
