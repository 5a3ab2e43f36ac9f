"""Bounds attempts in time with one timer for all of them.

Each attempt is given the same number of seconds, so their deadlines come in the order in which they
began, and a dict keeps that order. A timer for each, as aiohttp and asyncio set, costs about a
tenth of a whole request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class TimeLimit:
    """So many seconds for each attempt, in one event loop."""

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = seconds
        self._loop = loop
        self._deadlines: dict[Attempt, float] = {}
        # Stays armed when the last attempt has ended: mostly another one begins at once.
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def attempt(self) -> Attempt:
        """Return a context manager that raises TimeoutError in its task when time is over."""
        return Attempt(self)

    def close(self) -> None:
        """Interrupt every attempt, and disarm the timer."""
        for attempt in self._deadlines:
            attempt.expire()
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, attempt: Attempt) -> None:
        """Start an attempt's time."""
        deadline = self._deadlines[attempt] = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._fire, deadline)

    def end(self, attempt: Attempt) -> None:
        """Stop an attempt's time, if it runs."""
        self._deadlines.pop(attempt, None)

    def _fire(self, due: float) -> None:
        self._timer = None
        # The loop calls a little early, within its clock's resolution.
        now = max(due, self._loop.time())
        for attempt, deadline in list(self._deadlines.items()):
            if deadline > now:
                self._timer = self._loop.call_at(deadline, self._fire, deadline)
                return
            del self._deadlines[attempt]
            attempt.expire()


class Attempt:
    """One stretch of a task's time, with the cancellation rules of ``asyncio.timeout``."""

    __slots__ = ("_cancelling", "_expired", "_limit", "_task")

    _task: asyncio.Task[object]

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self._expired = False

    def expire(self) -> None:
        """Interrupt the task."""
        self._expired = True
        self._task.cancel()

    def pause(self) -> None:
        """Stop the time; ``resume`` gives all of it again."""
        self._limit.end(self)

    def resume(self) -> None:
        """Start the time anew, unless it was over before it was stopped."""
        if not self._expired:
            self._limit.begin(self)

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an attempt needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._limit.begin(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_over = False
        if not self._expired:
            self._limit.end(self)
        # Somebody else's cancellation that came at the same time must not be swallowed.
        elif self._task.uncancel() <= self._cancelling:
            is_over = kind is asyncio.CancelledError
        del self._task  # else an error that ends the task is in a cycle with it
        if is_over:
            raise TimeoutError from error
