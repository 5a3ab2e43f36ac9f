"""How fast a client may send, in virtual time."""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_left
from collections import deque
from itertools import pairwise
from typing import Any

import pytest

from prolific_async._http.budget import Budget
from tests.virtual_time import run

START = 1000.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(budget: Budget, *, look: bool = True) -> float:
    """Take a turn as the transport does, and tell when."""
    while not budget.take_free(now(), look=look) and not await budget.wait(look=look):
        await budget.unpaused()
    return now()


async def take_many(budget: Budget, count: int, *, look: bool = True) -> list[float]:
    return sorted(await asyncio.gather(*(take(budget, look=look) for _ in range(count))))


def in_any_second(times: list[float]) -> int:
    """Return the most turns within any second, its end excluded."""
    return max(bisect_left(times, began + 1 - 1e-6) - place for place, began in enumerate(times))


def nothing_armed() -> None:
    loop: Any = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []


# --- the limit -------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1, 2, 3.5, 5, 7, 10, 20, 33, 100, 1000])
def test_no_second_carries_more_than_allowed(rate: float) -> None:
    async def main() -> None:
        budget = Budget(rate)
        times = await take_many(budget, 3000)
        assert times[0] == START
        assert in_any_second(times) <= max(1.2 * rate, 1)
        assert (3000 - 0.2 * rate - 1) / rate <= times[-1] - START <= 3000 / rate + 1
        nothing_armed()

    run(main())


@pytest.mark.parametrize("rate", [2, 20, 100])
def test_no_second_carries_more_when_demand_comes_and_goes(rate: float) -> None:
    async def main() -> None:
        budget = Budget(rate)
        chance = random.Random(1)
        times: list[float] = []
        for _ in range(60):
            times += await take_many(budget, chance.randrange(1, 100), look=chance.random() < 0.5)
            await asyncio.sleep(chance.choice((0, 0.01, 0.3, 3)))
        assert in_any_second(sorted(times)) <= 1.2 * rate
        nothing_armed()

    run(main())


def test_without_a_limit_all_go_at_once() -> None:
    async def main() -> None:
        assert set(await take_many(Budget(), 1000)) == {START}
        nothing_armed()

    run(main())


def test_a_fifth_of_a_second_goes_at_once() -> None:
    async def main() -> None:
        assert (await take_many(Budget(100), 50)).count(START) == 20

    run(main())


def test_a_low_limit_starts_at_once() -> None:
    async def main() -> None:
        assert await take_many(Budget(0.1), 3) == [START, START + 10, START + 20]

    run(main())


# --- turns -----------------------------------------------------------------------------------


def test_a_plain_call_goes_within_two_turns_of_a_crowd_of_looks() -> None:
    async def main() -> None:
        budget = Budget(10)
        looks = asyncio.gather(*(take(budget) for _ in range(1000)))
        await asyncio.sleep(5.05)
        for _ in range(20):
            began = now()
            assert await take(budget, look=False) <= began + 0.2 + 1e-6
        await looks
        nothing_armed()

    run(main())


def test_looks_and_calls_alternate() -> None:
    async def main() -> None:
        budget = Budget(5)
        order: list[bool] = []

        async def one(*, look: bool) -> None:
            await take(budget, look=look)
            order.append(look)

        kinds = [True] * 20 + [False] * 20
        await asyncio.gather(*(one(look=look) for look in kinds))
        assert all(one != other for one, other in pairwise(order[1:-1]))

    run(main())


@pytest.mark.parametrize("look", [True, False])
def test_nobody_overtakes_who_waits(look: bool) -> None:  # noqa: FBT001 - a case
    async def main() -> None:
        budget = Budget(5)
        tasks = [asyncio.ensure_future(take(budget, look=look)) for _ in range(3)]
        await asyncio.sleep(0)
        # Their timer is late: the next turn is due, and not given yet.
        assert not budget.take_free(now() + 10, look=look)
        assert not budget.take_free(now() + 10, look=not look)
        await asyncio.gather(*tasks)
        assert budget.take_free(now() + 10, look=look)

    run(main())


def test_a_turn_is_free_for_a_look_once_its_pause_is_over() -> None:
    async def main() -> None:
        budget = Budget()
        assert budget.take_free(now(), look=True)
        budget.pause_looks(now() + 7)
        assert not budget.take_free(now() + 6.9, look=True)
        assert budget.take_free(now() + 6.9, look=False)
        assert budget.take_free(now() + 7, look=True)

    run(main())


