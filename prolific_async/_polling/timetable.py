"""One timer for any number of things that want to be woken, each at a time of its own."""

from __future__ import annotations

import asyncio
import heapq
import math
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from prolific_async._polling.sliced_work import FEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SMALL = 64  # places up to which stale ones are not worth clearing away
_CLEARED = 4  # old places that are cleared away, or kept, with each new one


class Placed(Protocol):
    """What can have a place in a timetable."""

    when: float
    """Its time, inf for none; only the timetable sets it."""
    order: int
    """Which of its places is the newest; likewise."""


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
        # A thing that is placed anew leaves its old place behind. When those are many, the heap
        # becomes the old one, whose current places move to a new heap, a few at a time.
        self._heap: list[tuple[float, int, T]] = []
        self._old: list[tuple[float, int, T]] = []
        self._order = count(1)
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
        thing.order = order = next(self._order)
        if when != math.inf:
            heapq.heappush(self._heap, (when, order, thing))
        if self._old or not self._placed or len(self._heap) > _SMALL + 2 * self._placed:
            self._tidy()

    def _tidy(self) -> None:
        if not self._placed:
            self._heap.clear()
            self._old.clear()
            return
        if not self._old:
            self._heap, self._old = self._old, self._heap
        for _ in range(min(_CLEARED, len(self._old))):
            place = self._old.pop()  # the last one, without which a heap is still a heap
            if place[1] == place[2].order:
                heapq.heappush(self._heap, place)

    def _first(self) -> list[tuple[float, int, T]]:
        """Return the heap whose first place is the first of all; it is empty if there is none."""
        heap, old = self._heap, self._old
        return old if old and (not heap or old[0] < heap[0]) else heap

    def arm(self) -> None:
        """Set the timer to the first time."""
        heap = self._first()
        for _ in range(FEW):  # of more, one makes the timer ring in vain
            if not heap or heap[0][1] == heap[0][2].order:
                break
            heapq.heappop(heap)
            heap = self._first()
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
        popped = 0
        while (heap := self._first()) and heap[0][0] <= now:
            _, order, thing = heapq.heappop(heap)
            if order == thing.order:
                self.place(thing, math.inf)
                due.append(thing)
            popped += 1
            if popped % FEW == 0:
                yield
        yield from self._wake(due, now)

    def _woken(self) -> None:
        self._waking = False
        self.arm()
