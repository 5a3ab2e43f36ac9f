"""Rate limiter and connection slots, in virtual time."""

from __future__ import annotations

import asyncio
import math
import random
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest

from prolific_async._http.rate_limiter import RateLimiter
from tests.virtual_time import run

START = 1000.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(rate_limiter: RateLimiter, *, poll: bool = True) -> float:
    """Start a request as the transport does, and return when it started."""
    if not rate_limiter.start_now(now(), poll=poll):
        await rate_limiter.start(poll=poll)
    return now()


async def take_many(rate_limiter: RateLimiter, count: int, *, poll: bool = True) -> list[float]:
    return sorted(await asyncio.gather(*(take(rate_limiter, poll=poll) for _ in range(count))))


def in_any_second(times: list[float]) -> int:
    """Return the largest number of requests within any second, its end excluded."""
    return max(bisect_left(times, began + 1 - 1e-6) - place for place, began in enumerate(times))


def nothing_armed() -> None:
    loop: Any = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []


# --- the limit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rate",
    [
        *(1, 3.5, 20, 1000),
        *(pytest.param(rate, marks=pytest.mark.slow) for rate in (2, 5, 7, 10, 33, 100)),
    ],
)
def test_no_second_has_more_requests_than_the_limit(rate: float) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(rate)
        times = await take_many(rate_limiter, 3000)
        assert times[0] == START
        assert in_any_second(times) <= max(1.2 * rate, 1)
        assert (3000 - 0.2 * rate - 1) / rate <= times[-1] - START <= 3000 / rate + 1
        nothing_armed()

    run(main())


@pytest.mark.parametrize("rate", [2, 20, 100])
def test_no_second_has_more_requests_when_demand_varies(rate: float) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(rate)
        chance = random.Random(1)
        times: list[float] = []
        for _ in range(60):
            times += await take_many(
                rate_limiter, chance.randrange(1, 100), poll=chance.random() < 0.5
            )
            await asyncio.sleep(chance.choice((0, 0.01, 0.3, 3)))
        assert in_any_second(sorted(times)) <= 1.2 * rate
        nothing_armed()

    run(main())


def test_without_a_limit_all_requests_start_at_once() -> None:
    async def main() -> None:
        assert set(await take_many(RateLimiter(), 1000)) == {START}
        nothing_armed()

    run(main())


def test_the_first_burst_is_a_fifth_of_a_second() -> None:
    async def main() -> None:
        assert (await take_many(RateLimiter(100), 50)).count(START) == 20

    run(main())


def test_with_a_low_limit_the_first_request_starts_at_once() -> None:
    async def main() -> None:
        assert await take_many(RateLimiter(0.1), 3) == [START, START + 10, START + 20]

    run(main())


# --- turns -----------------------------------------------------------------------------------


def test_a_call_starts_within_two_turns_among_many_polls() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(10)
        polls = asyncio.gather(*(take(rate_limiter) for _ in range(1000)))
        await asyncio.sleep(5.05)
        for _ in range(20):
            began = now()
            assert await take(rate_limiter, poll=False) <= began + 0.2 + 1e-6
        await polls
        nothing_armed()

    run(main())


def test_polls_and_calls_alternate() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(5)
        order: list[bool] = []

        async def one(*, poll: bool) -> None:
            await take(rate_limiter, poll=poll)
            order.append(poll)

        kinds = [True] * 20 + [False] * 20
        await asyncio.gather(*(one(poll=poll) for poll in kinds))
        assert all(one != other for one, other in pairwise(order[1:-1]))

    run(main())


@pytest.mark.parametrize("poll", [True, False])
def test_no_request_overtakes_those_that_wait(poll: bool) -> None:  # noqa: FBT001 - a case
    async def main() -> None:
        rate_limiter = RateLimiter(5)
        tasks = [asyncio.ensure_future(take(rate_limiter, poll=poll)) for _ in range(3)]
        await asyncio.sleep(0)
        # Their timer is late: the next turn is due, and not given yet.
        assert not rate_limiter.start_now(now() + 10, poll=poll)
        assert not rate_limiter.start_now(now() + 10, poll=not poll)
        await asyncio.gather(*tasks)
        assert rate_limiter.start_now(now() + 10, poll=poll)

    run(main())


