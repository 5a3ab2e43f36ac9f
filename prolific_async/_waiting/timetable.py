"""One timer for any number of things that want to be woken, each at a time of its own."""

from __future__ import annotations

import asyncio
import heapq
import math
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALL = 64  # places up to which stale ones are not worth clearing away


class Placed(Protocol):
    """What can have a place in a timetable."""

    when: float
    """Its time, inf for none; only the timetable sets it."""


T = TypeVar("T", bound=Placed)


class Timetable(Generic[T]):
    """Wakes things when their time has come. Times are those of the event loop.

    Whoever places anything arms the timer afterwards; with nothing placed, none is armed.
    """

    def __init__(self, wake: Callable[[list[T], float], None]) -> None:
        """Take what is called with all that are due, none of them placed any more, and the time."""
        self._wake = wake
        # A thing that is placed anew leaves its old place behind, which no longer fits its time.
        self._heap: list[tuple[float, int, T]] = []
        self._order = count()
        self._placed = 0
        # With its time, as a handle knows its own only on some loops, and only until it is due.
        self._timer: asyncio.Handle | None = None
        self._armed_for = math.inf
        # Else it would be that of whoever happened to be first, and what is done for all would be
        # traced and logged as a doing of theirs.
        self._context = Context()

    def place(self, thing: T, when: float) -> None:
        """Have a thing woken at a time instead of any it had, or never for inf."""
        if when == thing.when:
            return
        self._placed += (when != math.inf) - (thing.when != math.inf)
        thing.when = when
        if when != math.inf:
            heapq.heappush(self._heap, (when, next(self._order), thing))
            if len(self._heap) > _SMALL + 2 * self._placed:
                self._heap = [place for place in self._heap if place[0] == place[2].when]
                heapq.heapify(self._heap)

    def arm(self) -> None:
        """Set the timer to the first time."""
        heap = self._heap
        while heap and heap[0][0] != heap[0][2].when:
            heapq.heappop(heap)
        when = heap[0][0] if heap else math.inf
        if when == self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._armed_for = None, math.inf
        if when != math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(when, self._ring, loop, when, context=self._context)
            self._armed_for = when

    def _ring(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._timer, self._armed_for = None, math.inf
        now = max(loop.time(), when)  # the loop may call a little early
        due: list[Any] = []
        while self._heap and self._heap[0][0] <= now:
            when, _, thing = heapq.heappop(self._heap)
            if when == thing.when:
                self.place(thing, math.inf)
                due.append(thing)
        try:
            self._wake(due, now)
        finally:  # else whatever goes wrong with one would stop the timer for all
            self.arm()
