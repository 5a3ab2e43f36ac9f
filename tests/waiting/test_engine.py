"""One engine for many waiters, in virtual time: how many looks it makes, when, and what is left."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prolific_async import PollPolicy, RetryPolicy
from prolific_async._waiting.engine import PATIENCE, Engine
from prolific_async._waiting.entries import APART, HEAVY, REFUSALS, GroupLook
from prolific_async._waiting.wait import Look, Wait
from prolific_async._waiting.waits import Waits
from prolific_async.errors import ConfigurationError
from prolific_async.models import BatchStatus
from tests.virtual_time import VirtualLoop, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

START = 1000.0  # where the virtual clock begins; all times in these tests count from there


class Seen(NamedTuple):
    """What a look saw."""

    value: str = "pending"
    error: str | None = None


PENDING, READY, BROKEN = Seen(), Seen("ready"), Seen(error="broken")


WRONG: list[str] = []  # what was done to a waiter that must not be


def clock() -> float:
    return round(asyncio.get_running_loop().time() - START, 6)


class Waiter:
    """A waiter with a fixed gap that ends when it sees READY."""

    def __init__(
        self,
        key: str,
        *,
        gap: float = 3.0,
        timeout: float | None = None,
        fresh: float = 1.0,
        whole: bool = False,
    ) -> None:
        self.key = key
        self.gap = gap
        self.fresh = fresh
        self.wants_whole = whole
        now = asyncio.get_running_loop().time()
        self.due: float | None = now
        self.deadline = None if timeout is None else now + timeout
        self.is_over = False
        self.seen: list[tuple[float, Seen]] = []
        self.ended: Any = None
        self.ended_at: float | None = None

    def observe(self, seen: Seen, now: float) -> None:
        self.must_go_on("observes")
        self.seen.append((round(now - START, 6), seen))
        self.due = now + self.gap
        if seen == READY:
            self._end("ready", now)

    def expire(self, now: float, *, looking: bool) -> None:
        self.must_go_on("expires")
        self._end("expired while looking" if looking else "expired", now)

    def fail(self, error: Any, now: float) -> None:
        self.must_go_on("fails")
        self._end(error, now)

    def must_go_on(self, what: str) -> None:
        if self.is_over:
            WRONG.append(f"{self.key} is over, and {what}")

    def _end(self, how: Any, now: float) -> None:
        self.due, self.is_over = None, True
        self.ended, self.ended_at = how, round(now - START, 6)


class Service:
    """What is looked at, by an engine of its own. Every look takes scripted seconds."""

    def __init__(
        self,
        *,
        few: float = 8,
        at_once: int = 50,
        seconds: float = 0.1,
        group_of: Callable[[str], str | None] = lambda _: "home",
    ) -> None:
        self.seconds = seconds
        self.group_seconds = 0.1
        self.shown: dict[str, Seen] = {}
        self.missing: set[str] = set()
        self.groups: list[GroupLook] = []  # scripted answers that replace the next ones
        self.singles: list[tuple[float, str]] = []
        self.wholes: list[bool] = []
        self.as_ones: list[tuple[float, str | None, list[str]]] = []
        self.patiences: list[float] = []
        self.running = 0
        self.most = 0
        self.engine = Engine(self.look, self.look_as_one, group_of, few=few, at_once=at_once)

    async def look(self, key: str, whole: bool) -> Seen:  # noqa: FBT001 - the engine's call
        self.singles.append((clock(), key))
        self.wholes.append(whole)
        await self.take(self.seconds)
        return self.shown.get(key, PENDING)

    async def look_as_one(
        self, name: str | None, keys: list[str], wanted: Callable[[str], bool], patience: float = 0
    ) -> GroupLook:
        self.as_ones.append((clock(), name, keys))
        self.patiences.append(patience)
        await self.take(self.group_seconds)
        if self.groups:
            return self.groups.pop(0)
        every = set(self.engine._entries) - self.missing
        return GroupLook({key: self.shown.get(key, PENDING) for key in every if wanted(key)}, 100)

    async def take(self, seconds: float) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1

    def start(self, count: int, first: int = 0, **settings: Any) -> list[Waiter]:
        waiters = [Waiter(f"k{number}", **settings) for number in range(first, first + count)]
        for waiter in waiters:
            self.engine.start(waiter)
        return waiters

    def leave(self, waiters: list[Waiter]) -> None:
        for waiter in waiters:
            self.engine.leave(waiter)

    def at(self, key: str) -> list[float]:
        return [when for when, looked_at in self.singles if looked_at == key]

    @property
    def as_one_at(self) -> list[float]:
        return [when for when, _, _ in self.as_ones]


async def nothing_left(engine: Engine) -> None:
    wrong = WRONG.copy()
    WRONG.clear()
    assert wrong == []
    await engine.settled()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not engine._entries
    assert not engine._groups
    assert not engine._timetable._heap
    assert not engine._queue
    assert not engine._under_way
    assert engine._timetable._timer is None
    loop: Any = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


def engine_test(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def ran() -> None:
        async def main() -> None:
            await test()

        run(main())

    ran.__name__ = test.__name__
    return ran


# --- single flight ---------------------------------------------------------------------------


@engine_test
async def test_many_waiters_on_a_key_cost_one_stream() -> None:
    service = Service()
    waiters = [Waiter("k") for _ in range(1000)]
    for waiter in waiters:
        service.engine.start(waiter)
    await asyncio.sleep(10)
    assert service.singles == [(0, "k"), (3.1, "k"), (6.2, "k"), (9.3, "k")]
    assert {len(waiter.seen) for waiter in waiters} == {4}
    service.leave(waiters)
    await nothing_left(service.engine)


@engine_test
async def test_each_keeps_its_deadline() -> None:
    service = Service()
    waiters = [Waiter("k", timeout=1 + number / 7) for number in range(50)]
    futures = [service.engine.start(waiter) for waiter in waiters]
    await asyncio.wait(futures)
    assert [waiter.ended_at for waiter in waiters] == [
        round(1 + number / 7, 6) for number in range(50)
    ]
    await nothing_left(service.engine)


@engine_test
async def test_the_last_of_a_thousand_stays_served() -> None:
    service = Service()
    first, *others = [Waiter("k") for _ in range(1000)]
    future = service.engine.start(first)
    for waiter in others:
        service.engine.start(waiter)
    await asyncio.sleep(0.05)  # in the middle of a look
    service.leave(others)
    await asyncio.sleep(5)
    assert [when for when, _ in first.seen] == [0.1, 3.2]
    assert service.at("k") == [0, 3.1]
    service.shown["k"] = READY
    await future
    assert first.ended_at == 6.3
    assert {len(waiter.seen) for waiter in others} == {0}
    await nothing_left(service.engine)


@engine_test
async def test_the_stream_is_as_eager_as_its_most_eager_waiter() -> None:
    service = Service(seconds=0)
    slow, eager = Waiter("k", gap=10), Waiter("k", gap=1)
    service.engine.start(slow)
    service.engine.start(eager)
    await asyncio.sleep(3.5)
    assert service.at("k") == [0, 1, 2, 3]
    service.engine.leave(eager)
    await asyncio.sleep(10)
    assert service.at("k") == [0, 1, 2, 3, 13]
    service.engine.leave(slow)
    await nothing_left(service.engine)


@engine_test
async def test_the_stream_ends_with_its_last_waiter() -> None:
    service = Service()
    (waiter,) = service.start(1)
    await asyncio.sleep(1)
    service.engine.leave(waiter)
    service.engine.leave(waiter)
    await nothing_left(service.engine)
    await asyncio.sleep(10)
    assert len(service.singles) == 1


@pytest.mark.parametrize(("after", "looks"), [(0.9, [0]), (1.2, [0, 1.2])])
def test_a_joiner_takes_what_is_fresh_and_looks_at_once_otherwise(
    after: float, looks: list[float]
) -> None:
    async def main() -> None:
        service = Service(seconds=0)
        service.start(1)
        await asyncio.sleep(after)
        joiner = Waiter("k0", fresh=1)
        service.engine.start(joiner)
        await asyncio.sleep(0.5)
        assert service.at("k0") == looks
        assert joiner.seen == [(after, PENDING)]
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_what_is_no_younger_than_its_gap_is_not_fresh() -> None:
    service = Service(seconds=0.25)
    service.start(1)
    await asyncio.sleep(1.25)
    service.start(1, fresh=1)
    await asyncio.sleep(1)
    assert service.at("k0") == [0, 1.25]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_joiner_during_a_group_look_shares_it() -> None:
    service = Service()
    service.start(8)
    await asyncio.sleep(3.15)
    (joiner,) = service.start(1)
    await asyncio.sleep(1)
    assert service.as_one_at == [0, 3.1]
    assert service.singles == []
    assert joiner.seen == [(3.2, PENDING)]
    service.engine.close("closed")
    await nothing_left(service.engine)


@pytest.mark.parametrize("first", [5, 50])
def test_the_deadline_of_one_that_joins_during_a_look_is_kept(first: float) -> None:
    async def main() -> None:
        service = Service(seconds=100)
        (early,) = service.start(1, timeout=first)
        await asyncio.sleep(1)
        (late,) = service.start(1, timeout=20)
        await asyncio.sleep(60)
        assert (early.ended, early.ended_at) == ("expired while looking", first)
        assert (late.ended, late.ended_at) == ("expired while looking", 21)
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_who_expires_between_two_looks_was_not_looking() -> None:
    service = Service()
    (waiter,) = service.start(1, timeout=2)
    await asyncio.sleep(3)
    assert (waiter.ended, waiter.ended_at) == ("expired", 2)
    await nothing_left(service.engine)


@engine_test
async def test_a_queued_look_for_nobody_is_not_made() -> None:
    service = Service(at_once=1, seconds=1)
    service.start(1)
    (gone,) = service.start(1, first=1)
    await asyncio.sleep(0.5)
    service.engine.leave(gone)
    await asyncio.sleep(2)
    assert service.at("k0") == [0]
    assert service.at("k1") == []
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_joiners_of_a_crowd_that_take_what_is_fresh_look_with_it_again() -> None:
    service = Service()
    service.start(100, gap=10)
    await asyncio.sleep(0.6)
    joiners = [Waiter(f"k{number}", gap=1 + number / 1000) for number in range(100)]
    for waiter in joiners:
        service.engine.start(waiter)
    await asyncio.sleep(1.5)
    assert service.singles == []
    assert service.as_one_at == [0, 1.6]
    assert {len(waiter.seen) for waiter in joiners} == {2}
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_joiner_of_one_that_needs_whole_looks_gets_its_look_in_time() -> None:
    service = Service()
    service.start(20, gap=10)
    service.start(1, gap=10, whole=True)
    await asyncio.sleep(0.6)
    service.engine.start(joiner := Waiter("k0", gap=1))
    await asyncio.sleep(1.3)
    assert [when for when, _ in joiner.seen] == [0.6, 1.7]
    assert service.as_one_at == [0]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_joiner_may_be_over_with_what_is_fresh() -> None:
    service = Service()
    first, joiner = Waiter("k", gap=3), Waiter("k")
    service.engine.start(first)
    await asyncio.sleep(0.5)
    service.engine._entries["k"].seen = READY
    assert service.engine.start(joiner).done()
    assert joiner.ended == "ready"
    service.engine.leave(joiner)
    service.engine.leave(first)
    await nothing_left(service.engine)


@engine_test
async def test_a_failed_look_is_not_fresh() -> None:
    service = Service(seconds=0)
    service.shown["k0"] = BROKEN
    service.start(1)
    await asyncio.sleep(0.5)
    (joiner,) = service.start(1)
    await asyncio.sleep(0.1)
    assert service.at("k0") == [0, 0.5]
    assert joiner.seen == [(0.5, BROKEN)]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_joiner_during_a_look_shares_it() -> None:
    service = Service()
    service.start(1)
    await asyncio.sleep(0.05)
    (joiner,) = service.start(1)
    await asyncio.sleep(1)
    assert service.at("k0") == [0]
    assert joiner.seen == [(0.1, PENDING)]
    service.engine.close("closed")
    await nothing_left(service.engine)


# --- nothing left ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 8, 20])
@pytest.mark.parametrize("after", [0, 0.05, 0.1, 0.5])
@pytest.mark.parametrize("how", ["leave", "close", "ready", "expire"])
def test_nothing_is_left(count: int, after: float, how: str) -> None:
    async def main() -> None:
        service = Service(at_once=3)
        timeout = None if how != "expire" else after or 0.01
        waiters = service.start(count, timeout=timeout)
        if how == "ready":
            service.shown = {waiter.key: READY for waiter in waiters}
        await asyncio.sleep(after)
        if how == "leave":
            service.leave(waiters)
        elif how == "close":
            service.engine.close("closed")
            assert [waiter.ended for waiter in waiters] == ["closed"] * count
        else:
            await asyncio.sleep(5)
            assert all(waiter.is_over for waiter in waiters)
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_close_ends_all_and_settles_their_futures() -> None:
    service = Service()
    waiters = [Waiter(f"k{number % 30}") for number in range(90)]
    futures = [service.engine.start(waiter) for waiter in waiters]
    await asyncio.sleep(0.05)
    service.engine.close("closed")
    assert all(future.done() for future in futures)
    assert {waiter.ended for waiter in waiters} == {"closed"}
    await nothing_left(service.engine)
    assert service.running == 0


@engine_test
async def test_a_cancelled_future_of_a_waiter_does_no_harm() -> None:
    service = Service()
    service.shown["k"] = READY
    one, other = Waiter("k"), Waiter("k")
    service.engine.start(one).cancel()
    await service.engine.start(other)
    assert other.ended == "ready"
    await nothing_left(service.engine)


# --- groups ----------------------------------------------------------------------------------


@engine_test
async def test_eight_are_looked_at_as_one() -> None:
    service = Service()
    waiters = service.start(8)
    await asyncio.sleep(4)
    assert service.singles == []
    assert service.as_one_at == [0, 3.1]
    assert sorted(service.as_ones[0][2]) == sorted(waiter.key for waiter in waiters)
    assert {tuple(waiter.seen) for waiter in waiters} == {((0.1, PENDING), (3.2, PENDING))}
    service.leave(waiters)
    await nothing_left(service.engine)


@engine_test
async def test_seven_are_looked_at_singly() -> None:
    service = Service()
    service.start(7)
    await asyncio.sleep(4)
    assert service.as_ones == []
    assert len(service.singles) == 14
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_group_is_as_eager_as_its_most_eager_waiter() -> None:
    service = Service()
    service.group_seconds = 0
    service.start(20, gap=30)
    service.start(1, first=20, gap=2)
    await asyncio.sleep(9)
    assert service.singles == []
    assert service.as_one_at == [0, 2, 4, 6, 8]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_what_the_group_look_misses_is_looked_at_singly_for_a_while() -> None:
    service = Service()
    service.missing = {"k3"}
    service.start(10)
    await asyncio.sleep(APART - 1)
    assert {key for _, key in service.singles} == {"k3"}
    assert service.at("k3")[:3] == [0.1, 3.2, 6.3]
    assert all("k3" not in keys for _, _, keys in service.as_ones[1:])
    service.missing = set()
    await asyncio.sleep(10)
    so_far = len(service.singles)
    await asyncio.sleep(30)
    assert len(service.singles) == so_far
    assert "k3" in service.as_ones[-1][2]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_what_a_group_look_shows_again_is_looked_at_with_it_again() -> None:
    service = Service()
    service.missing = {"k3"}
    service.start(10)
    await asyncio.sleep(5)
    service.missing = set()
    await asyncio.sleep(3)
    so_far = service.at("k3")
    await asyncio.sleep(20)
    assert service.at("k3") == so_far
    service.engine.close("closed")
    await nothing_left(service.engine)


@pytest.mark.parametrize("why", ["failed", "heavy"])
def test_a_group_is_apart_for_a_while(why: str) -> None:
    async def main() -> None:
        service = Service()
        found = {f"k{number}": PENDING for number in range(10)}
        if why == "failed":
            service.groups = [GroupLook(failure="broken")]
        elif why == "heavy":
            service.groups = [GroupLook(found, size=10 * HEAVY + 1)]
        else:
            service.groups = [GroupLook(found, size=1)]
            service.group_seconds = 2
        waiters = service.start(10)
        await asyncio.sleep(2.5)
        assert service.as_one_at == [0]
        assert len(service.singles) == (10 if why == "failed" else 0)
        assert all(waiter.seen for waiter in waiters)
        assert all(seen.error is None for waiter in waiters for _, seen in waiter.seen)
        service.group_seconds = 0.1
        await asyncio.sleep(APART - 2.5)
        assert service.as_one_at == [0]
        assert 180 <= len(service.singles) <= 200
        await asyncio.sleep(10)
        assert len(service.as_one_at) > 1
        assert APART < service.as_one_at[1] < APART + 6
        so_far = len(service.singles)
        await asyncio.sleep(30)
        assert len(service.singles) == so_far
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_a_group_of_one_is_apart_for_a_while_too() -> None:
    service = Service(few=1)
    service.groups = [GroupLook(failure="broken")]
    service.start(1)
    await asyncio.sleep(APART - 1)
    assert service.as_one_at == [0]
    assert len(service.singles) > 15
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_group_look_may_last_as_long_as_the_single_ones_in_its_place() -> None:
    service = Service(at_once=1, seconds=0.9)
    service.start(8)
    await asyncio.sleep(0.5)
    service.start(1, first=8)  # whose look of 0.9 s makes the mean of 0.1 s longer
    await asyncio.sleep(3)
    assert service.as_one_at == [0, 3.1]
    assert service.patiences == pytest.approx([2 * 0.1 * 8, 2 * 0.2 * 9])
    service.engine.close("closed")
    await nothing_left(service.engine)
    service = Service()
    service.start(8)
    await asyncio.sleep(1)
    assert service.patiences == [PATIENCE]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_group_is_not_looked_at_for_one_that_was_looked_at_meanwhile() -> None:
    service = Service()
    service.start(1)
    service.start(7, first=1, gap=30)
    await asyncio.sleep(2)
    service.engine.look_now("k0")
    await asyncio.sleep(4)
    assert service.singles == [(2, "k0")]
    assert service.as_one_at == [0, 5.1]
    service.engine.close("closed")
    await nothing_left(service.engine)


def refused(seconds: float) -> GroupLook:
    return GroupLook(failure="429", refused_for=seconds)


@engine_test
async def test_a_refused_group_is_held() -> None:
    service = Service()
    service.groups = [refused(5), refused(7)]
    waiters = service.start(10)
    newcomer = service.start(1, first=10)[0]
    await asyncio.sleep(3)
    service.start(1, first=11)  # its first look is its own
    service.engine.look_now("k1")  # but this one is held, too
    await asyncio.sleep(11)
    assert service.singles == [(3, "k11")]
    assert service.as_one_at == [0, 5.1, 12.2]
    assert waiters[0].seen == newcomer.seen == [(12.3, PENDING)]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_group_that_is_refused_thrice_is_looked_at_singly() -> None:
    service = Service()
    service.groups = [refused(5)] * REFUSALS
    service.start(10)
    await asyncio.sleep(12)
    assert service.as_one_at == [0, 5.1, 10.2]
    assert [when for when, _ in service.singles] == [10.3] * 10
    await asyncio.sleep(APART + 4)
    assert len(service.as_one_at) > 3
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_deadline_in_a_held_group_is_kept() -> None:
    service = Service()
    service.groups = [refused(50)]
    waiters = service.start(10, timeout=20)
    await asyncio.sleep(21)
    assert {waiter.ended_at for waiter in waiters} == {20}
    assert {waiter.ended for waiter in waiters} == {"expired"}
    await nothing_left(service.engine)


@pytest.mark.parametrize("after", [0.05, 0.5])
@pytest.mark.parametrize("count", [1, 7])
def test_newcomers_during_or_after_a_group_look_get_looks_of_their_own(
    after: float, count: int
) -> None:
    async def main() -> None:
        service = Service()
        service.start(20)
        await asyncio.sleep(after)
        newcomers = service.start(count, first=20)
        await asyncio.sleep(1)
        assert service.as_one_at == [0]
        assert [when for when, _ in service.singles] == [after] * count
        assert {len(waiter.seen) for waiter in newcomers} == {1}
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_many_newcomers_are_looked_at_as_one() -> None:
    service = Service()
    service.start(20)
    await asyncio.sleep(0.5)
    newcomers = service.start(8, first=20)
    await asyncio.sleep(0.2)
    assert service.singles == []
    assert service.as_one_at == [0, 0.5]
    assert {tuple(waiter.seen) for waiter in newcomers} == {((0.6, PENDING),)}
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_one_that_needs_a_whole_look_gets_one() -> None:
    service = Service()
    service.start(20)
    service.start(1, first=20, whole=True)
    await asyncio.sleep(1)
    assert service.singles == [(0, "k20")]
    assert service.wholes == [True]
    assert service.as_one_at == [0]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_one_that_needs_a_whole_look_is_not_shown_another_while_that_is_queued() -> None:
    service = Service(at_once=2)
    service.seconds = 5
    whole = service.start(3, whole=True)  # the third one has to wait for a place
    others = service.start(20, first=3)
    await asyncio.sleep(20)
    assert len(others[0].seen) > 1
    assert [len(waiter.seen) <= len(service.at(waiter.key)) for waiter in whole] == [True] * 3
    service.engine.close("closed")
    await nothing_left(service.engine)


class WholeAfter(Waiter):
    """One that wants a whole look at once after its first one."""

    def observe(self, seen: Seen, now: float) -> None:
        super().observe(seen, now)
        self.wants_whole = len(self.seen) == 1
        if self.wants_whole:
            self.due = now


@engine_test
async def test_one_of_a_group_that_comes_to_need_a_whole_look_gets_it_at_once() -> None:
    service = Service()
    service.start(8)
    await asyncio.sleep(0.5)
    service.engine.start(WholeAfter("k8"))
    await asyncio.sleep(1)
    assert service.singles == [(0.5, "k8"), (0.6, "k8")]
    assert service.wholes == [False, True]
    service.engine.close("closed")
    await nothing_left(service.engine)


class Later(Waiter):
    """One that wants its next look after so many seconds, a whole one, or none any more."""

    def __init__(self, key: str, gap: float | None) -> None:
        super().__init__(key, timeout=8, fresh=5)
        self.next_gap = gap

    def observe(self, seen: Seen, now: float) -> None:
        super().observe(seen, now)
        self.wants_whole = self.next_gap is not None
        self.due = None if self.next_gap is None else now + self.next_gap


@pytest.mark.parametrize("gap", [None, 1])
def test_a_joiner_of_a_group_that_takes_what_is_fresh_gets_what_it_wants_next(
    gap: float | None,
) -> None:
    async def main() -> None:
        service = Service()
        service.start(8, gap=20)
        await asyncio.sleep(1)
        service.engine.start(joiner := Later("k0", gap))
        await asyncio.sleep(1.5)
        assert service.singles == ([] if gap is None else [(2, "k0")])
        assert service.wholes == ([] if gap is None else [True])
        await asyncio.sleep(10)
        assert joiner.ended_at == 9
        assert service.as_one_at == [0]
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_a_joiner_of_a_group_that_takes_nothing_gets_a_look_of_its_own() -> None:
    service = Service()
    service.start(8, gap=20)
    await asyncio.sleep(5)
    service.start(1, gap=20)
    await asyncio.sleep(1)
    assert service.singles == [(5, "k0")]
    assert service.as_one_at == [0]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_those_whose_home_becomes_known_are_looked_at_there_next() -> None:
    homes: dict[str, str] = {}
    service = Service(group_of=homes.get)
    service.start(8)
    await asyncio.sleep(1)
    homes |= {f"k{number}": "home" for number in range(8)}
    await asyncio.sleep(3)
    assert [name for _, name, _ in service.as_ones] == [None, "home"]
    assert service.singles == []
    service.engine.close("closed")
    await nothing_left(service.engine)


class Unknown(Service):
    """Keys of which nothing is known: a scout's look at its home shows all that live there."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        super().__init__(group_of=(known := dict[str, str]()).get)
        self.homes = homes
        self.known = known

    async def look_as_one(
        self, name: str | None, keys: list[str], wanted: Callable[[str], bool], patience: float = 0
    ) -> GroupLook:
        self.as_ones.append((clock(), name, keys))
        await self.take(self.group_seconds)
        home = name or self.homes[keys[0]]
        shown = [key for key in keys if self.homes[key] == home]
        self.known |= dict.fromkeys(shown, home)
        found = {key: self.shown.get(key, PENDING) for key in shown}
        return GroupLook(found, again=not name and len(shown) > 1)


