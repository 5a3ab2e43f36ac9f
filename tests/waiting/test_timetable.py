"""What a timetable holds and costs, and in whose context it wakes."""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async._waiting.timetable import Timetable
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Iterator

WHOSE = ContextVar("WHOSE", default="nobody's")


class Thing:
    """Something with a place, which counts how often that is read."""

    def __init__(self) -> None:
        self._when = math.inf
        self.reads = 0

    @property
    def when(self) -> float:
        self.reads += 1
        return self._when

    @when.setter
    def when(self, when: float) -> None:
        self._when = when


@pytest.mark.parametrize("count", [1, 1000])
def test_old_places_are_cleared_away_at_little_cost(count: int) -> None:
    timetable = Timetable[Thing](lambda _things, _now: iter(()), list)
    things = [Thing() for _ in range(count)]
    times = 20_000 // count
    for when in range(times):
        for thing in things:
            timetable.place(thing, float(when))
            assert len(timetable._heap) <= 2 * count + 65
    assert sum(thing.reads for thing in things) <= 10 * count * times
    for thing in things[1:]:
        timetable.place(thing, math.inf)
    for when in range(100):
        timetable.place(things[0], float(when))
    assert len(timetable._heap) <= 2 + 65


def test_things_are_woken_in_nobodys_context() -> None:
    woken: list[str] = []

    async def main() -> None:
        WHOSE.set("the first one's")

        def wake(_things: list[Thing], _now: float) -> Iterator[None]:
            woken.append(WHOSE.get())
            yield

        timetable = Timetable[Thing](wake, list)
        timetable.place(Thing(), asyncio.get_running_loop().time() + 1)
        timetable.arm()
        await asyncio.sleep(2)

    run(main())
    assert woken == ["nobody's"]


def test_a_timer_is_set_only_for_another_time_and_asked_for_none() -> None:
    class Handle:
        """Of a loop that knows no more of it."""

        def cancel(self) -> None:
            told.append("cancelled")

    def call_at(when: float, *_args: object, **_context: object) -> Handle:
        told.append(when)
        return Handle()

    told: list[float | str] = []

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.call_at = call_at
        timetable = Timetable[Thing](lambda _things, _now: iter(()), list)
        first, second = Thing(), Thing()
        timetable.arm()
        for thing, when in ((first, 5.0), (second, 7.0), (second, 3.0), (first, 4.0)):
            timetable.place(thing, when)
            timetable.arm()
        for thing in (second, first):
            timetable.place(thing, math.inf)
            timetable.arm()
        timetable.place(first, 9.0)
        timetable.arm()

    run(main())
    assert told == [5.0, "cancelled", 3.0, "cancelled", 4.0, "cancelled", 9.0]