def test_turns_of_a_kind_are_given_in_order() -> None:
    async def main() -> None:
        budget = Budget(5)
        order: list[int] = []

        async def one(number: int) -> None:
            await take(budget)
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(30)))
        assert order == list(range(30))

    run(main())


def test_paused_looks_let_calls_go() -> None:
    async def main() -> None:
        budget = Budget()
        budget.pause_looks(now() + 7)
        looks = asyncio.gather(*(take(budget) for _ in range(10)))
        await asyncio.sleep(1)
        assert await take(budget, look=False) == START + 1
        budget.pause_looks(now() + 2)  # does not shorten it
        assert set(await looks) == {START + 7}
        assert await take(budget) == START + 7
        nothing_armed()

    run(main())


def test_paused_looks_let_calls_go_at_their_rate() -> None:
    async def main() -> None:
        budget = Budget(10)
        budget.pause_looks(now() + 60)
        looks = asyncio.gather(*(take(budget) for _ in range(10)))
        calls = await take_many(budget, 100, look=False)
        assert calls[-1] - START < 10
        assert min(await looks) == START + 60
        nothing_armed()

    run(main())


def test_a_pause_that_is_made_longer_is_kept() -> None:
    async def main() -> None:
        budget = Budget()
        budget.pause_looks(now() + 3)
        look = asyncio.ensure_future(take(budget))
        await asyncio.sleep(1)
        budget.pause_looks(now() + 9)
        assert await look == START + 10
        nothing_armed()

    run(main())


# --- cancelled -------------------------------------------------------------------------------


def test_cancelled_waits_lose_no_turn() -> None:
    async def main() -> None:
        budget = Budget(5)
        tasks = [asyncio.ensure_future(take(budget)) for _ in range(100)]
        await asyncio.sleep(0.05)
        for task in tasks[1:99]:
            task.cancel()
        assert await tasks[99] == pytest.approx(START + 0.2)
        nothing_armed()

    run(main())


def test_waits_that_are_cancelled_when_a_turn_is_due_lose_it_not() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        budget = Budget(5)
        tasks = [asyncio.ensure_future(take(budget)) for _ in range(100)]
        await asyncio.sleep(0.1)
        for task in tasks[1:99]:
            task.cancel()
        loop.now += 0.15  # the loop is blocked until after the next turn is due
        assert await tasks[99] == pytest.approx(START + 0.25)
        nothing_armed()

    run(main())


def test_a_wait_that_is_cancelled_with_its_turn_in_hand_stalls_nobody() -> None:
    async def main() -> None:
        budget = Budget(5)
        tasks = [asyncio.ensure_future(take(budget)) for _ in range(3)]
        await asyncio.sleep(0)
        inside: Any = budget
        turn = next(iter(inside._looks))
        turn.add_done_callback(lambda _: tasks[1].cancel())
        assert await tasks[2] <= START + 0.4 + 1e-6
        assert tasks[1].cancelled() or tasks[1].done()
        nothing_armed()

    run(main())


