"""What a timetable holds and costs, and in whose context it wakes."""

from __future__ import annotations

import asyncio
import math
import random
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async._polling.timetable import Timetable
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Iterator

WHOSE = ContextVar("WHOSE", default="nobody's")


class Thing:
    """Something with a place, which counts how often that is read."""

    reads = 0

    def __init__(self) -> None:
        self.when = math.inf
        self._order = 0

    @property
    def order(self) -> int:
        Thing.reads += 1
        return self._order

    @order.setter
    def order(self, order: int) -> None:
        self._order = order


def table() -> Timetable[Thing]:
    return Timetable[Thing](lambda _things, _now: iter(()), list)


def held(timetable: Timetable[Thing]) -> int:
    return len(timetable._heap) + len(timetable._old)


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.parametrize("deadline", [None, 1e6])
def test_old_places_are_cleared_away_at_little_cost(deadline: float | None, count: int) -> None:
    timetable = table()
    things = [Thing() for _ in range(count)]
    times = 20_000 // count
    Thing.reads = 0
    for when in range(times):
        for thing in things:
            timetable.place(thing, float(when))
            if deadline is not None:  # as often as it is polled, at the same time again
                timetable.place(thing, deadline)
            assert held(timetable) <= 3 * count + 65
    assert Thing.reads <= 8 * count * times
    for thing in things[1:]:
        timetable.place(thing, math.inf)
    for when in range(100):
        timetable.place(things[0], float(when))
    assert held(timetable) <= 3 + 65


def test_no_call_goes_through_all_places() -> None:
    """Of 30,000 waits, that would hold the loop for longer than a turn should take."""

    async def main() -> None:
        timetable = table()
        things = [Thing() for _ in range(5000)]
        most = 0

        def note() -> None:
            nonlocal most
            timetable.arm()
            most, Thing.reads = max(most, Thing.reads), 0

        for when in (100.0, 2000.0, 5.0, 3000.0, 2000.0, math.inf):
            for thing in things:
                timetable.place(thing, when)
                Thing.reads = 0
            for thing in things:
                timetable.place(thing, when + 1)
                note()
        assert most <= 100
        for thing in things:
            timetable.place(thing, math.inf)
        note()
        assert held(timetable) == 0
        assert timetable._timer is None

    run(main())


def test_all_are_woken_in_time_whatever_was_placed_before() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        woken: dict[Thing, float] = {}

        def wake(things: list[Thing], _now: float) -> Iterator[None]:
            woken.update(dict.fromkeys(things, loop.time()))
            yield

        timetable = Timetable[Thing](wake, list)
        things = [Thing() for _ in range(1000)]
        chance = random.Random(1)
        start = loop.time()
        for _ in range(5):
            for thing in things:
                timetable.place(thing, start + chance.choice([1, 2, 50, 60]))
        due = {thing: thing.when for thing in things}
        timetable.arm()
        await asyncio.sleep(100)
        assert woken == due
        assert held(timetable) == 0

    run(main())


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
        timetable = table()
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
