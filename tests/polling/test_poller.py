"""The poller, in virtual time: which polls waits share, and what is left at the end."""

from __future__ import annotations

import asyncio
import logging
import math
from contextvars import ContextVar
from typing import Any

import pytest

from prolific_async import PollPolicy, RetryPolicy
from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._polling.poll_results import GroupResult, PollResult
from prolific_async._polling.poller import Poller
from prolific_async._polling.targets import SINGLY_SECONDS
from prolific_async._polling.wait_runner import WaitRunner
from prolific_async.errors import ConfigurationError, ProlificError, RequestTimeoutError
from tests.polling.fakes import (
    BROKEN,
    CLOSED,
    LOST,
    PENDING,
    READY,
    FakeWait,
    Service,
    SetWorkspaces,
    clock,
    nothing_left,
    poller_test,
    real_wait,
    refused,
)
from tests.samples import batch
from tests.virtual_time import run

# --- single flight ---------------------------------------------------------------------------


@poller_test
async def test_many_waits_for_a_batch_cost_the_polls_of_one() -> None:
    service = Service()
    waits = [FakeWait("k") for _ in range(1000)]
    for wait in waits:
        service.poller.start(wait)
    await asyncio.sleep(10)
    assert service.singles == [(0, "k"), (3.1, "k"), (6.2, "k"), (9.3, "k")]
    assert {len(wait.seen) for wait in waits} == {4}
    service.leave(waits)
    await nothing_left(service.poller)


@poller_test
async def test_each_wait_keeps_its_own_deadline() -> None:
    service = Service()
    waits = [FakeWait("k", timeout=1 + number / 7) for number in range(50)]
    futures = [service.poller.start(wait) for wait in waits]
    await asyncio.wait(futures)
    assert [wait.ended_at for wait in waits] == [round(1 + number / 7, 6) for number in range(50)]
    await nothing_left(service.poller)


@poller_test
async def test_the_last_of_a_thousand_waits_is_still_polled() -> None:
    service = Service()
    first, *others = [FakeWait("k") for _ in range(1000)]
    future = service.poller.start(first)
    for wait in others:
        service.poller.start(wait)
    await asyncio.sleep(0.05)  # in the middle of a poll
    service.leave(others)
    await asyncio.sleep(5)
    assert [when for when, _ in first.seen] == [0.1, 3.2]
    assert service.at("k") == [0, 3.1]
    service.shown["k"] = READY
    await future
    assert first.ended_at == 6.3
    assert {len(wait.seen) for wait in others} == {0}
    await nothing_left(service.poller)


@poller_test
async def test_a_target_is_as_eager_as_its_most_eager_wait() -> None:
    service = Service(seconds=0)
    slow, eager = FakeWait("k", gap=10), FakeWait("k", gap=1)
    service.poller.start(slow)
    service.poller.start(eager)
    await asyncio.sleep(3.5)
    assert service.at("k") == [0, 1, 2, 3]
    service.poller.leave(eager)
    await asyncio.sleep(10)
    assert service.at("k") == [0, 1, 2, 3, 13]
    service.poller.leave(slow)
    await nothing_left(service.poller)


@poller_test
async def test_a_target_ends_with_its_last_wait() -> None:
    service = Service()
    (wait,) = service.start(1)
    await asyncio.sleep(1)
    service.poller.leave(wait)
    service.poller.leave(wait)
    await nothing_left(service.poller)
    await asyncio.sleep(10)
    assert len(service.singles) == 1


@pytest.mark.parametrize(("after", "polls"), [(0.9, [0]), (1.2, [0, 1.2])])
def test_a_joining_wait_takes_a_fresh_result_or_polls_at_once(
    after: float, polls: list[float]
) -> None:
    async def main() -> None:
        service = Service(seconds=0)
        service.start(1)
        await asyncio.sleep(after)
        joiner = FakeWait("k0", fresh=1)
        service.poller.start(joiner)
        await asyncio.sleep(0.5)
        assert service.at("k0") == polls
        assert joiner.seen == [(after, PENDING)]
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_result_as_old_as_the_gap_is_not_fresh() -> None:
    service = Service(seconds=0.25)
    service.start(1)
    await asyncio.sleep(1.25)
    service.start(1, fresh=1)
    await asyncio.sleep(1)
    assert service.at("k0") == [0, 1.25]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_wait_that_joins_during_a_group_poll_shares_it() -> None:
    service = Service()
    service.start(8)
    await asyncio.sleep(3.15)
    (joiner,) = service.start(1)
    await asyncio.sleep(1)
    assert service.group_poll_times == [0, 3.1]
    assert service.singles == []
    assert joiner.seen == [(3.2, PENDING)]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@pytest.mark.parametrize("first", [5, 50])
