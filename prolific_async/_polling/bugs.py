"""Bugs in waiting: they end the waits they concern, with a log record, and stop no other."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from prolific_async._logging import log as _log
from prolific_async._messages import brief
from prolific_async._tracebacks import without_frames
from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from prolific_async._polling.kinds import Key
    from prolific_async._polling.wait import Wait

BUGS = (Exception, asyncio.CancelledError)
"""What a callback or a policy of the caller's may raise by mistake."""


def log_bug(error: BaseException) -> None:
    """Log a bug that concerns no single wait."""
    _log.error("polling is broken", exc_info=error)


def bug(key: Key, error: BaseException) -> ProlificError:
    """Log a bug in waiting for something, and return the error that its waits fail with."""
    _log.error("waiting for %s is broken", key, exc_info=error)
    failure = ProlificError(
        "this is a bug, of this package or of a policy or log handler that it was given "
        f"({brief(repr(error))}); the log has its traceback"
    )
    # Its frames hold the waits, which are to hold it.
    failure.failure = without_frames(error)
    return failure


def fail(wait: Wait, error: BaseException, now: float) -> None:
    """Log a bug, and end the wait that it concerns."""
    failure = bug(wait.key, error)
    with suppress(*BUGS):  # the wait may be what is broken
        if wait.outcome is None:
            wait.fail(failure, now)