def test_a_poll_may_start_once_the_pause_is_over() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        assert rate_limiter.start_now(now(), poll=True)
        rate_limiter.pause_polls(now() + 7)
        assert not rate_limiter.start_now(now() + 6.9, poll=True)
        assert rate_limiter.start_now(now() + 6.9, poll=False)
        assert rate_limiter.start_now(now() + 7, poll=True)

    run(main())


def test_polls_start_in_order() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(5)
        order: list[int] = []

        async def one(number: int) -> None:
            await take(rate_limiter)
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(30)))
        assert order == list(range(30))

    run(main())


def test_a_pause_of_polls_does_not_hold_calls() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        rate_limiter.pause_polls(now() + 7)
        polls = asyncio.gather(*(take(rate_limiter) for _ in range(10)))
        await asyncio.sleep(1)
        assert await take(rate_limiter, poll=False) == START + 1
        rate_limiter.pause_polls(now() + 2)  # does not shorten it
        assert set(await polls) == {START + 7}
        assert await take(rate_limiter) == START + 7
        nothing_armed()

    run(main())


def test_calls_keep_their_rate_while_polls_are_paused() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(10)
        rate_limiter.pause_polls(now() + 60)
        polls = asyncio.gather(*(take(rate_limiter) for _ in range(10)))
        calls = await take_many(rate_limiter, 100, poll=False)
        assert calls[-1] - START < 10
        assert min(await polls) == START + 60
        nothing_armed()

    run(main())


def test_a_pause_ends_although_the_clock_is_a_little_behind_its_timer() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        rate_limiter = RateLimiter()
        rate_limiter.pause_polls(now() + 7)
        poll = asyncio.ensure_future(take(rate_limiter))
        await asyncio.sleep(0)
        inside: Any = rate_limiter
        loop.now += 7 - 1e-9
        inside._timer._run()
        assert rate_limiter.start_now(now(), poll=True)
        assert await poll == START + 7 - 1e-9

    run(main())


def test_a_pause_can_be_made_longer() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        rate_limiter.pause_polls(now() + 3)
        poll = asyncio.ensure_future(take(rate_limiter))
        await asyncio.sleep(1)
        rate_limiter.pause_polls(now() + 9)
        assert await poll == START + 10
        nothing_armed()

    run(main())


# --- connection slots ------------------------------------------------------------------------


async def sent(rate_limiter: RateLimiter, *, poll: bool, seconds: float = 0.0) -> float:
    """Send a request as the transport does, and return when it started."""
    began = await take(rate_limiter, poll=poll)
    try:
        await asyncio.sleep(seconds)
        return began - START
    finally:
        rate_limiter.finish()


async def nothing_left(rate_limiter: RateLimiter, connections: int) -> None:
    await asyncio.sleep(0)
    nothing_armed()
    assert rate_limiter._free_slots == connections


def test_a_paused_poll_leaves_the_only_slot_to_calls() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(connections=1)
        rate_limiter.pause_polls(START + 60)
        poll = asyncio.ensure_future(sent(rate_limiter, poll=True))
        await asyncio.sleep(1)
        assert await sent(rate_limiter, poll=False) == 1
        assert await poll == 60
        await nothing_left(rate_limiter, 1)

    run(main())


def test_a_poll_paused_while_it_waits_for_the_rate_gives_up_its_slot() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(1, 2)
        assert await sent(rate_limiter, poll=True) == 0
        polls = [asyncio.ensure_future(sent(rate_limiter, poll=True)) for _ in range(2)]
        await asyncio.sleep(0.5)
        rate_limiter.pause_polls(START + 60)
        calls = [asyncio.ensure_future(sent(rate_limiter, poll=False)) for _ in range(3)]
        assert [await call for call in calls] == [pytest.approx(1 + turn) for turn in range(3)]
        assert [await poll for poll in polls] == [60, pytest.approx(61)]
        await nothing_left(rate_limiter, 2)

    run(main())


