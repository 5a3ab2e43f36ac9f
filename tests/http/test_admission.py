"""A place and a turn, and what a pause does to who waits for either, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from prolific_async._http.admission import Admission
from tests.virtual_time import run

START = 1000.0


def now() -> float:
    return asyncio.get_running_loop().time() - START


async def sent(admission: Admission, *, poll: bool, seconds: float = 0.0) -> float:
    """Send as the transport does, and tell when."""
    await admission.enter(poll=poll)
    try:
        began = now()
        await asyncio.sleep(seconds)
        return began
    finally:
        admission.leave()


async def nothing_left(admission: Admission, connections: int) -> None:
    await asyncio.sleep(0)
    loop: Any = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []
    assert [admission._places.take_free() for _ in range(connections + 1)] == [
        *([True] * connections),
        False,
    ]


def test_a_paused_poll_leaves_the_only_place_to_calls() -> None:
    async def main() -> None:
        admission = Admission(1, None)
        admission.rate_limiter.pause_polls(START + 60)
        poll = asyncio.ensure_future(sent(admission, poll=True))
        await asyncio.sleep(1)
        assert await sent(admission, poll=False) == 1
        assert await poll == 60
        await nothing_left(admission, 1)

    run(main())


def test_a_poll_that_is_paused_while_it_waits_for_its_turn_leaves_its_place() -> None:
    async def main() -> None:
        admission = Admission(2, 1)
        assert await sent(admission, poll=True) == 0
        polls = [asyncio.ensure_future(sent(admission, poll=True)) for _ in range(2)]
        await asyncio.sleep(0.5)
        admission.rate_limiter.pause_polls(START + 60)
        calls = [asyncio.ensure_future(sent(admission, poll=False)) for _ in range(3)]
        assert [await call for call in calls] == [pytest.approx(1 + turn) for turn in range(3)]
        assert [await poll for poll in polls] == [60, pytest.approx(61)]
        await nothing_left(admission, 2)

    run(main())


def test_a_poll_that_is_paused_while_it_waits_for_a_place_leaves_that_too() -> None:
    async def main() -> None:
        admission = Admission(1, None)
        first = asyncio.ensure_future(sent(admission, poll=False, seconds=2))
        await asyncio.sleep(0)
        poll = asyncio.ensure_future(sent(admission, poll=True))
        call = asyncio.ensure_future(sent(admission, poll=False))
        await asyncio.sleep(1)
        admission.rate_limiter.pause_polls(START + 60)
        assert [await first, await call, await poll] == [0, 2, 60]
        await nothing_left(admission, 1)

    run(main())


def test_a_pause_that_is_made_longer_is_waited_out() -> None:
    async def main() -> None:
        admission = Admission(1, None)
        admission.rate_limiter.pause_polls(START + 3)
        poll = asyncio.ensure_future(sent(admission, poll=True))
        await asyncio.sleep(1)
        admission.rate_limiter.pause_polls(START + 9)
        assert await poll == 9
        await nothing_left(admission, 1)

    run(main())


@pytest.mark.parametrize("rate", [10, None])
@pytest.mark.parametrize("connections", [1, 2, 100])
def test_a_crowd_of_calls_and_polls_take_turns(connections: int, rate: float | None) -> None:
    async def main() -> None:
        admission = Admission(connections, rate)
        calls = [
            asyncio.ensure_future(sent(admission, poll=False, seconds=0.1)) for _ in range(1000)
        ]
        polls = 0

        async def poll_on() -> None:
            nonlocal polls
            while True:
                await sent(admission, poll=True, seconds=0.1)
                polls += 1

        # As many at once as a transport with so many connections allows.
        polling = [asyncio.ensure_future(poll_on()) for _ in range(max(1, connections // 2))]
        await asyncio.sleep(10)
        assert polls > 30
        assert sum(call.done() for call in calls) > 30
        for task in (*calls, *polling):
            task.cancel()
        await asyncio.wait([*calls, *polling])
        await nothing_left(admission, connections)

    run(main())


@pytest.mark.parametrize("after", [0.1, 0.5, 1.2, 59, 60])
def test_one_that_is_cancelled_keeps_neither_place_nor_turn(after: float) -> None:
    async def main() -> None:
        admission = Admission(1, 1)
        await sent(admission, poll=True)
        polls = [asyncio.ensure_future(sent(admission, poll=True, seconds=5)) for _ in range(3)]
        loop = asyncio.get_running_loop()
        pause = loop.call_at(START + 0.5, admission.rate_limiter.pause_polls, START + 60)
        await asyncio.sleep(after)
        pause.cancel()
        for poll in polls:
            poll.cancel()
        await asyncio.wait(polls)
        await nothing_left(admission, 1)

    run(main())
