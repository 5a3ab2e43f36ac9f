"""Handling of bugs in waits: each is logged and ends the waits that it affects, but no other."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from prolific_async._logging import log as _log
from prolific_async._message_parts import brief
from prolific_async._tracebacks import without_frames
from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from prolific_async._polling.kinds import Key
    from prolific_async._polling.wait import Wait

CALLBACK_ERRORS = (Exception, asyncio.CancelledError)
"""Exceptions that a callback or policy of the caller may raise by mistake."""


def log_bug(error: BaseException) -> None:
    """Log a bug that does not belong to a particular wait."""
    _log.error("polling is broken", exc_info=error)


def logged_failure(key: Key, error: BaseException) -> ProlificError:
    """Log a bug in waiting for a target, and return the error with which its waits fail."""
    _log.error("waiting for %s is broken", key, exc_info=error)
    failure = ProlificError(
        "this is a bug, of this package or of a policy or log handler that it was given "
        f"({brief(repr(error))}); the log has its traceback"
    )
    # Frames would refer to the waits, which will refer to this error: a reference cycle.
    failure.failure = without_frames(error)
    return failure


def end_with_bug(wait: Wait, error: BaseException, now: float) -> None:
    """Log a bug in a wait, and end this wait with an error."""
    failure = logged_failure(wait.key, error)
    with suppress(*CALLBACK_ERRORS):  # the wait itself may be broken
        if wait.outcome is None:
            wait.fail(failure, now)
