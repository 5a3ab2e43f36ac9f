"""One engine for many waiters, in virtual time: who shares which look, and what is left."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import PollPolicy, RetryPolicy
from prolific_async._waiting.engine import Engine
from prolific_async._waiting.entries import APART, GroupLook
from prolific_async._waiting.look import Look
from prolific_async._waiting.wait import Wait
from prolific_async._waiting.waits import Waits
from prolific_async._waiting.workspaces import Workspaces
from prolific_async.errors import ConfigurationError
from prolific_async.models import BatchStatus
from tests.virtual_time import run
from tests.waiting.scene import (
    BROKEN,
    PENDING,
    READY,
    Seen,
    Service,
    Waiter,
    clock,
    engine_test,
    nothing_left,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Callable


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


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize(
    ("held", "ended"), [(3, "expired"), (1, "expired while looking"), (0, "expired while looking")]
)
def test_who_expires_before_its_look_is_sent_was_not_looking(
    count: int, held: float, ended: str
) -> None:
    async def main() -> None:
        service = Service(seconds=5)
        service.group_seconds = 5
        service.held = held
        (waiter, *_) = service.start(count, timeout=2)
        await asyncio.sleep(3)
        assert (waiter.ended, waiter.ended_at) == (ended, 2)
        await nothing_left(service.engine)

    run(main())


@engine_test
async def test_who_expires_in_the_queue_was_not_looking() -> None:
    service = Service(at_once=1, seconds=5)
    service.start(1)
    (waiter,) = service.start(1, first=1, timeout=2)
    await asyncio.sleep(3)
    assert (waiter.ended, waiter.ended_at) == ("expired", 2)
    service.engine.close("closed")
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
async def test_who_comes_or_asks_after_a_failed_poll_waits_for_the_pause() -> None:
    service = Service(seconds=0)
    service.shown["k0"] = BROKEN
    service.start(1)
    joiners = []
    for _ in range(29):
        await asyncio.sleep(0.1)
        joiners += service.start(1, gap=5)
        service.engine.look_now("k0")
    assert service.at("k0") == [0]
    assert {tuple(seen for _, seen in joiner.seen) for joiner in joiners} == {(BROKEN,)}
    service.shown["k0"] = PENDING
    await asyncio.sleep(0.2)
    assert service.at("k0") == [0, 3]
    service.engine.look_now("k0")
    await asyncio.sleep(0.1)
    assert len(service.at("k0")) == 3
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_who_leaves_takes_no_pause_along() -> None:
    service = Service(seconds=0)
    service.shown["k0"] = BROKEN
    waiters = service.start(1)
    await asyncio.sleep(0.1)
    service.leave(waiters)
    service.start(1)
    await asyncio.sleep(0.1)
    assert service.at("k0") == [0, 0.1]
    service.engine.close("closed")
    await nothing_left(service.engine)


@engine_test
async def test_a_deadline_in_the_pause_after_a_failure_is_kept() -> None:
    service = Service(seconds=0)
    service.shown["k0"] = BROKEN
    service.start(1)
    await asyncio.sleep(0.1)
    (joiner,) = service.start(1, timeout=1)
    await asyncio.sleep(2)
    assert (joiner.ended, joiner.ended_at) == ("expired", 1.1)
    assert service.at("k0") == [0]
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


# --- at once ---------------------------------------------------------------------------------


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
            assert isinstance(waiters[0].ended.__cause__, ZeroDivisionError)
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


@pytest.mark.parametrize("raised", [asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("count", [1, 10])
def test_a_poll_that_breaks_off_by_itself_is_a_failed_one(
    count: int, raised: type[BaseException]
) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        service = Service()

        async def take(seconds: float) -> None:
            raise raised

        service.take = take  # type: ignore[method-assign]
        waiters = service.start(count)
        await asyncio.sleep(8)
        assert service.as_one_at == ([0] if count == 10 else [])
        for waiter in waiters:
            assert service.at(waiter.key) == [0, 3, 6]
            assert [seen.error for _, seen in waiter.seen] == ["lost"] * 3
        service.leave(waiters)
        await nothing_left(service.engine)

    run(main())


@pytest.mark.parametrize("gap", [1.0, 3.0])
def test_who_comes_between_two_slices_of_a_failed_poll_sees_it(
    gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prolific_async._waiting.work._SLICE", -1.0)  # each chunk is one

    async def main() -> None:
        service = Service()
        service.shown["k0"] = BROKEN
        waiters = [Waiter("k0") for _ in range(100)]
        for waiter in waiters:
            service.engine.start(waiter)
        await asyncio.sleep(0.1)
        for _ in range(5):  # a few turns, in which the clock stands
            if not waiters[0].seen:
                await asyncio.sleep(0)
        assert waiters[0].seen
        late = Waiter("k0", gap=gap, fresh=0.0)
        service.engine.start(late)
        assert not waiters[-1].seen
        await asyncio.sleep(0.8)
        assert {tuple(one.seen) for one in [*waiters, late]} == {((0.1, BROKEN),)}
        service.shown["k0"] = READY
        await asyncio.sleep(5)
        assert service.at("k0") == [0, 0.1 + gap]  # the pause is the shortest one, of all
        assert {one.ended for one in [*waiters, late]} == {"ready"}
        await nothing_left(service.engine)

    run(main())


@pytest.mark.parametrize("why", ["failed", "refused"])
def test_who_comes_between_two_slices_of_a_failed_group_poll_is_polled_once(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prolific_async._waiting.work._SLICE", -1.0)

    async def main() -> None:
        service = Service(at_once=200)
        service.groups = [GroupLook(failure="broken") if why == "failed" else refused(5)]
        waiters = service.start(100)
        work = service.engine._schedule.work
        await asyncio.sleep(0.1)
        for _ in range(5):
            if not work._queue:
                await asyncio.sleep(0)
        late = service.start(1, first=100)
        assert work._queue
        await asyncio.sleep(9)
        then = [0.2, 3.3, 6.4] if why == "failed" else [5.2, 8.3]
        assert all([when for when, _ in one.seen] == then for one in waiters)
        # The first poll of one that comes is immediate, as at any time.
        assert [when for when, _ in late[0].seen] == [0.2, *then[-2:]]
        service.engine.close("closed")
        await service.engine.drained()
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
    looks.at, looks.at_all, looks.forget = looks.look, looks.look_as_one, lambda _: None
    looks.workspaces = Workspaces()
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

    def observe(self, seen: Seen, now: float, sent: float) -> None:
        super().observe(seen, now, sent)
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
        def observe(self, seen: Seen, now: float, sent: float) -> None:
            super().observe(seen, now, sent)
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
        def observe(self, seen: Seen, now: float, sent: float) -> None:
            super().observe(seen, now, sent)
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
        def observe(self, seen: Seen, now: float, sent: float) -> None:
            super().observe(seen, now, sent)
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

    async def look(key: str, whole: bool, sent: Callable[[], None]) -> Look:  # noqa: FBT001 - the engine's call
        looks.append(whole)
        await asyncio.sleep(0.1)
        return Look(BatchStatus.PROCESSING)

    engine = Engine(
        look, service.look_as_one, lambda _: "home", few=8, at_once=50, lost=service.lost
    )
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