@engine_test
async def test_the_homes_of_unknown_ones_are_found_out() -> None:
    service = Unknown({f"k{number}": "abc"[number % 3] for number in range(60)})
    waiters = service.start(60)
    await asyncio.sleep(2)
    assert [(name, len(keys)) for _, name, keys in service.as_ones] == [
        (None, 60),
        (None, 40),
        (None, 20),
    ]
    assert service.singles == []
    assert {len(waiter.seen) for waiter in waiters} == {1}
    await asyncio.sleep(3)
    assert sorted((str(name), len(keys)) for _, name, keys in service.as_ones[3:]) == [
        ("a", 20),
        ("b", 20),
        ("c", 20),
    ]
    assert set(service.engine._groups) == {"a", "b", "c"}
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_unknown_ones_without_company_are_looked_at_singly() -> None:
    service = Unknown({f"k{number}": f"home of {number}" for number in range(20)})
    waiters = service.start(20)
    await asyncio.sleep(2)
    assert len(service.as_ones) == 1
    assert len(service.singles) == 19
    assert {len(waiter.seen) for waiter in waiters} == {1}
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_few_unknown_ones_that_remain_are_looked_at_singly() -> None:
    service = Unknown({f"k{number}": "a" if number < 20 else "b" for number in range(25)})
    waiters = service.start(25)
    await asyncio.sleep(2)
    assert len(service.as_ones) == 1
    assert len(service.singles) == 5
    assert {len(waiter.seen) for waiter in waiters} == {1}
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_one_whose_group_becomes_known_moves() -> None:
    names: dict[str, str] = {}
    service = Service(group_of=names.get)
    service.start(16)
    await asyncio.sleep(1)
    names |= {f"k{number}": "home" for number in range(8)}
    await asyncio.sleep(8)
    assert service.singles == []
    latest = {name: sorted(keys) for _, name, keys in service.as_ones}
    assert latest["home"] == [f"k{number}" for number in range(8)]
    assert latest[None] == sorted(f"k{number}" for number in range(8, 16))
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_group_that_is_known_stays_so_while_somebody_waits() -> None:
    names = {f"k{number}": "home" for number in range(8)}
    service = Service(group_of=names.get)
    service.start(8)
    await asyncio.sleep(1)
    names.clear()  # as when too many were to be remembered
    await asyncio.sleep(8)
    assert service.singles == []
    assert {name for _, name, _ in service.as_ones} == {"home"}
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_group_look_is_never_made_for_nobody() -> None:
    service = Service(at_once=8)
    service.seconds = 10
    service.start(8, whole=True)  # take all places
    await asyncio.sleep(1)
    late = service.start(8, first=8)  # their group look has to wait for one
    await asyncio.sleep(1)
    service.leave(late)
    await asyncio.sleep(30)
    assert all(keys for _, _, keys in service.as_ones)
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_queued_group_look_that_all_came_to_need_no_more_makes_room() -> None:
    service = Service(at_once=1, seconds=1)
    blocker = service.start(1, first=8, whole=True)
    await asyncio.sleep(0.1)
    service.start(8)  # their group look has to wait
    await asyncio.sleep(0.1)
    wholes = service.start(8, whole=True)  # looks at each come next, and serve as well
    await asyncio.sleep(0.1)
    service.leave(blocker)
    await asyncio.sleep(10)
    service.leave(wholes)
    await asyncio.sleep(10)
    assert service.singles[1:9] == [(0.3 + number, f"k{number}") for number in range(8)]
    assert all(keys for _, _, keys in service.as_ones)
    assert service.as_one_at[-1] > 15
    service.engine.close("closed")
    await nothing_left(service.engine)