def test_the_deadline_of_a_wait_that_joins_during_a_poll_is_kept(first: float) -> None:
    async def main() -> None:
        service = Service(seconds=100)
        (early,) = service.start(1, timeout=first)
        await asyncio.sleep(1)
        (late,) = service.start(1, timeout=20)
        await asyncio.sleep(60)
        assert (early.ended, early.ended_at) == ("expired while polling", first)
        assert (late.ended, late.ended_at) == ("expired while polling", 21)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_wait_that_expires_between_two_polls_was_not_polling() -> None:
    service = Service()
    (wait,) = service.start(1, timeout=2)
    await asyncio.sleep(3)
    assert (wait.ended, wait.ended_at) == ("expired", 2)
    await nothing_left(service.poller)


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize(
    ("held", "ended"), [(3, "expired"), (1, "expired while polling"), (0, "expired while polling")]
)
def test_a_wait_that_expires_before_its_poll_is_sent_was_not_polling(
    count: int, held: float, ended: str
) -> None:
    async def main() -> None:
        service = Service(seconds=5)
        service.group_seconds = 5
        service.held = held
        (wait, *_) = service.start(count, timeout=2)
        await asyncio.sleep(3)
        assert (wait.ended, wait.ended_at) == (ended, 2)
        await nothing_left(service.poller)

    run(main())


@pytest.mark.parametrize(("whole", "path"), [(False, "/k0/status"), (True, "/k0")])
def test_a_wait_that_expires_during_a_poll_gets_the_error_of_its_request(
    whole: bool,  # noqa: FBT001
    path: str,
) -> None:
    async def main() -> None:
        service = Service(seconds=5)
        (wait,) = service.start(1, timeout=2, whole=whole)
        await asyncio.sleep(3)
        assert isinstance(wait.cut, RequestTimeoutError)
        assert wait.cut.path == path
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_poll_that_fails_before_it_is_sent_counts_as_sent_when_it_began() -> None:
    service = Service()

    async def poll(key: str, whole: bool, sent: object) -> PollResult:  # noqa: FBT001
        await asyncio.sleep(0.5)
        return BROKEN

    service.poll = poll  # type: ignore[method-assign]
    (wait,) = service.start(1)
    await asyncio.sleep(4.1)
    assert wait.seen == [(0.5, BROKEN), (4, BROKEN)]
    assert wait.sent == [0, 3.5]
    assert service.failures == [("k0", BROKEN.error)] * 2
    service.leave([wait])
    await nothing_left(service.poller)


@pytest.mark.parametrize(("workspace", "learnt"), [("home", False), (None, True)])
def test_a_whole_batch_shows_its_unknown_workspace(
    workspace: str | None,
    learnt: bool,  # noqa: FBT001
) -> None:
    async def main() -> None:
        service = Service(group_of=lambda _: workspace)
        waits = service.start(1, whole=True)
        await asyncio.sleep(1)
        known = service.scheduler._workspaces
        assert isinstance(known, SetWorkspaces)
        assert known.learnt == ({"k0": batch().workspace_id} if learnt else {})
        service.leave(waits)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_what_is_kept_of_a_list_is_forgotten_with_its_group() -> None:
    service = Service()
    waits = service.start(8)
    await asyncio.sleep(1)
    service.leave(waits[1:])
    assert service.forgotten == []
    service.leave(waits)
    assert service.forgotten == ["home"]
    await nothing_left(service.poller)