@pytest.mark.parametrize("count", [1, 50])
def test_nothing_is_armed_when_all_waits_are_cancelled(count: int) -> None:
    async def main() -> None:
        budget = Budget(1)
        await take(budget)
        tasks = [asyncio.ensure_future(take(budget, look=bool(n % 2))) for n in range(count)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        nothing_armed()
        assert not budget._looks
        assert not budget._calls

    run(main())


def test_nothing_is_armed_when_looks_are_cancelled_as_a_pause_begins() -> None:
    async def main() -> None:
        budget = Budget(1)
        looks = [asyncio.ensure_future(take(budget)) for _ in range(3)]
        await asyncio.sleep(0.5)
        budget.pause_looks(now() + 60)
        for look in looks:
            look.cancel()
        await asyncio.wait(looks)
        nothing_armed()

    run(main())


def test_a_closed_budget_holds_nobody_up() -> None:
    async def main() -> None:
        budget = Budget(1)
        budget.pause_looks(now() + 100)
        tasks = [asyncio.ensure_future(take(budget, look=number % 2 == 0)) for number in range(8)]
        await asyncio.sleep(0.01)
        budget.close()
        nothing_armed()
        assert set(await asyncio.gather(*tasks)) == {START, START + 0.01}
        assert await take(budget) == START + 0.01
        nothing_armed()

    run(main())


@pytest.mark.parametrize("look", [True, False])
def test_who_waits_as_a_budget_is_closed_has_its_turn(look: bool) -> None:  # noqa: FBT001 - a case
    async def main() -> None:
        budget = Budget(1)
        await take(budget)
        waiting = asyncio.ensure_future(budget.wait(look=look))
        await asyncio.sleep(0.01)
        budget.close()
        assert await waiting

    run(main())


def test_who_is_cancelled_as_a_budget_is_closed_is_in_nobodys_way() -> None:
    async def main() -> None:
        budget = Budget(1)
        tasks = [asyncio.ensure_future(take(budget)) for _ in range(3)]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        budget.close()
        assert await tasks[2] == START + 0.01
        assert tasks[1].cancelled()
        nothing_armed()

    run(main())


# --- the slow-down ---------------------------------------------------------------------------


def rate_now(budget: Budget) -> float:
    return budget._rate(now())


async def send_for(budget: Budget, seconds: float, rate: float) -> None:
    """Ask for as many turns a second as given, evenly."""
    for _ in range(round(seconds * rate)):
        await take(budget)
        await asyncio.sleep(1 / rate)


@pytest.mark.parametrize("limit", [None, 40.0, 1000.0])
def test_a_429_halves_the_rate_there_was(limit: float | None) -> None:
    async def main() -> None:
        budget = Budget(limit)
        await send_for(budget, 5, 40)
        budget.slow_down(now(), now())
        assert rate_now(budget) == pytest.approx(20, rel=0.06)
        began = now()
        times = await take_many(budget, 100)
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
def test_the_rate_there_was_is_that_of_this_second_or_the_last(
    counts: list[int], gap: float, rate: float
) -> None:
    async def main() -> None:
        budget = Budget()
        for count in counts:
            await asyncio.sleep(gap)
            assert set(await take_many(budget, count)) == {now()}
        budget.slow_down(now(), now())
        assert rate_now(budget) == rate
        budget.slow_down(now(), now())  # to a request of the same moment
        assert rate_now(budget) == rate

    run(main())


@pytest.mark.parametrize(
    ("count", "rates"),
    [(40, [20, 37.5, 40, 40, 40 * 2**0.5, 80]), (0, [5, 7.1875, 7.5, 7.5, 7.5 * 2**0.5, 15])],
)
def test_the_rate_grows_to_what_was_refused_and_then_doubles(
    count: int, rates: list[float]
) -> None:
    async def main() -> None:
        budget = Budget()
        await take_many(budget, count)
        budget.slow_down(now(), now())
        grown = [budget._rate(now() + age) for age in (0, 7.5, 15, 30, 45, 60)]
        assert grown == pytest.approx(rates)

    run(main())


def test_the_first_turn_after_a_429_comes_after_a_gap() -> None:
    async def main() -> None:
        budget = Budget()
        budget.slow_down(now(), now())
        assert await take(budget) == pytest.approx(START + 0.2)

    run(main())


@pytest.mark.parametrize(("crowd", "ended"), [(1, True), (30, False)])
def test_a_slow_down_ends_after_a_minute_unless_there_is_use_for_its_rate(
    crowd: int,
    ended: bool,  # noqa: FBT001 - a case
) -> None:
    async def main() -> None:
        budget = Budget()
        await take_many(budget, 40)
        budget.slow_down(now(), now())
        while now() < START + 62:
            await take_many(budget, crowd)
            await asyncio.sleep(0.5)
        began = now()
        assert (set(await take_many(budget, 100)) == {began}) is ended

    run(main())


def test_a_burst_of_429s_is_one_decrease() -> None:
    async def main() -> None:
        budget = Budget()
        await send_for(budget, 5, 40)
        sent_at = now()
        await asyncio.sleep(0.1)
        budget.slow_down(sent_at, now())
        slowed = rate_now(budget)
        for _ in range(100):
            budget.slow_down(sent_at, now())
        assert rate_now(budget) == slowed
        await asyncio.sleep(1)
        budget.slow_down(sent_at, now())
        assert rate_now(budget) >= slowed
        faster = rate_now(budget)
        budget.slow_down(now(), now())
        assert rate_now(budget) < faster

    run(main())


def test_only_a_service_that_refuses_five_a_second_is_asked_less_often() -> None:
    async def main() -> None:
        budget = Budget()
        rates = []
        for _ in range(10):
            await take(budget)
            budget.slow_down(now(), now())
            rates.append(rate_now(budget))
        assert rates[0] == 5
        assert all(after >= before / 2 for before, after in pairwise(rates))
        assert min(rates) >= 0.5
        times = await take_many(budget, 50)
        assert times[0] - now() <= 2
        assert times[-1] - times[0] <= 30

    run(main())


def test_where_the_rate_is_higher_than_used_a_429_goes_no_lower_than_five() -> None:
    async def main() -> None:
        budget = Budget()
        await send_for(budget, 3, 100)
        budget.slow_down(now(), now())
        await send_for(budget, 10, 2)
        budget.slow_down(now(), now())
        assert rate_now(budget) == 5

    run(main())


@pytest.mark.parametrize("limit", [0.5, 1.0, 3.0, 5.0, 8.0])
def test_a_limit_near_that_is_halved_and_is_back_within_thirty_seconds(limit: float) -> None:
    async def main() -> None:
        budget = Budget(limit)
        await take_many(budget, 20)
        began = now()
        budget.slow_down(began, began)
        assert rate_now(budget) == limit / 2
        assert budget._rate(began + 30) == limit
        nothing_armed()

    run(main())


@pytest.mark.parametrize("limit", [1.0, 3.0])
def test_a_limit_below_that_stays(limit: float) -> None:
    async def main() -> None:
        budget = Budget(limit)
        await take(budget)
        budget.slow_down(now(), now())
        times = await take_many(budget, 50)
        assert in_any_second(times) <= max(1.2 * limit, 1)
        nothing_armed()

    run(main())


def test_the_rate_grows_without_leaps_and_is_back_within_thirty_seconds() -> None:
    async def main() -> None:
        budget = Budget()
        await send_for(budget, 5, 100)
        had = 100
        began = now()
        budget.slow_down(began, began)
        times = await take_many(budget, 6000)
        seconds = [0] * 60
        for when in times:
            if when < began + 60:
                seconds[int(when - began)] += 1
        assert seconds[0] == pytest.approx(had / 2, rel=0.3)
        assert seconds[29] >= 0.95 * had
        assert all(-3 <= after - before <= 0.11 * had for before, after in pairwise(seconds[1:40]))
        nothing_armed()

    run(main())


@pytest.mark.parametrize("seconds", [0.5, 2.5, 20])
def test_the_rate_from_before_many_429s_is_back_within_thirty_seconds(seconds: float) -> None:
    async def main() -> None:
        budget = Budget()
        await send_for(budget, 5, 182)
        until = now() + seconds
        while now() < until:
            budget.slow_down(await take(budget), now())
            ended = now()
            await asyncio.sleep(0.05)
        assert rate_now(budget) < 12
        times = await take_many(budget, 6000)
        assert bisect_left(times, ended + 31) - bisect_left(times, ended + 30) >= 0.95 * 182
        # Past the rate that was refused last it grows faster, but never by a leap.
        counts = [
            bisect_left(times, ended + second + 1) - bisect_left(times, ended + second)
            for second in range(30)
        ]
        assert all(after <= 1.6 * max(before, 10) for before, after in pairwise(counts))
        nothing_armed()

    run(main())


def test_a_429_long_after_the_others_starts_from_the_rate_of_its_time() -> None:
    async def main() -> None:
        budget = Budget()
        await take_many(budget, 200)
        budget.slow_down(now(), now())
        await send_for(budget, 40, 20)
        budget.slow_down(now(), now())
        assert budget._rate(now() + 30) == pytest.approx(20, rel=0.06)

    run(main())


@pytest.mark.slow
def test_there_is_no_cliff_once_it_is_back() -> None:
    async def main() -> None:
        budget = Budget()
        await send_for(budget, 5, 100)
        budget.slow_down(now(), now())
        began = now()
        times = await take_many(budget, 30_000)
        counts = [0] * (int(times[-1] - began) + 1)
        for when in times:
            counts[int(when - began)] += 1
        assert all(after <= 1.5 * max(before, 10) for before, after in pairwise(counts[1:]))

    run(main())


def test_an_idle_while_after_a_slow_down_makes_no_cliff() -> None:
    async def main() -> None:
        budget = Budget()
        await send_for(budget, 5, 20)
        budget.slow_down(now(), now())
        await send_for(budget, 31, 15)
        await asyncio.sleep(3)  # all waits have looked, and none is due
        began = now()
        times = await take_many(budget, 500)
        assert bisect_left(times, began + 1) <= 2 * 20

    run(main())


def test_what_holds_nobody_up_ends() -> None:
    async def main() -> None:
        budget = Budget()
        await send_for(budget, 3, 10)
        budget.slow_down(now(), now())
        await send_for(budget, 120, 2)
        assert budget._slowed_at is None
        nothing_armed()

    run(main())


@pytest.mark.parametrize("limit", [None, 100.0])
@pytest.mark.parametrize("hours", [1, 9, 72])
def test_a_client_that_slept_after_a_429_may_send_again(hours: float, limit: float | None) -> None:
    async def main() -> None:
        budget = Budget(limit)
        await send_for(budget, 3, 50)
        budget.slow_down(now(), now())
        await asyncio.sleep(hours * 3600)
        began = now()
        assert await take(budget) == began
        nothing_armed()

    run(main())


class Server:
    """Allows so many requests a second, by a bucket, and answers the others with 429."""

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
        *((20, bucket) for bucket in (1, 5, 20)),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(50, 1), (50, 5), (50, 20)]),
        pytest.param(100, 5, marks=pytest.mark.slow),
    ],
)
def test_a_server_of_so_many_a_second_refuses_few(rate: int, bucket: int, trip: float) -> None:
    run(refuses_few(rate, bucket, trip, most=0.01))


