"""One timer for any number of things that want to be woken, each at a time of its own."""

from __future__ import annotations

import asyncio
import heapq
import math
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from prolific_async._waiting.work import FEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    def __init__(
        self,
        wake: Callable[[list[T], float], Iterator[None]],
        do: Callable[[Iterator[None]], object],
    ) -> None:
        """Store the generator ``wake(due, now)``, and what runs it, perhaps in slices."""
        self._wake = wake
        self._do = do
        self._waking = False
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
            self._tidy()

    def _tidy(self) -> None:
        if len(self._heap) > _SMALL + 2 * self._placed:
            self._heap = [place for place in self._heap if place[0] == place[2].when]
            heapq.heapify(self._heap)

    def arm(self) -> None:
        """Set the timer to the first time."""
        self._tidy()  # many may have ended at once
        heap = self._heap
        while heap and heap[0][0] != heap[0][2].when:
            heapq.heappop(heap)
        when = heap[0][0] if heap else math.inf
        if when == self._armed_for or self._waking:  # it arms the timer at its end
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
        self._waking = True
        self._do(self._wake_due(now))

    def _wake_due(self, now: float) -> Iterator[None]:
        try:
            yield from self._steps(now)
        except GeneratorExit:  # the loop ended before it was done
            raise
        except BaseException:  # whatever goes wrong with one must not stop the timer for all
            self._woken()
            raise
        self._woken()

    def _steps(self, now: float) -> Iterator[None]:
        due: list[Any] = []
        while self._heap and self._heap[0][0] <= now:
            when, _, thing = heapq.heappop(self._heap)
            if when == thing.when:
                self.place(thing, math.inf)
                due.append(thing)
            if len(self._heap) % FEW == 0:
                yield
        yield from self._wake(due, now)

    def _woken(self) -> None:
        self._waking = False
        self.arm()
