"""ConnectionSlots, at the moments that make them hard."""

from __future__ import annotations

import asyncio

import pytest

from prolific_async._http.connection_slots import ConnectionSlots


async def test_free_places_are_taken_until_there_are_none() -> None:
    places = ConnectionSlots(2)
    assert [places.take_free() for _ in range(3)] == [True, True, False]
    places.give_back()
    places.give_back()
    assert [places.take_free() for _ in range(3)] == [True, True, False]


async def test_who_waits_is_served_in_turn_polls_first() -> None:
    places = ConnectionSlots(1)
    places.take_free()
    served: list[int] = []

    async def wait(number: int) -> None:
        await places.wait(poll=number % 2 == 1)
        served.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    for _ in tasks:
        assert not places.take_free()  # nobody overtakes
        places.give_back()
        await asyncio.sleep(0)
    assert served == [1, 3, 0, 2, 4]
    places.give_back()
    assert places.take_free()


@pytest.mark.parametrize("handed_over", [True, False])
@pytest.mark.parametrize("poll", [True, False])
async def test_a_cancelled_wait_keeps_no_place(poll: bool, handed_over: bool) -> None:  # noqa: FBT001
    places = ConnectionSlots(1)
    places.take_free()
    first, second = (asyncio.create_task(places.wait(poll=one)) for one in (poll, False))
    await asyncio.sleep(0)
    if handed_over:
        places.give_back()
        first.cancel()
    else:
        first.cancel()
        places.give_back()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert not second.cancelled()
    assert not places.take_free()
    places.give_back()
    assert places.take_free()
