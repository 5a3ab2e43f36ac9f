"""Time limit of requests: one timer for all of them.

Each request has the same number of seconds, so the first to begin is the first whose time is over,
and a dict keeps that order. ``asyncio.timeout``, which sets a timer for each, costs 7 % more of a
whole request (benchmarks/README.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Expiring(Protocol):
    """A piece of work whose time can be over."""

    def expire(self) -> None:
        """Interrupt it."""


class TimeLimit:
    """So many seconds for each request, in one event loop.

    Attributes:
        seconds: The seconds.
        loop: The event loop.
        deadlines: Requests whose time runs, each with its deadline, in this order.
        timer: Rings at the first deadline. It stays armed when the last request has ended, as
            another one mostly begins at once.

    """

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = seconds
        self.loop = loop
        self.deadlines: dict[Expiring, float] = {}
        self.timer: asyncio.TimerHandle | None = None

    def arm(self, deadline: float) -> None:
        """Set the timer."""
        self.timer = self.loop.call_at(deadline, self._fire, deadline)

    def close(self) -> None:
        """Interrupt every request, and disarm the timer."""
        for timed in self.deadlines:
            timed.expire()
        self.deadlines.clear()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _fire(self, due: float) -> None:
        self.timer = None
        # The loop calls a little early, within its clock's resolution.
        now = max(due, self.loop.time())
        for timed, deadline in list(self.deadlines.items()):
            if deadline > now:
                self.arm(deadline)
                return
            del self.deadlines[timed]
            timed.expire()