@pytest.mark.parametrize(("list_threshold", "count"), [(33, 40), (50, 100)])
def test_all_that_is_due_at_a_time_counts(list_threshold: int, count: int) -> None:
    """However many targets the timer finds due at once."""

    async def main() -> None:
        service = Service(list_threshold=list_threshold)
        waits = service.start(count)
        await asyncio.sleep(1)
        assert service.singles == []
        assert service.group_poll_times == [0]
        service.leave(waits)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_wait_that_expires_in_the_queue_was_not_polling() -> None:
    service = Service(at_once=1, seconds=5)
    service.start(1)
    (wait,) = service.start(1, first=1, timeout=2)
    await asyncio.sleep(3)
    assert (wait.ended, wait.ended_at) == ("expired", 2)
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_queued_poll_without_waits_is_not_made() -> None:
    service = Service(at_once=1, seconds=1)
    service.start(1)
    (gone,) = service.start(1, first=1)
    await asyncio.sleep(0.5)
    service.poller.leave(gone)
    await asyncio.sleep(2)
    assert service.at("k0") == [0]
    assert service.at("k1") == []
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_joining_waits_with_a_fresh_result_are_polled_with_their_group() -> None:
    service = Service()
    service.start(100, gap=10)
    await asyncio.sleep(0.6)
    joiners = [FakeWait(f"k{number}", gap=1 + number / 1000) for number in range(100)]
    for wait in joiners:
        service.poller.start(wait)
    await asyncio.sleep(1.5)
    assert service.singles == []
    assert service.group_poll_times == [0, 1.6]
    assert {len(wait.seen) for wait in joiners} == {2}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_wait_that_joins_a_read_of_the_whole_batch_is_polled_in_time() -> None:
    service = Service()
    service.start(20, gap=10)
    service.start(1, gap=10, whole=True)
    await asyncio.sleep(0.6)
    service.poller.start(joiner := FakeWait("k0", gap=1))
    await asyncio.sleep(1.3)
    assert [when for when, _ in joiner.seen] == [0.6, 1.7]
    assert service.group_poll_times == [0]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_joining_wait_may_end_by_a_fresh_result() -> None:
    service = Service()
    first, joiner = FakeWait("k", gap=3), FakeWait("k")
    service.poller.start(first)
    await asyncio.sleep(0.5)
    service.scheduler.targets["k"].result = READY
    assert service.poller.start(joiner).done()
    assert joiner.ended == "ready"
    service.poller.leave(joiner)
    service.poller.leave(first)
    await nothing_left(service.poller)


@poller_test
async def test_joining_or_poll_now_after_a_failed_poll_waits_for_the_pause() -> None:
    service = Service(seconds=0)
    service.shown["k0"] = BROKEN
    service.start(1)
    joiners = []
    for _ in range(29):
        await asyncio.sleep(0.1)
        joiners += service.start(1, gap=5)
        service.poller.poll_now("k0")
    assert service.at("k0") == [0]
    assert {tuple(seen for _, seen in joiner.seen) for joiner in joiners} == {(BROKEN,)}
    service.shown["k0"] = PENDING
    await asyncio.sleep(0.2)
    assert service.at("k0") == [0, 3]
    service.poller.poll_now("k0")
    await asyncio.sleep(0.1)
    assert len(service.at("k0")) == 3
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_pause_ends_with_the_last_wait() -> None:
    service = Service(seconds=0)
    service.shown["k0"] = BROKEN
    waits = service.start(1)
    await asyncio.sleep(0.1)
    service.leave(waits)
    service.start(1)
    await asyncio.sleep(0.1)
    assert service.at("k0") == [0, 0.1]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_deadline_in_the_pause_after_a_failure_is_kept() -> None:
    service = Service(seconds=0)
    service.shown["k0"] = BROKEN
    service.start(1)
    await asyncio.sleep(0.1)
    (joiner,) = service.start(1, timeout=1)
    await asyncio.sleep(2)
    assert (joiner.ended, joiner.ended_at) == ("expired", 1.1)
    assert service.at("k0") == [0]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_wait_that_joins_during_a_poll_shares_it() -> None:
    service = Service()
    service.start(1)
    await asyncio.sleep(0.05)
    (joiner,) = service.start(1)
    await asyncio.sleep(1)
    assert service.at("k0") == [0]
    assert joiner.seen == [(0.1, PENDING)]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


