"""Time limit of requests: one timer for all of them.

Each request has the same number of seconds, so their deadlines come in the order in which they
began, and a dict keeps that order. ``asyncio.timeout``, which sets a timer
for each, costs 7 % more of a whole request (benchmarks/README.md).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class TimeLimit:
    """A time limit of ``seconds`` for each request in one event loop."""

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = seconds
        self._loop = loop
        self._deadlines: dict[Timed, float] = {}
        # Stays armed when the last request has ended: mostly another one begins at once.
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def start(self, timed: Timed) -> None:
        """Start the time of a ``Timed``."""
        deadline = self._deadlines[timed] = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._fire, deadline)

    def stop(self, timed: Timed) -> None:
        """Stop the time of a ``Timed``, if it runs."""
        self._deadlines.pop(timed, None)

    def close(self) -> None:
        """Interrupt every ``Timed``, and cancel the timer; none may be started after this."""
        for timed in self._deadlines:
            timed.expire()
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, due: float) -> None:
        self._timer = None
        # The loop calls a little early, within its clock's resolution.
        now = max(due, self._loop.time())
        for timed, deadline in list(self._deadlines.items()):
            if deadline > now:
                self._timer = self._loop.call_at(deadline, self._fire, deadline)
                return
            del self._deadlines[timed]
            timed.expire()


class Timed:
    """Context manager that raises TimeoutError in its task when its time is over.

    The cancellation rules are those of ``asyncio.timeout``.
    """

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
        self._limit.stop(self)

    def resume(self) -> None:
        """Start the time anew, unless it was over before it was stopped."""
        if not self._expired:
            self._limit.start(self)

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._limit.start(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_over = False
        if not self._expired:
            self._limit.stop(self)
        # Somebody else's cancellation that came at the same time must not be swallowed.
        elif self._task.uncancel() <= self._cancelling:
            is_over = kind is asyncio.CancelledError
        del self._task  # else an error that ends the task is in a cycle with it
        if is_over:
            raise TimeoutError from error