# --- look now, and at once -------------------------------------------------------------------


@engine_test
async def test_look_now_is_one_look() -> None:
    service = Service()
    service.start(1, gap=10)
    await asyncio.sleep(1)
    for _ in range(100):
        service.engine.look_now("k0")
    await asyncio.sleep(5)
    service.engine.look_now("unheard of")
    assert service.at("k0") == [0, 1]
    await asyncio.sleep(6)
    assert service.at("k0") == [0, 1, 11.1]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_look_now_during_a_look_causes_another() -> None:
    service = Service()
    service.start(1, gap=10)
    await asyncio.sleep(0.05)
    for _ in range(100):
        service.engine.look_now("k0")
    await asyncio.sleep(5)
    assert service.at("k0") == [0, 0.1]
    service.engine.close("closed")
    await nothing_left(service.engine)


@pytest.mark.parametrize(("count", "singles"), [(1, 1), (7, 7), (8, 0), (20, 0)])
def test_look_now_at_a_few_of_a_group_is_a_look_at_each(count: int, singles: int) -> None:
    async def main() -> None:
        service = Service()
        waiters = service.start(20, gap=10)
        await asyncio.sleep(1)
        for waiter in waiters[:count] * 3:
            service.engine.look_now(waiter.key)
        await asyncio.sleep(1)
        assert [when for when, _ in service.singles] == [1] * singles
        assert service.as_one_at == ([0] if singles else [0, 1])
        await asyncio.sleep(7)
        assert len(service.as_ones) == (1 if singles else 2)  # the group keeps its own time
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_look_now_at_many_of_a_held_group_waits_for_the_hold() -> None:
    service = Service()
    service.groups = [refused(5)]
    waiters = service.start(20, gap=50)
    await asyncio.sleep(1)
    for waiter in waiters:
        service.engine.look_now(waiter.key)
    await asyncio.sleep(20)
    assert service.singles == []
    assert service.as_one_at == [0, 5.1]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_group_is_not_looked_at_for_one_that_left() -> None:
    service = Service()
    service.group_seconds = 0
    service.start(20, gap=10)
    (eager,) = service.start(1, first=20, gap=1)
    await asyncio.sleep(1.5)
    service.engine.leave(eager)
    await asyncio.sleep(9)
    assert service.as_one_at == [0, 1]
    await asyncio.sleep(1)
    assert service.as_one_at == [0, 1, 11]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_many_that_end_leave_no_places_behind() -> None:
    service = Service()
    service.start(10)
    for first in range(10, 5000, 10):
        waiters = service.start(10, first=first, timeout=1000)
        await asyncio.sleep(0.5)
        service.leave(waiters)
    assert len(service.engine._timetable._heap) < 200
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_look_now_during_a_look_survives_a_group_look() -> None:
    service = Service(seconds=2)
    service.start(8)
    await asyncio.sleep(2.9)
    service.engine.look_now("k0")
    await asyncio.sleep(0.1)
    service.engine.look_now("k0")
    await asyncio.sleep(3)
    assert service.as_one_at[:2] == [0, 3.1]
    assert service.at("k0") == [2.9, 4.9]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_look_now_during_a_group_look_causes_another() -> None:
    service = Service()
    waiters = service.start(10, gap=10)
    await asyncio.sleep(0.05)
    service.engine.look_now("k0")
    await asyncio.sleep(5)
    assert [when for when, _ in waiters[0].seen] == [0.1, 0.2]
    service.engine.close("closed")
    await nothing_left(service.engine)