# --- nothing left ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 8, 20])
@pytest.mark.parametrize("after", [0, 0.05, 0.1, 0.5])
@pytest.mark.parametrize("how", ["leave", "leave all", "close", "ready", "expire"])
def test_ended_and_left_waits_leave_nothing(count: int, after: float, how: str) -> None:
    async def main() -> None:
        service = Service(at_once=3)
        timeout = None if how != "expire" else after or 0.01
        waits = service.start(count, timeout=timeout)
        if how == "ready":
            service.shown = {wait.key: READY for wait in waits}
        await asyncio.sleep(after)
        if how == "leave":
            service.leave(waits)
        elif how == "leave all":
            await service.poller.leave_all(waits)
            assert not service.running
        elif how == "close":
            service.poller.close(CLOSED)
            assert [wait.ended for wait in waits] == [CLOSED] * count
        else:
            await asyncio.sleep(5)
            assert all(wait.is_over for wait in waits)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_close_ends_all_waits_and_settles_their_futures() -> None:
    service = Service()
    waits = [FakeWait(f"k{number % 30}") for number in range(90)]
    futures = [service.poller.start(wait) for wait in waits]
    await asyncio.sleep(0.05)
    service.poller.close(CLOSED)
    assert all(future.done() for future in futures)
    assert {wait.ended for wait in waits} == {CLOSED}
    await nothing_left(service.poller)
    assert service.running == 0


@poller_test
async def test_a_cancelled_future_of_a_wait_does_no_harm() -> None:
    service = Service()
    service.shown["k"] = READY
    one, other = FakeWait("k"), FakeWait("k")
    service.poller.start(one).cancel()
    await service.poller.start(other)
    assert other.ended == "ready"
    await nothing_left(service.poller)


# --- at once ---------------------------------------------------------------------------------


@poller_test
async def test_polls_under_way_are_bounded_and_the_queue_drains() -> None:
    service = Service(list_threshold=float("inf"), at_once=5)
    waits = service.start(1000, gap=1000)
    await asyncio.sleep(19)
    assert service.most == 5
    assert len(service.singles) == 950
    await asyncio.sleep(2)
    assert {len(wait.seen) for wait in waits} == {1}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_deadlines_are_kept_whatever_is_under_way() -> None:
    service = Service(list_threshold=float("inf"), at_once=2, seconds=10)
    waits = [FakeWait(f"k{number}", timeout=1 + number / 8) for number in range(8)]
    futures = [service.poller.start(wait) for wait in waits]
    await asyncio.wait(futures)
    assert [wait.ended_at for wait in waits] == [1 + number / 8 for number in range(8)]
    await nothing_left(service.poller)


@poller_test
async def test_slots_of_polls_that_ended_are_used() -> None:
    service = Service(list_threshold=float("inf"), at_once=2, seconds=10)
    hasty = service.start(2, timeout=1)
    (patient,) = service.start(1, first=2)
    service.shown["k2"] = READY
    await asyncio.sleep(12)
    assert {wait.ended_at for wait in hasty} == {1}
    assert patient.ended_at == 11
    await nothing_left(service.poller)


# --- bugs of polls, clocks and loops ---------------------------------------------------------


