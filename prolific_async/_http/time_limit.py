"""Time limit of requests: one timer for all requests.

All requests have the same time limit, so their time is over in the order in which they began, which
a dict keeps. With ``asyncio.timeout``, which sets a timer for each request, a whole request costs
7 % more CPU (benchmarks/README.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Interruptible(Protocol):
    """Work that can be interrupted: its time limit is over, or the client is closed."""

    def interrupt(self) -> None:
        """Interrupt the work."""


class TimeLimit:
    """The same time limit for each request, in one event loop.

    Attributes:
        seconds: The time limit, in seconds.
        loop: The event loop.
        deadlines: Requests whose clock runs, with their deadlines in loop time, earliest first.
        timer: Fires at the first deadline. It stays armed when the last request has ended, as
            the next one mostly begins at once.

    """

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = seconds
        self.loop = loop
        self.deadlines: dict[Interruptible, float] = {}
        self.timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def arm(self, deadline: float) -> None:
        """Set the timer to a deadline, in loop time; does nothing after ``close``."""
        if not self._is_closed:
            self.timer = self.loop.call_at(deadline, self._fire, deadline)

    def close(self) -> None:
        """Interrupt every request, and disarm the timer for good."""
        self._is_closed = True
        for timed in self.deadlines:
            timed.interrupt()
        self.deadlines.clear()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _fire(self, due: float) -> None:
        self.timer = None
        # The loop may call a little early, within its clock's resolution.
        now = max(due, self.loop.time())
        for timed, deadline in list(self.deadlines.items()):
            if deadline > now:
                self.arm(deadline)
                return
            del self.deadlines[timed]
            timed.interrupt()