@pytest.mark.parametrize("trip", [0.02, 0.3])
@pytest.mark.parametrize("bucket", [1, 5])
@pytest.mark.parametrize(("rate", "most"), [(1, 0.09), (2, 0.04), (4, 0.025), (6, 0.02)])
def test_so_does_a_server_of_few_a_second(rate: int, bucket: int, trip: float, most: float) -> None:
    # About one in a quarter of a minute, as the former rate is to be back in half a one.
    run(refuses_few(rate, bucket, trip, most=most))


async def refuses_few(rate: int, bucket: int, trip: float, *, most: float) -> None:
    budget = Budget()
    server = Server(rate, bucket)

    async def demand() -> None:
        while True:
            sent_at = await take(budget)
            await asyncio.sleep(trip / 2)
            allowed = server.allows()
            await asyncio.sleep(trip / 2)
            if not allowed:
                budget.slow_down(sent_at, now())

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

        async def demand(client: int, budget: Budget) -> None:
            nonlocal refused
            await asyncio.sleep(stagger * client)
            while True:
                sent_at = await take(budget)
                await asyncio.sleep(0.05)
                allowed = server.allows()
                await asyncio.sleep(0.05)
                got[client] += allowed and now() > START + 60
                refused += not allowed and now() > START + 60
                if not allowed:
                    budget.slow_down(sent_at, now())

        budgets = [Budget() for _ in got]
        tasks = [
            asyncio.ensure_future(demand(client, budget))
            for client, budget in enumerate(budgets)
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
def test_who_is_ready_goes_at_the_rate_and_all_go_when_it_is_closed(limit: float | None) -> None:
    async def main() -> None:
        budget = Budget(limit)
        gone: list[float] = []

        async def go() -> None:
            if not budget.may_go(now()):
                await budget.wait_to_go()
            gone.append(now())

        tasks = [asyncio.ensure_future(go()) for _ in range(100)]
        await asyncio.sleep(1)
        for task in tasks[50:60]:
            task.cancel()  # costs the others nothing
        await asyncio.sleep(1)
        assert len(gone) == 100 if limit is None else in_any_second(gone) <= 1.2 * limit
        assert len(gone) > 60
        budget.close()
        await asyncio.wait(tasks)
        assert len(gone) == (100 if limit is None else 90)
        nothing_armed()

    run(main())


def test_a_long_queue_is_served_as_quickly_at_its_end() -> None:
    async def cost(queued: int) -> float:
        """Return the seconds of work for each one that waits in a queue."""
        loop = asyncio.get_running_loop()
        budget = Budget(100_000)
        budget._calls.update((loop.create_future(), None) for _ in range(queued))
        began = time.process_time()
        budget._serve(loop)
        await asyncio.sleep(queued)
        assert not budget._calls
        return (time.process_time() - began) / queued

    async def main() -> None:
        few = min([await cost(2000) for _ in range(3)])
        assert await cost(60_000) < 6 * few

    run(main())