@pytest.mark.parametrize("why", ["failed", "missing"])
def test_look_now_at_many_is_a_look_at_each_where_the_one_look_does_not_show_them(
    why: str,
) -> None:
    async def main() -> None:
        service = Service()
        waiters = service.start(20, gap=10)
        await asyncio.sleep(1)
        if why == "failed":
            service.groups = [GroupLook(failure="broken")]
        else:
            service.missing = {waiter.key for waiter in waiters}
        for waiter in waiters:
            service.engine.look_now(waiter.key)
        await asyncio.sleep(2)
        assert service.as_one_at == [0, 1]
        assert sorted(service.singles) == sorted((1.1, waiter.key) for waiter in waiters)
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_look_now_at_one_apart_is_kept_when_its_group_is_looked_at() -> None:
    service = Service()
    service.missing = {"k3"}
    service.start(20, gap=10)
    await asyncio.sleep(5)
    service.engine.look_now("k3")
    (group,) = service.engine._groups.values()
    service.engine._look_together(group, asyncio.get_running_loop().time())
    service.engine._start(asyncio.get_running_loop())  # comes first, in this very moment
    await asyncio.sleep(1)
    assert service.at("k3") == [0.1, 5]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_looks_at_once_are_bounded_and_the_queue_drains() -> None:
    service = Service(few=float("inf"), at_once=5)
    waiters = service.start(1000, gap=1000)
    await asyncio.sleep(19)
    assert service.most == 5
    assert len(service.singles) == 950
    await asyncio.sleep(2)
    assert {len(waiter.seen) for waiter in waiters} == {1}
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_deadlines_are_kept_whatever_is_under_way() -> None:
    service = Service(few=float("inf"), at_once=2, seconds=10)
    waiters = [Waiter(f"k{number}", timeout=1 + number / 8) for number in range(8)]
    futures = [service.engine.start(waiter) for waiter in waiters]
    await asyncio.wait(futures)
    assert [waiter.ended_at for waiter in waiters] == [1 + number / 8 for number in range(8)]
    await nothing_left(service.engine)