def test_a_poll_paused_while_it_waits_for_a_slot_lets_calls_pass() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(connections=1)
        first = asyncio.ensure_future(sent(rate_limiter, poll=False, seconds=2))
        await asyncio.sleep(0)
        poll = asyncio.ensure_future(sent(rate_limiter, poll=True))
        call = asyncio.ensure_future(sent(rate_limiter, poll=False))
        await asyncio.sleep(1)
        rate_limiter.pause_polls(START + 60)
        assert [await first, await call, await poll] == [0, 2, 60]
        await nothing_left(rate_limiter, 1)

    run(main())


def test_a_poll_without_a_slot_waits_for_a_longer_pause() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(connections=1)
        rate_limiter.pause_polls(START + 3)
        poll = asyncio.ensure_future(sent(rate_limiter, poll=True))
        await asyncio.sleep(1)
        rate_limiter.pause_polls(START + 9)
        assert await poll == 9
        await nothing_left(rate_limiter, 1)

    run(main())


@pytest.mark.parametrize("rate", [10, None])
@pytest.mark.parametrize("connections", [1, 2, 100])
def test_many_calls_and_polls_alternate(connections: int, rate: float | None) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(rate, connections)
        calls = [
            asyncio.ensure_future(sent(rate_limiter, poll=False, seconds=0.1)) for _ in range(1000)
        ]
        polls = 0

        async def poll_on() -> None:
            nonlocal polls
            while True:
                await sent(rate_limiter, poll=True, seconds=0.1)
                polls += 1

        # As many at once as a transport with these connections allows.
        polling = [asyncio.ensure_future(poll_on()) for _ in range(max(1, connections // 2))]
        await asyncio.sleep(10)
        assert polls > 30
        assert sum(call.done() for call in calls) > 30
        for task in (*calls, *polling):
            task.cancel()
        await asyncio.wait([*calls, *polling])
        await nothing_left(rate_limiter, connections)

    run(main())


@pytest.mark.parametrize("after", [0.1, 0.5, 1.2, 59, 60])
def test_cancelled_polls_keep_neither_slot_nor_turn(after: float) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(1, 1)
        await sent(rate_limiter, poll=True)
        polls = [asyncio.ensure_future(sent(rate_limiter, poll=True, seconds=5)) for _ in range(3)]
        loop = asyncio.get_running_loop()
        pause = loop.call_at(START + 0.5, rate_limiter.pause_polls, START + 60)
        await asyncio.sleep(after)
        pause.cancel()
        for poll in polls:
            poll.cancel()
        await asyncio.wait(polls)
        await nothing_left(rate_limiter, 1)

    run(main())


def test_calls_and_polls_that_wait_for_a_slot_alternate() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(connections=1)
        assert rate_limiter.start_now(now(), poll=False)
        started: list[int] = []

        async def start(number: int) -> None:
            await rate_limiter.start(poll=number % 2 == 1)
            started.append(number)

        tasks = [asyncio.ensure_future(start(number)) for number in range(5)]
        await asyncio.sleep(0)
        for _ in tasks:
            assert not rate_limiter.start_now(now(), poll=False)  # none overtakes
            rate_limiter.finish()
            await asyncio.sleep(0)
        assert started == [1, 0, 3, 2, 4]
        rate_limiter.finish()
        await nothing_left(rate_limiter, 1)

    run(main())


@pytest.mark.parametrize("handed_over", [True, False])
@pytest.mark.parametrize("poll", [True, False])
def test_a_request_that_is_cancelled_keeps_no_slot(poll: bool, handed_over: bool) -> None:  # noqa: FBT001 - cases
    async def main() -> None:
        rate_limiter = RateLimiter(connections=1)
        assert rate_limiter.start_now(now(), poll=False)
        first, second = (
            asyncio.ensure_future(rate_limiter.start(poll=one)) for one in (poll, False)
        )
        await asyncio.sleep(0)
        if handed_over:
            rate_limiter.finish()
            first.cancel()
        else:
            first.cancel()
            rate_limiter.finish()
        await asyncio.wait([first, second])
        assert first.cancelled()
        assert not second.cancelled()
        assert not rate_limiter.start_now(now(), poll=False)
        rate_limiter.finish()
        await nothing_left(rate_limiter, 1)

    run(main())


# --- cancelled -------------------------------------------------------------------------------


def test_cancelled_requests_use_up_no_turn() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(5)
        tasks = [asyncio.ensure_future(take(rate_limiter)) for _ in range(100)]
        await asyncio.sleep(0.05)
        for task in tasks[1:99]:
            task.cancel()
        assert await tasks[99] == pytest.approx(START + 0.2)
        nothing_armed()

    run(main())


def test_requests_cancelled_when_a_turn_is_due_use_up_no_turn() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        rate_limiter = RateLimiter(5)
        tasks = [asyncio.ensure_future(take(rate_limiter)) for _ in range(100)]
        await asyncio.sleep(0.1)
        for task in tasks[1:99]:
            task.cancel()
        loop.now += 0.15  # the loop is blocked until after the next turn is due
        assert await tasks[99] == pytest.approx(START + 0.25)
        nothing_armed()

    run(main())


def test_a_request_cancelled_with_its_turn_delays_no_other() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(5)
        tasks = [asyncio.ensure_future(take(rate_limiter)) for _ in range(3)]
        await asyncio.sleep(0)
        inside: Any = rate_limiter
        turn = next(iter(inside._polls))
        turn.add_done_callback(lambda _: tasks[1].cancel())
        assert await tasks[2] <= START + 0.4 + 1e-6
        assert tasks[1].cancelled() or tasks[1].done()
        nothing_armed()

    run(main())


@pytest.mark.parametrize("count", [1, 50])
def test_no_timer_is_left_when_all_requests_are_cancelled(count: int) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(1)
        await take(rate_limiter)
        tasks = [asyncio.ensure_future(take(rate_limiter, poll=bool(n % 2))) for n in range(count)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        nothing_armed()
        assert not rate_limiter._polls
        assert not rate_limiter._calls

    run(main())


def test_no_timer_is_left_when_polls_are_cancelled_as_a_pause_begins() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(1)
        polls = [asyncio.ensure_future(take(rate_limiter)) for _ in range(3)]
        await asyncio.sleep(0.5)
        rate_limiter.pause_polls(now() + 60)
        for poll in polls:
            poll.cancel()
        await asyncio.wait(polls)
        nothing_armed()

    run(main())


def test_closing_the_rate_limiter_starts_all_requests() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(1)
        rate_limiter.pause_polls(now() + 100)
        tasks = [
            asyncio.ensure_future(take(rate_limiter, poll=number % 2 == 0)) for number in range(8)
        ]
        await asyncio.sleep(0.01)
        assert rate_limiter.is_closed is False
        rate_limiter.close()
        assert (rate_limiter.is_closed, rate_limiter.slows) == (True, False)
        nothing_armed()
        assert set(await asyncio.gather(*tasks)) == {START, START + 0.01}
        assert await take(rate_limiter) == START + 0.01
        nothing_armed()

    run(main())


def test_closing_the_rate_limiter_ends_a_slow_down() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        rate_limiter.slow_down(now(), now())
        rate_limiter.close()
        assert rate_limiter.slows is False
        assert rate_now(rate_limiter) == math.inf

    run(main())


@pytest.mark.parametrize("poll", [True, False])
def test_a_request_that_waits_starts_when_the_rate_limiter_is_closed(poll: bool) -> None:  # noqa: FBT001 - a case
    async def main() -> None:
        rate_limiter = RateLimiter(1)
        await take(rate_limiter)
        waiting = asyncio.ensure_future(rate_limiter.start(poll=poll))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        rate_limiter.close()
        await waiting

    run(main())


def test_a_request_cancelled_at_the_close_delays_no_other() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(1)
        tasks = [asyncio.ensure_future(take(rate_limiter)) for _ in range(3)]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        rate_limiter.close()
        assert await tasks[2] == START + 0.01
        assert tasks[1].cancelled()
        nothing_armed()

    run(main())


# --- the slow-down ---------------------------------------------------------------------------


def rate_now(rate_limiter: RateLimiter) -> float:
    return rate_limiter._rate(now())


async def send_for(rate_limiter: RateLimiter, seconds: float, rate: float) -> None:
    """Start evenly spaced requests at a rate for some seconds."""
    for _ in range(round(seconds * rate)):
        await take(rate_limiter)
        await asyncio.sleep(1 / rate)


@pytest.mark.parametrize("limit", [None, 40.0, 1000.0])
def test_a_429_halves_the_current_rate(limit: float | None) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(limit)
        await send_for(rate_limiter, 5, 40)
        rate_limiter.slow_down(now(), now())
        assert rate_now(rate_limiter) == pytest.approx(20, rel=0.06)
        began = now()
        times = await take_many(rate_limiter, 100)
        assert times[0] >= began
        assert times[20] - times[0] == pytest.approx(1, abs=0.3)

    run(main())


@pytest.mark.parametrize(
    ("counts", "gap", "rate"),
    [
        ([40], 0, 20),
        ([40, 40], 1, 20),
        ([40, 1], 1, 20),
        ([1, 40], 1, 20),
        ([40, 1], 2, 5),  # which is the least
        ([2], 0, 5),
        ([], 0, 5),
    ],
)
def test_the_current_rate_is_that_of_this_second_or_the_last(
    counts: list[int], gap: float, rate: float
) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        for count in counts:
            await asyncio.sleep(gap)
            assert set(await take_many(rate_limiter, count)) == {now()}
        rate_limiter.slow_down(now(), now())
        assert rate_now(rate_limiter) == rate
        rate_limiter.slow_down(now(), now())  # to a request of the same moment
        assert rate_now(rate_limiter) == rate

    run(main())


@pytest.mark.parametrize(
    ("count", "rates"),
    [(40, [20, 37.5, 40, 40, 40 * 2**0.5, 80]), (0, [5, 7.1875, 7.5, 7.5, 7.5 * 2**0.5, 15])],
)
def test_the_rate_grows_to_the_refused_rate_and_then_doubles(
    count: int, rates: list[float]
) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await take_many(rate_limiter, count)
        rate_limiter.slow_down(now(), now())
        grown = [rate_limiter._rate(now() + age) for age in (0, 7.5, 15, 30, 45, 60)]
        assert grown == pytest.approx(rates)

    run(main())


def test_the_rate_doubles_from_the_one_before_many_429s() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await take_many(rate_limiter, 40)
        rate_limiter.slow_down(now(), now())
        await asyncio.sleep(1)
        rate_limiter.slow_down(now(), now())
        assert [rate_limiter._rate(now() + age) for age in (30, 60)] == pytest.approx([40, 80])

    run(main())


def test_the_first_turn_after_a_429_comes_after_a_gap() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        rate_limiter.slow_down(now(), now())
        assert await take(rate_limiter) == pytest.approx(START + 0.2)

    run(main())


@pytest.mark.parametrize(("crowd", "ended"), [(1, True), (30, False)])
def test_a_slow_down_ends_after_a_minute_unless_its_rate_is_used(
    crowd: int,
    ended: bool,  # noqa: FBT001 - a case
) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await take_many(rate_limiter, 40)
        rate_limiter.slow_down(now(), now())
        while now() < START + 62:
            await take_many(rate_limiter, crowd)
            await asyncio.sleep(0.5)
        began = now()
        assert (set(await take_many(rate_limiter, 100)) == {began}) is ended

    run(main())


def test_a_burst_of_429s_is_one_decrease() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await send_for(rate_limiter, 5, 40)
        sent_at = now()
        await asyncio.sleep(0.1)
        rate_limiter.slow_down(sent_at, now())
        slowed = rate_now(rate_limiter)
        for _ in range(100):
            rate_limiter.slow_down(sent_at, now())
        assert rate_now(rate_limiter) == slowed
        await asyncio.sleep(1)
        rate_limiter.slow_down(sent_at, now())
        assert rate_now(rate_limiter) >= slowed
        faster = rate_now(rate_limiter)
        rate_limiter.slow_down(now(), now())
        assert rate_now(rate_limiter) < faster

    run(main())


def test_the_rate_falls_below_five_a_second_only_if_that_is_refused() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        rates = []
        for _ in range(10):
            await take(rate_limiter)
            rate_limiter.slow_down(now(), now())
            rates.append(rate_now(rate_limiter))
        assert rates[0] == 5
        assert all(after >= before / 2 for before, after in pairwise(rates))
        assert min(rates) >= 0.5
        times = await take_many(rate_limiter, 50)
        assert times[0] - now() <= 2
        assert times[-1] - times[0] <= 30

    run(main())


def test_a_429_at_low_use_lowers_the_rate_to_five() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await send_for(rate_limiter, 3, 100)
        rate_limiter.slow_down(now(), now())
        await send_for(rate_limiter, 10, 2)
        rate_limiter.slow_down(now(), now())
        assert rate_now(rate_limiter) == 5

    run(main())


@pytest.mark.parametrize("limit", [0.5, 1.0, 3.0, 5.0, 8.0])
def test_a_limit_near_five_is_halved_and_back_within_thirty_seconds(limit: float) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(limit)
        await take_many(rate_limiter, 20)
        began = now()
        rate_limiter.slow_down(began, began)
        assert rate_now(rate_limiter) == limit / 2
        assert rate_limiter._rate(began + 30) == limit
        nothing_armed()

    run(main())


@pytest.mark.parametrize("limit", [1.0, 3.0])
def test_a_limit_below_five_is_not_lowered(limit: float) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(limit)
        await take(rate_limiter)
        rate_limiter.slow_down(now(), now())
        times = await take_many(rate_limiter, 50)
        assert in_any_second(times) <= max(1.2 * limit, 1)
        nothing_armed()

    run(main())


def test_the_rate_grows_without_leaps_and_is_back_within_thirty_seconds() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await send_for(rate_limiter, 5, 100)
        had = 100
        began = now()
        rate_limiter.slow_down(began, began)
        times = await take_many(rate_limiter, 6000)
        seconds = [0] * 60
        for when in times:
            if when < began + 60:
                seconds[int(when - began)] += 1
        assert seconds[0] == pytest.approx(had / 2, rel=0.3)
        assert seconds[29] >= 0.95 * had
        assert all(-3 <= after - before <= 0.11 * had for before, after in pairwise(seconds[1:40]))
        nothing_armed()

    run(main())


@pytest.mark.parametrize("seconds", [0.5, pytest.param(2.5, marks=pytest.mark.slow), 20])
def test_the_rate_from_before_many_429s_is_back_within_thirty_seconds(seconds: float) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await send_for(rate_limiter, 5, 182)
        until = now() + seconds
        while now() < until:
            rate_limiter.slow_down(await take(rate_limiter), now())
            ended = now()
            await asyncio.sleep(0.05)
        assert rate_now(rate_limiter) < 12
        times = await take_many(rate_limiter, 6000)
        assert bisect_left(times, ended + 31) - bisect_left(times, ended + 30) >= 0.95 * 182
        # Past the rate that was refused last it grows faster, but never by a leap.
        counts = [
            bisect_left(times, ended + second + 1) - bisect_left(times, ended + second)
            for second in range(30)
        ]
        assert all(after <= 1.6 * max(before, 10) for before, after in pairwise(counts))
        nothing_armed()

    run(main())


def test_a_late_429_halves_the_rate_of_its_time() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await take_many(rate_limiter, 200)
        rate_limiter.slow_down(now(), now())
        await send_for(rate_limiter, 40, 20)
        rate_limiter.slow_down(now(), now())
        assert rate_limiter._rate(now() + 30) == pytest.approx(20, rel=0.06)

    run(main())


@pytest.mark.slow
def test_the_rate_does_not_jump_when_the_slow_down_ends() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await send_for(rate_limiter, 5, 100)
        rate_limiter.slow_down(now(), now())
        began = now()
        times = await take_many(rate_limiter, 30_000)
        counts = [0] * (int(times[-1] - began) + 1)
        for when in times:
            counts[int(when - began)] += 1
        assert all(after <= 1.5 * max(before, 10) for before, after in pairwise(counts[1:]))

    run(main())


def test_the_rate_does_not_jump_after_an_idle_time() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await send_for(rate_limiter, 5, 20)
        rate_limiter.slow_down(now(), now())
        await send_for(rate_limiter, 31, 15)
        await asyncio.sleep(3)  # all waits have polled, and none is due
        began = now()
        times = await take_many(rate_limiter, 500)
        assert bisect_left(times, began + 1) <= 2 * 20

    run(main())


def test_a_slow_down_that_holds_no_request_ends() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await send_for(rate_limiter, 3, 10)
        rate_limiter.slow_down(now(), now())
        await send_for(rate_limiter, 120, 2)
        assert rate_limiter._slowed_at is None
        assert rate_limiter.slows is False
        nothing_armed()

    run(main())


@pytest.mark.parametrize("limit", [None, 100.0])
@pytest.mark.parametrize("hours", [1, 9, 72])
def test_a_client_that_slept_after_a_429_sends_at_once(hours: float, limit: float | None) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(limit)
        await send_for(rate_limiter, 3, 50)
        rate_limiter.slow_down(now(), now())
        await asyncio.sleep(hours * 3600)
        began = now()
        assert await take(rate_limiter) == began
        nothing_armed()

    run(main())


class Server:
    """A server with a token bucket, which refuses the other requests with 429."""

    def __init__(self, rate: float, bucket: float) -> None:
        self.rate = rate
        self.bucket = self.tokens = bucket
        self.at = now()
        self.answers: deque[tuple[float, bool]] = deque()

    def allows(self) -> bool:
        self.tokens = min(self.bucket, self.tokens + (now() - self.at) * self.rate)
        self.at = now()
        allowed = self.tokens >= 1
        self.tokens -= allowed
        self.answers.append((now(), allowed))
        return allowed


@pytest.mark.parametrize("trip", [0.02, 0.1, 0.3])
@pytest.mark.parametrize(
    ("rate", "bucket"),
    [
        (20, 5),
        *(pytest.param(20, bucket, marks=pytest.mark.slow) for bucket in (1, 20)),
        *(pytest.param(50, bucket, marks=pytest.mark.slow) for bucket in (1, 5, 20)),
        pytest.param(100, 5, marks=pytest.mark.slow),
    ],
)
def test_a_server_with_a_rate_limit_refuses_few_requests(
    rate: int, bucket: int, trip: float
) -> None:
    run(refuses_few(rate, bucket, trip, most=0.01))


@pytest.mark.parametrize("trip", [0.02, 0.3])
@pytest.mark.parametrize("bucket", [1, 5])
@pytest.mark.parametrize(("rate", "most"), [(1, 0.09), (2, 0.04), (4, 0.025), (6, 0.02)])
def test_a_server_with_a_low_rate_limit_refuses_few_requests(
    rate: int, bucket: int, trip: float, most: float
) -> None:
    # About one in a quarter of a minute, as the former rate is to be back in half a one.
    run(refuses_few(rate, bucket, trip, most=most))


async def refuses_few(rate: int, bucket: int, trip: float, *, most: float) -> None:
    rate_limiter = RateLimiter()
    server = Server(rate, bucket)

    async def demand() -> None:
        while True:
            sent_at = await take(rate_limiter)
            await asyncio.sleep(trip / 2)
            allowed = server.allows()
            await asyncio.sleep(trip / 2)
            if not allowed:
                rate_limiter.slow_down(sent_at, now())

    tasks = [asyncio.ensure_future(demand()) for _ in range(50)]
    await asyncio.sleep(330)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    later = [allowed for when, allowed in server.answers if when > START + 30]
    assert later.count(False) / len(later) < most
    assert later.count(True) > 0.6 * rate * 300
    nothing_armed()


@pytest.mark.slow
@pytest.mark.parametrize("stagger", [0, 20])
def test_clients_that_share_what_a_server_allows_each_get_a_share(stagger: float) -> None:
    async def main() -> None:
        server = Server(100, 20)
        got = [0, 0, 0]
        refused = 0

        async def demand(client: int, rate_limiter: RateLimiter) -> None:
            nonlocal refused
            await asyncio.sleep(stagger * client)
            while True:
                sent_at = await take(rate_limiter)
                await asyncio.sleep(0.05)
                allowed = server.allows()
                await asyncio.sleep(0.05)
                got[client] += allowed and now() > START + 60
                refused += not allowed and now() > START + 60
                if not allowed:
                    rate_limiter.slow_down(sent_at, now())

        budgets = [RateLimiter() for _ in got]
        tasks = [
            asyncio.ensure_future(demand(client, rate_limiter))
            for client, rate_limiter in enumerate(budgets)
            for _ in range(30)
        ]
        await asyncio.sleep(240)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert refused < 0.01 * sum(got)
        assert sum(got) > 80 * 180
        assert max(got) < 2.5 * min(got)
        nothing_armed()

    run(main())


@pytest.mark.parametrize("limit", [30, None])
def test_ready_requests_depart_at_the_rate_and_all_at_the_close(limit: float | None) -> None:
    async def main() -> None:
        rate_limiter = RateLimiter(limit)
        gone: list[float] = []

        async def go() -> None:
            if not rate_limiter.may_send(now()):
                await rate_limiter.wait_to_send()
            gone.append(now())

        tasks = [asyncio.ensure_future(go()) for _ in range(100)]
        await asyncio.sleep(1)
        for task in tasks[50:60]:
            task.cancel()  # costs the others nothing
        await asyncio.sleep(1)
        assert len(gone) == 100 if limit is None else in_any_second(gone) <= 1.2 * limit
        assert len(gone) > 60
        rate_limiter.close()
        await asyncio.wait(tasks)
        assert len(gone) == (100 if limit is None else 90)
        nothing_armed()

    run(main())


def test_a_request_may_depart_at_once_unless_others_wait() -> None:
    async def main() -> None:
        rate_limiter = RateLimiter()
        await take_many(rate_limiter, 40)
        assert rate_limiter.may_send(now())
        rate_limiter.slow_down(now(), now())
        assert [rate_limiter.may_send(now()) for _ in range(5)] == [True] * 4 + [False]
        began = now()
        waiting = [asyncio.ensure_future(rate_limiter.wait_to_send()) for _ in range(20)]
        await asyncio.sleep(0)
        assert not rate_limiter.may_send(now() + 10)
        await asyncio.gather(*waiting)
        assert now() - began == pytest.approx(1, abs=0.1)
        nothing_armed()

    run(main())


def test_the_cost_of_a_request_does_not_grow_with_the_queue() -> None:
    async def cost(queued: int) -> float:
        """Return the CPU seconds for each request in a queue."""
        loop = asyncio.get_running_loop()
        rate_limiter = RateLimiter(100_000)
        rate_limiter._calls.update((loop.create_future(), None) for _ in range(queued))
        began = time.process_time()
        rate_limiter._serve(loop)
        await asyncio.sleep(queued)
        assert not rate_limiter._calls
        return (time.process_time() - began) / queued

    async def main() -> None:
        few = min([await cost(2000) for _ in range(3)])
        assert await cost(60_000) < 6 * few

    run(main())


def test_a_request_freed_after_its_loop_has_ended_starts_no_other() -> None:
    rate_limiter = RateLimiter(connections=1)

    async def request() -> None:
        await rate_limiter.start(poll=False)
        try:
            await asyncio.Event().wait()
        finally:
            rate_limiter.finish()

    first, second = request(), request()
    loop = asyncio.new_event_loop()
    for one in (first, second):
        loop.run_until_complete(_begin(one))
    loop.close()
    first.close()  # as the garbage collector does
    second.close()


async def _begin(coroutine: Coroutine[Any, Any, None]) -> None:
    coroutine.send(None)