@pytest.mark.parametrize("count", [1, 10])
def test_a_poll_that_raises_leaves_no_wait_hanging(
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
        waits = [FakeWait(f"k{number}") for number in range(count)]
        futures = [service.poller.start(wait) for wait in waits]
        await asyncio.sleep(1)
        if count == 1:
            assert isinstance(waits[0].ended.__cause__, ZeroDivisionError)
            assert "waiting for k0 is broken" in caplog.messages
        else:
            assert (
                "batches of workspace home (10) are polled singly for 60 s: ZeroDivisionError()"
                in caplog.messages
            )
        broken[0] = False
        service.shown = {f"k{number}": READY for number in range(count)}
        await asyncio.sleep(2 * SINGLY_SECONDS)
        assert all(future.done() for future in futures)
        assert all(future.exception() is None for future in futures)
        await nothing_left(service.poller)

    run(main())


@pytest.mark.parametrize("count", [1, 10])
def test_a_poll_that_other_code_cancels_leaves_no_wait_hanging(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        service = Service()
        waits = service.start(count)
        await asyncio.sleep(0.05)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        service.shown = {wait.key: READY for wait in waits}
        await asyncio.sleep(2 * SINGLY_SECONDS)
        assert all(wait.is_over for wait in waits)
        told = [
            "batches of workspace home (10) are polled singly for 60 s: the poll was broken off"
        ]
        assert caplog.messages == (told if count == 10 else [])
        await nothing_left(service.poller)

    run(main())


@pytest.mark.parametrize("raised", [asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("count", [1, 10])
def test_a_poll_that_raises_cancelled_error_is_a_failed_poll(
    count: int, raised: type[BaseException]
) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        service = Service()

        async def take(seconds: float) -> None:
            raise raised

        service.take = take  # type: ignore[method-assign]
        waits = service.start(count)
        await asyncio.sleep(8)
        assert service.group_poll_times == ([0] if count == 10 else [])
        for wait in waits:
            assert service.at(wait.key) == [0, 3, 6]
            assert [seen.error for _, seen in wait.seen] == [LOST] * 3
        service.leave(waits)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_wait_whose_poll_other_code_cancelled_may_leave() -> None:
    service = Service()
    waits = service.start(1)
    await asyncio.sleep(0.05)
    (task,) = asyncio.all_tasks() - {asyncio.current_task()}
    task.cancel()
    await asyncio.wait([task])
    service.leave(waits)
    await nothing_left(service.poller)


@pytest.mark.parametrize("list_threshold", [8, float("inf")])
def test_after_a_jump_of_the_clock_deadlines_are_kept_without_a_burst(
    list_threshold: float,
) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        service = Service(list_threshold=list_threshold, at_once=10)
        patient = service.start(100)
        hasty = service.start(100, timeout=50)
        await asyncio.sleep(20)
        before, groups = len(service.singles), len(service.group_polls)
        loop.now += 100
        await asyncio.sleep(0.05)
        assert all(wait.ended_at == 120 for wait in hasty)
        await asyncio.sleep(2)
        assert service.most <= 10
        assert len(service.singles) - before <= 110
        assert len(service.group_polls) - groups <= 2
        assert all(wait.seen[-1][0] > 120 for wait in patient)
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


def test_state_of_a_closed_loop_does_not_disturb_the_next_loop() -> None:
    async def service() -> Any:
        return Service()

    polls = run(service())
    waits = WaitRunner(lambda: Poller(polls, KnownWorkspaces(), list_threshold=8, at_once=5))

    async def leave_behind() -> asyncio.Future[None]:
        wait = FakeWait("k")
        wait.due = asyncio.get_running_loop().time() + 10
        return waits._current_poller().start(wait)

    async def go_on() -> None:
        waits.poll_now("k")
        await asyncio.sleep(1)
        assert polls.singles == []
        await waits.close(ConfigurationError("closed"))

    left = asyncio.new_event_loop()
    done = left.run_until_complete(leave_behind())
    done.add_done_callback(lambda _: None)
    left.close()
    run(go_on())


class EndsOthers(FakeWait):
    """A wait that makes other waits leave when it gets a result."""

    def __init__(self, key: str, poller: Poller) -> None:
        super().__init__(key)
        self.poller = poller
        self.others: list[FakeWait] = []

    def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
        super().observe(result, now, sent)
        for other in self.others:
            self.poller.leave(other)


@pytest.mark.parametrize("count", [1, 9])
def test_a_wait_that_leaves_while_it_observes_harms_no_other(count: int) -> None:
    async def main() -> None:
        service = Service()
        service.shown["k0"] = READY
        leaving = EndsOthers("k0", service.poller)
        service.poller.start(leaving)
        others = service.start(count - 1, first=1)
        leaving.others = [leaving, *others[:1]]
        await asyncio.sleep(1)
        assert leaving.ended == "ready"
        assert all(len(other.seen) == 1 for other in others[1:])
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


class StartsAnother(FakeWait):
    """A wait that starts another one when it fails."""

    def __init__(self, key: str, poller: Poller) -> None:
        super().__init__(key)
        self.poller = poller
        self.successor: FakeWait | None = None

    def fail(self, error: Any, now: float) -> None:
        super().fail(error, now)
        self.successor = FakeWait(self.key)
        self.poller.start(self.successor)


@poller_test
async def test_a_wait_that_begins_as_another_fails_is_served() -> None:
    service = Service()
    service.poller.start(failing := StartsAnother("k0", service.poller))
    await asyncio.sleep(5)
    service.poller.close(CLOSED)
    await asyncio.sleep(5)
    assert failing.ended is CLOSED
    assert failing.successor is not None
    assert len(failing.successor.seen) > 1
    service.leave([failing.successor])
    await nothing_left(service.poller)


@poller_test
async def test_callbacks_may_end_anything() -> None:
    service = Service()

    class Closing(FakeWait):
        def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
            super().observe(result, now, sent)
            service.poller.poll_now("k1")
            service.poller.poll_now("k0")
            service.poller.close(CLOSED)

    service.poller.start(Closing("k0"))
    service.start(20, first=1)
    service.poller.start(FakeWait("k0"))
    await asyncio.sleep(1)
    await nothing_left(service.poller)


@pytest.mark.parametrize("how", ["close", "broken poll"])
def test_a_wait_that_begins_while_its_target_fails_is_served(how: str) -> None:
    async def main() -> None:
        service = Service()
        again = FakeWait("k")

        class Restarting(FakeWait):
            def fail(self, error: Any, now: float) -> None:
                super().fail(error, now)
                service.poller.start(again)

        async def broken(seconds: float) -> None:
            del service.take
            raise ZeroDivisionError

        if how == "broken poll":
            service.take = broken  # type: ignore[method-assign]
        service.poller.start(Restarting("k"))
        await asyncio.sleep(0.05)
        if how == "close":
            service.poller.close(CLOSED)
        service.shown["k"] = READY
        await asyncio.sleep(5)
        assert again.ended == "ready"
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_wait_that_closes_the_poller_at_its_end_keeps_its_outcome() -> None:
    service = Service()
    service.shown["k"] = READY

    class Closing(FakeWait):
        def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
            super().observe(result, now, sent)
            service.poller.close(CLOSED)

    wait = Closing("k")
    await service.poller.start(wait)
    assert wait.ended == "ready"
    await nothing_left(service.poller)


@poller_test
async def test_a_joining_wait_that_ends_the_others_is_polled() -> None:
    service = Service()
    (first,) = service.start(1)
    await asyncio.sleep(0.5)

    class EndsFirst(FakeWait):
        def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
            super().observe(result, now, sent)
            service.poller.leave(first)

    joiner = EndsFirst("k0")
    service.poller.start(joiner)
    service.shown["k0"] = READY
    await asyncio.sleep(5)
    assert joiner.ended == "ready"
    await nothing_left(service.poller)


WHOSE = ContextVar("WHOSE", default="nobody's")


@poller_test
async def test_polls_and_results_have_no_context_of_a_caller() -> None:
    service = Service()
    seen: list[str] = []

    async def take(seconds: float) -> None:
        seen.append(WHOSE.get())

    class Noting(FakeWait):
        def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
            seen.append(WHOSE.get())
            super().observe(result, now, sent)

    service.take = take  # type: ignore[method-assign]
    WHOSE.set("the first one's")
    service.poller.start(wait := Noting("k"))
    await asyncio.sleep(4)
    assert seen == ["nobody's"] * 4
    service.poller.leave(wait)
    await nothing_left(service.poller)


@poller_test
async def test_a_wait_that_expires_has_no_context_of_a_caller() -> None:
    seen: list[str] = []

    class Noting(FakeWait):
        def expire(
            self, now: float, *, cut: ProlificError | None = None, held: bool = False
        ) -> None:
            seen.append(WHOSE.get())
            super().expire(now, cut=cut, held=held)

    service = Service()
    WHOSE.set("the caller's")
    await service.poller.start(Noting("k", timeout=2))
    assert seen == ["nobody's"]
    await nothing_left(service.poller)


def test_a_poll_that_close_begins_has_no_context_of_its_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """For a wait that a callback starts, and that needs the whole batch at once."""
    seen: list[str] = []
    services: list[Service] = []
    again: list[FakeWait] = []

    class Again(FakeWait):
        def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
            seen.append(WHOSE.get())
            super().observe(result, now, sent)

    class Restarting(FakeWait):
        def fail(self, error: Any, now: float) -> None:
            super().fail(error, now)
            services[0].poller.start(again[0])

    async def take(seconds: float) -> None:
        seen.append(WHOSE.get())

    async def main() -> None:
        service = Service()
        services.append(service)
        again.append(Again("k", whole=True, fresh=0.0))
        service.poller.start(Restarting("k"))
        await asyncio.sleep(1)
        service.take = take  # type: ignore[method-assign]
        WHOSE.set("the caller's")
        service.poller.close(CLOSED)
        await asyncio.sleep(1)
        service.leave([*again])
        await nothing_left(service.poller)

    run(main())
    assert seen == ["nobody's"] * 2
    assert caplog.records == []


@poller_test
async def test_the_timer_is_set_only_when_its_time_changes() -> None:
    class Handle:
        """A timer handle without the loop's ``when``."""

        def cancel(self) -> None:
            told.append("cancelled")

    def call_at(when: float, *_args: object, **_context: object) -> Handle:
        told.append(when - now)
        return Handle()

    told: list[float | str] = []
    loop: Any = asyncio.get_running_loop()
    real, now = loop.call_at, loop.time()
    loop.call_at = call_at
    service = Service()
    waits = [FakeWait(f"k{number}") for number in range(3)]
    for wait, due in zip(waits, (5.0, 7.0, 3.0), strict=True):
        wait.due = now + due
        service.poller.start(wait)
    service.leave(waits)
    loop.call_at = real
    assert told == [5, "cancelled", 3, "cancelled"]


@poller_test
async def test_the_real_wait_is_served() -> None:
    service = Service()
    poller = service.poller
    now = asyncio.get_running_loop().time()
    poll = PollPolicy(initial=1, factor=1, jitter=0)
    waits = [
        real_wait("b", poll=poll, retry=RetryPolicy(), timeout=timeout, now=now)
        for timeout in (0, 5, 10, None)
    ]
    futures = [poller.start(wait) for wait in waits]
    await futures[2]
    assert clock() == 10
    assert [wait.outcome is None for wait in waits] == [False, False, False, True]
    assert service.wholes == [False] * 11  # the tenth second's last poll is one, too
    poller.leave(waits[3])
    await nothing_left(poller)


@pytest.mark.parametrize("gap", [1.0, 3.0])
def test_a_wait_that_begins_between_two_slices_of_a_failed_poll_sees_it(
    gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prolific_async._polling.sliced_work._SLICE", -1.0)  # each chunk is one

    async def main() -> None:
        service = Service()
        service.shown["k0"] = BROKEN
        waits = [FakeWait("k0") for _ in range(100)]
        for waiter in waits:
            service.poller.start(waiter)
        await asyncio.sleep(0.1)
        for _ in range(5):  # a few iterations of the loop, in which no time passes
            if not waits[0].seen:
                await asyncio.sleep(0)
        assert waits[0].seen
        late = FakeWait("k0", gap=gap, fresh=0.0)
        service.poller.start(late)
        assert not waits[-1].seen
        await asyncio.sleep(0.8)
        assert {tuple(one.seen) for one in [*waits, late]} == {((0.1, BROKEN),)}
        service.shown["k0"] = READY
        await asyncio.sleep(5)
        assert service.at("k0") == [0, 0.1 + gap]  # the pause is the shortest one, of all
        assert {one.ended for one in [*waits, late]} == {"ready"}
        await nothing_left(service.poller)

    run(main())


@pytest.mark.parametrize("why", ["failed", "refused"])
def test_a_wait_that_begins_between_two_slices_of_a_failed_list_poll_is_polled_once(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prolific_async._polling.sliced_work._SLICE", -1.0)

    async def main() -> None:
        service = Service(at_once=200)
        service.groups = [GroupResult(failure="broken") if why == "failed" else refused(5)]
        waits = service.start(100)
        work = service.poller._work
        await asyncio.sleep(0.1)
        for _ in range(5):
            if not work.loops:
                await asyncio.sleep(0)
        late = service.start(1, first=100)
        assert work.loops
        await asyncio.sleep(9)
        then = [0.2, 3.3, 6.4] if why == "failed" else [5.2, 8.3]
        assert all([when for when, _ in one.seen] == then for one in waits)
        # The first poll of a new wait is immediate, as always.
        assert [when for when, _ in late[0].seen] == [0.2, *then[-2:]]
        service.poller.close(ConfigurationError("closed"))
        await service.poller.until_idle()
        await nothing_left(service.poller)

    run(main())