@engine_test
async def test_places_of_looks_that_ended_are_used() -> None:
    service = Service(few=float("inf"), at_once=2, seconds=10)
    hasty = service.start(2, timeout=1)
    (patient,) = service.start(1, first=2)
    service.shown["k2"] = READY
    await asyncio.sleep(12)
    assert {waiter.ended_at for waiter in hasty} == {1}
    assert patient.ended_at == 11
    await nothing_left(service.engine)


# --- bugs of what looks, clocks and loops ----------------------------------------------------


@pytest.mark.parametrize("count", [1, 10])
def test_a_look_that_raises_leaves_nobody_hanging(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        service = Service()
        broken = [True]

        async def take(seconds: float) -> None:
            await asyncio.sleep(seconds)
            if broken[0]:
                raise ZeroDivisionError

        service.take = take  # type: ignore[method-assign]
        waiters = [Waiter(f"k{number}") for number in range(count)]
        futures = [service.engine.start(waiter) for waiter in waiters]
        await asyncio.sleep(1)
        if count == 1:
            assert isinstance(waiters[0].ended, ZeroDivisionError)
        else:
            assert "home: 10 are looked at singly for 60 s: ZeroDivisionError()" in caplog.messages
        broken[0] = False
        service.shown = {f"k{number}": READY for number in range(count)}
        await asyncio.sleep(2 * APART)
        assert all(future.done() for future in futures)
        assert all(future.exception() is None for future in futures)
        await nothing_left(service.engine)

    run(main())


@pytest.mark.parametrize("count", [1, 10])
def test_a_look_that_somebody_else_cancels_leaves_nobody_hanging(count: int) -> None:
    async def main() -> None:
        service = Service()
        waiters = service.start(count)
        await asyncio.sleep(0.05)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        service.shown = {waiter.key: READY for waiter in waiters}
        await asyncio.sleep(2 * APART)
        assert all(waiter.is_over for waiter in waiters)
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_one_whose_look_somebody_else_cancelled_may_leave() -> None:
    service = Service()
    waiters = service.start(1)
    await asyncio.sleep(0.05)
    (task,) = asyncio.all_tasks() - {asyncio.current_task()}
    task.cancel()
    await asyncio.wait([task])
    service.leave(waiters)
    await nothing_left(service.engine)


@pytest.mark.parametrize("few", [8, float("inf")])
def test_a_clock_that_jumps_makes_no_storm_and_misses_no_deadline(few: float) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        service = Service(few=few, at_once=10)
        patient = service.start(100)
        hasty = service.start(100, timeout=50)
        await asyncio.sleep(20)
        before, groups = len(service.singles), len(service.as_ones)
        loop.now += 100
        await asyncio.sleep(0.05)
        assert all(waiter.ended_at == 120 for waiter in hasty)
        await asyncio.sleep(2)
        assert service.most <= 10
        assert len(service.singles) - before <= 110
        assert len(service.as_ones) - groups <= 2
        assert all(waiter.seen[-1][0] > 120 for waiter in patient)
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


def test_what_a_loop_left_behind_does_no_harm_in_the_next() -> None:
    looks: Any = Service()
    looks.at, looks.at_all, looks.workspace_of = looks.look, looks.look_as_one, lambda _: None
    waits = Waits(looks, few=8, at_once=5)

    async def leave_behind() -> asyncio.Future[None]:
        waiter = Waiter("k")
        waiter.due = asyncio.get_running_loop().time() + 10
        return waits._here().start(waiter)

    async def go_on() -> None:
        waits.look_now("k")
        await asyncio.sleep(1)
        assert looks.singles == []
        await waits.close(ConfigurationError("closed"))

    left = asyncio.new_event_loop()
    done = left.run_until_complete(leave_behind())
    done.add_done_callback(lambda _: None)
    left.close()
    run(go_on())


class Ending(Waiter):
    """One that makes others leave when it sees anything."""

    def __init__(self, key: str, engine: Engine) -> None:
        super().__init__(key)
        self.engine = engine
        self.others: list[Waiter] = []

    def observe(self, seen: Seen, now: float) -> None:
        super().observe(seen, now)
        for other in self.others:
            self.engine.leave(other)


@pytest.mark.parametrize("count", [1, 9])
def test_who_leaves_while_it_is_told_harms_nobody(count: int) -> None:
    async def main() -> None:
        service = Service()
        service.shown["k0"] = READY
        leaving = Ending("k0", service.engine)
        service.engine.start(leaving)
        others = service.start(count - 1, first=1)
        leaving.others = [leaving, *others[:1]]
        await asyncio.sleep(1)
        assert leaving.ended == "ready"
        assert all(len(other.seen) == 1 for other in others[1:])
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


class Succeeded(Waiter):
    """One in whose place another begins when it fails."""

    def __init__(self, key: str, engine: Engine) -> None:
        super().__init__(key)
        self.engine = engine
        self.successor: Waiter | None = None

    def fail(self, error: Any, now: float) -> None:
        super().fail(error, now)
        self.successor = Waiter(self.key)
        self.engine.start(self.successor)


@engine_test
async def test_who_begins_as_another_fails_is_served() -> None:
    service = Service()
    service.engine.start(failing := Succeeded("k0", service.engine))
    await asyncio.sleep(5)
    service.engine.close("closed")
    await asyncio.sleep(5)
    assert failing.ended == "closed"
    assert failing.successor is not None
    assert len(failing.successor.seen) > 1
    service.leave([failing.successor])
    await nothing_left(service.engine)


@engine_test
async def test_callbacks_may_end_anything() -> None:
    service = Service()

    class Closing(Waiter):
        def observe(self, seen: Seen, now: float) -> None:
            super().observe(seen, now)
            service.engine.look_now("k1")
            service.engine.look_now("k0")
            service.engine.close("closed by a callback")

    service.engine.start(Closing("k0"))
    service.start(20, first=1)
    service.engine.start(Waiter("k0"))
    await asyncio.sleep(1)
    await nothing_left(service.engine)


@pytest.mark.parametrize("how", ["close", "broken look"])
def test_one_that_starts_while_its_entry_fails_is_served(how: str) -> None:
    async def main() -> None:
        service = Service()
        again = Waiter("k")

        class Restarting(Waiter):
            def fail(self, error: Any, now: float) -> None:
                super().fail(error, now)
                service.engine.start(again)

        async def broken(seconds: float) -> None:
            del service.take
            raise ZeroDivisionError

        if how == "broken look":
            service.take = broken  # type: ignore[method-assign]
        service.engine.start(Restarting("k"))
        await asyncio.sleep(0.05)
        if how == "close":
            service.engine.close("closed")
        service.shown["k"] = READY
        await asyncio.sleep(5)
        assert again.ended == "ready"
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_one_that_closes_at_its_end_keeps_that_end() -> None:
    service = Service()
    service.shown["k"] = READY

    class Closing(Waiter):
        def observe(self, seen: Seen, now: float) -> None:
            super().observe(seen, now)
            service.engine.close("closed by a callback")

    waiter = Closing("k")
    await service.engine.start(waiter)
    assert waiter.ended == "ready"
    await nothing_left(service.engine)


@engine_test
async def test_a_joiner_that_ends_the_others_is_served() -> None:
    service = Service()
    (first,) = service.start(1)
    await asyncio.sleep(0.5)

    class Ending(Waiter):
        def observe(self, seen: Seen, now: float) -> None:
            super().observe(seen, now)
            service.engine.leave(first)

    joiner = Ending("k0")
    service.engine.start(joiner)
    service.shown["k0"] = READY
    await asyncio.sleep(5)
    assert joiner.ended == "ready"
    await nothing_left(service.engine)


@engine_test
async def test_the_real_wait_is_served() -> None:
    service = Service()
    looks: list[bool] = []

    async def look(key: str, whole: bool) -> Look:  # noqa: FBT001 - the engine's call
        looks.append(whole)
        await asyncio.sleep(0.1)
        return Look(BatchStatus.PROCESSING)

    engine = Engine(look, service.look_as_one, lambda _: "home", few=8, at_once=50)
    now = asyncio.get_running_loop().time()
    poll = PollPolicy(initial=1, factor=1, jitter=0)
    waits = [
        Wait("b", poll=poll, retry=RetryPolicy(), timeout=timeout, now=now)
        for timeout in (0, 5, 10, None)
    ]
    futures = [engine.start(wait) for wait in waits]
    await futures[2]
    assert clock() == 10
    assert [wait.is_over for wait in waits] == [True, True, True, False]
    assert looks == [False] * 11  # the tenth second's last look is one, too
    engine.leave(waits[3])
    await nothing_left(engine)


# --- any schedule ----------------------------------------------------------------------------


class Rounds:
    """Makes a loop that counts its rounds, and that gives up on a spin."""

    def __init__(self) -> None:
        self.count = 0

    def loop(self) -> VirtualLoop:
        loop: Any = VirtualLoop()
        process = loop._process_events

        def counted(events: Any) -> None:
            self.count += 1
            if self.count == 20_000:
                raise AssertionError("the loop spins")
            process(events)

        loop._process_events = counted
        made: VirtualLoop = loop
        return made


class World(Service):
    """A service that does anything, with a model of what the engine may do."""

    def __init__(self, chance: random.Random, few: float, at_once: int) -> None:
        super().__init__(few=few, at_once=at_once, group_of=self.name_of)
        self.chance = chance
        self.at_once = at_once
        self.names: dict[str, str | None] = {}
        self.kind = False  # whether every look shows READY
        self.waiting: dict[Waiter, asyncio.Future[None]] = {}
        self.all: list[Waiter] = []
        self.asked: set[str] = set()
        self.left_due: dict[str, float] = {}  # when one that wanted a look ended
        self.jumps: list[tuple[float, float]] = []
        self.problems: list[str] = []

    def name_of(self, key: str) -> str | None:
        return self.names.get(key)

    def may_look(self, key: str) -> bool:
        """Tell whether a look at a key is asked for, and take it as begun."""
        now = asyncio.get_running_loop().time()
        by_key = [waiter for waiter in self.all if waiter.key == key and not waiter.is_over]
        may = key in self.asked or key in self.left_due
        may = may or any(waiter.due is not None and waiter.due <= now + 1e-6 for waiter in by_key)
        self.asked.discard(key)
        self.left_due.pop(key, None)
        return may

    def answer(self) -> Seen:
        if self.kind:
            return READY
        return self.chance.choice((PENDING, PENDING, PENDING, PENDING, BROKEN, READY))

    def check(self, ok: object, problem: str) -> None:
        if not ok:
            self.problems.append(f"{clock()}: {problem}")

    async def look(self, key: str, whole: bool) -> Seen:  # noqa: FBT001 - the engine's call
        self.singles.append((clock(), key))
        self.check(self.may_look(key), f"{key} is looked at too early")
        await self.take(self.chance.choice((0, 0.1, 0.1, 2)))
        return self.answer()

    async def look_as_one(
        self, name: str | None, keys: list[str], wanted: Callable[[str], bool], patience: float = 0
    ) -> GroupLook:
        self.as_ones.append((clock(), name, keys))
        self.check(keys, "a group is looked at for nobody")
        asked = self.asked.intersection(keys)
        due = [key for key in keys if self.may_look(key)]  # each is taken as begun
        # One that asked for the look may have ended while that was queued.
        ended = any(clock() - when < 10 for when in self.left_due.values())
        self.check(due or ended, f"group {name!r} is looked at too early")
        await self.take(self.chance.choice((0, 0.1, 0.1, 2)))
        fate = 0 if self.kind else self.chance.randrange(12)
        if fate in {1, 2}:
            self.asked |= asked
        if fate == 1:
            return GroupLook(failure="broken")
        if fate == 2:
            return refused(self.chance.choice((0, 1, 7)))
        shown = keys if fate < 9 else self.chance.sample(keys, self.chance.randint(1, len(keys)))
        found = {key: self.answer() for key in shown if wanted(key)}
        self.asked |= asked - found.keys()
        self.names |= dict.fromkeys(found, "ab"[len(keys) % 2] if fate % 2 else name)
        return GroupLook(found, size=len(keys) * HEAVY * 2 if fate == 3 else 1, again=fate == 9)

    def leave_one(self, waiter: Waiter) -> None:
        now = asyncio.get_running_loop().time()
        if waiter.due is not None and waiter.due <= now:
            self.left_due[waiter.key] = clock()
        self.waiting.pop(waiter, None)
        self.all.remove(waiter)
        self.engine.leave(waiter)

    async def act(self, what: int, key: str, extent: int) -> None:
        loop: Any = asyncio.get_running_loop()
        match what:
            case 0 | 1:
                count = 12 if what else 1
                for number in range(count):
                    new = ModelWaiter(
                        self,
                        f"{key}{number}",
                        gap=(0.5, 1, 3, 10)[extent % 4],
                        timeout=(None, 0.05, 4, 20)[(extent + number) % 4],
                        fresh=(0, 1, 3)[extent % 3],
                        whole=extent == 11,
                    )
                    self.all.append(new)
                    self.waiting[new] = self.engine.start(new)
            case 2:
                for waiter in list(self.waiting)[:: extent + 1]:
                    if not waiter.is_over:
                        self.leave_one(waiter)
            case 3:
                if f"{key}0" in self.engine._entries:
                    self.asked.add(f"{key}0")
                self.engine.look_now(f"{key}0")
            case 4:
                self.names[f"{key}0"] = "abc"[extent % 3]
            case 5:
                if extent > 8:
                    again = bool(self.jumps) and self.jumps[-1][1] == loop.now
                    before = self.jumps.pop()[0] if again else loop.now
                    loop.now += 5 * extent
                    self.jumps.append((before, loop.now))
            case _:
                await asyncio.sleep((0, 0.05, 0.1, 1, 3, 8)[extent % 6])


class ModelWaiter(Waiter):
    """A waiter that tells its world what must not be."""

    def __init__(self, world: World, key: str, **settings: Any) -> None:
        super().__init__(key, **settings)
        self.world = world

    def observe(self, seen: Seen, now: float) -> None:
        super().observe(seen, now)
        late = self.deadline is not None and now > self.deadline
        # An answer that came while the loop was blocked is taken in before the deadline is.
        late = late and not self.slept_over(now)
        self.world.check(not late, f"{self.key} is served after its deadline")

    def expire(self, now: float, *, looking: bool) -> None:
        assert self.deadline is not None
        if self.due is not None and self.due <= now:
            self.world.left_due[self.key] = clock()
        super().expire(now, looking=looking)
        on_time = abs(now - self.deadline) < 1e-6 or self.slept_over(now)
        self.world.check(on_time, f"{self.key} is expired {now - self.deadline} s late")

    def slept_over(self, now: float) -> bool:
        """Tell whether the clock jumped over the deadline to now."""
        over = self.deadline or 0
        return any(before <= over <= now <= after + 1e-6 for before, after in self.world.jumps)


async def any_schedule(
    rounds: Rounds, actions: list[tuple[int, str, int]], seed: int, few: float, at_once: int
) -> None:
    world = World(random.Random(seed), few, at_once)
    for action in actions:
        await world.act(*action)
    world.kind = True
    await asyncio.sleep(2 * APART)
    for waiter in world.all:
        world.check(waiter.is_over, f"{waiter.key} hangs")
    assert world.problems == []
    assert world.most <= at_once
    looks = len(world.singles) + len(world.as_ones)
    assert rounds.count < 100 + 10 * (looks + len(actions) + len(world.all))
    await nothing_left(world.engine)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 6)),
        st.sampled_from("xyz"),
        st.integers(0, 11),
    ),
    max_size=40,
)


@settings(
    max_examples=10 * settings().max_examples,
    suppress_health_check=list(HealthCheck),
)
@given(
    actions=ACTIONS,
    seed=st.integers(0, 2**16),
    few=st.sampled_from((1, 3, 8, float("inf"))),
    at_once=st.sampled_from((1, 2, 5, 50)),
)
def test_any_schedule(
    actions: list[tuple[int, str, int]], seed: int, few: float, at_once: int
) -> None:
    rounds = Rounds()
    with asyncio.Runner(loop_factory=rounds.loop) as runner:
        runner.run(any_schedule(rounds, actions, seed, few, at_once))
