"""The last poll of a wait whose loop was blocked past its deadline, or whose machine slept."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    Batch,
    BatchFailedError,
    BatchStatus,
    PollPolicy,
    ProlificClient,
    RetryPolicy,
    StatusEvent,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async._polling.deadline import Deadline
from prolific_async._polling.poll_results import GroupResult, PollResult, failed_poll
from prolific_async._polling.poller import Poller
from prolific_async._polling.wait import Wait
from prolific_async.errors import ConnectionLostError, RequestTimeoutError, TransportError
from prolific_async.simulator import Simulator
from tests import samples
from tests.polling.fakes import SetWorkspaces, clock, note_sent, nothing_left, real_wait, refused
from tests.virtual_time import SleepingLoop, VirtualLoop, run

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from prolific_async import ProlificError
    from prolific_async._http.request import PollTiming

TEN = PollPolicy(initial=10, maximum=10, factor=1, jitter=0)
PENDING = BatchStatus.PROCESSING

# --- rules -----------------------------------------------------------------------------------


def test_without_a_deadline_no_poll_is_the_last_one() -> None:
    assert not Deadline.after(0, None, 30).replaces_last_poll(1e9)


def test_a_poll_was_slept_through_if_it_was_due_by_now() -> None:
    time = Deadline.after(0, 100, 30)
    due = {due: time.missed_last_poll(105, due, on_its_way=False) for due in (99, 105, 106)}
    assert due == {99: True, 105: True, 106: False}
    assert not time.missed_last_poll(105, math.inf, on_its_way=False)


@pytest.mark.parametrize(("timeout", "late"), [(100, 1.0), (10, 0.5), (1, 0.099)])
def test_a_poll_on_its_way_is_cut_off_unless_the_deadline_is_long_past(
    timeout: float, late: float
) -> None:
    time = Deadline.after(0, timeout, 30)
    assert not time.missed_last_poll(timeout + late, 0, on_its_way=True)
    assert time.missed_last_poll(timeout + late + 0.01, 0, on_its_way=True)
    assert not time.missed_last_poll(timeout + 1000, math.inf, on_its_way=True)


@pytest.mark.parametrize(
    ("polling", "timeout", "left"), [(True, 9, 2), (False, 9, 1), (True, 0, 1)]
)
def test_a_deadline_is_extended_once(polling: bool, timeout: float, left: int) -> None:  # noqa: FBT001
    time = Deadline.after(0, timeout, 30).extended(50, polling=polling)
    assert (time.started, time.at, time.last_poll, time.polls_left) == (0, 51, 51, left)
    assert not time.missed_last_poll(1000, 60, on_its_way=False)
    time = time.after_poll()
    assert (time.started, time.at, time.last_poll, time.polls_left) == (0, 51, 51, left - 1)
    assert not time.missed_last_poll(1000, 60, on_its_way=True)


def test_after_a_poll_a_deadline_may_still_be_extended() -> None:
    time = Deadline.after(0, 0, 30).after_poll()
    assert (time.at, time.polls_left) == (30, 0)
    assert time.extended(50, polling=True).at == 51


# --- in a loop -------------------------------------------------------------------------------


def batch(status: str = "READY") -> Batch:
    return samples.batch(status)


class Service:
    """Real waits on a real poller, with polls that take a tenth of a second."""

    def __init__(self, *, list_threshold: float = 8, at_once: int = 50) -> None:
        self.seconds = 0.1
        self.status = PENDING
        self.failures: list[ConnectionLostError] = []
        self.broken = False
        self.lists: list[GroupResult] = []
        self.polls: list[float] = []  # when they were sent
        self.listed: list[float] = []
        source: Any = self
        self.poller = Poller(
            source,
            SetWorkspaces(lambda _: "home"),
            list_threshold=list_threshold,
            at_once=at_once,
        )

    def failed(self, _key: str, error: ProlificError) -> PollResult:
        return failed_poll(error)

    def cut_off(self, _key: str, *, whole: bool) -> RequestTimeoutError:
        return RequestTimeoutError("GET", "/x", f"cut off, {whole}")

    def forget(self, _workspace_id: str | None) -> None:
        pass

    async def get(self, _key: str, poll: PollTiming) -> Batch:
        return batch(await self.get_status(_key, poll))

    async def get_status(self, _key: str, poll: PollTiming) -> BatchStatus:
        note_sent(poll)
        self.polls.append(clock())
        status = self.status
        await asyncio.sleep(self.seconds)
        if self.broken:
            raise ConnectionLostError("GET", "/x", "an outage")
        if self.failures:
            raise self.failures.pop()
        return status

    async def poll_list(
        self, _name: Any, _keys: Any, _wanted: Any, poll: PollTiming
    ) -> GroupResult:
        note_sent(poll)
        self.listed.append(clock())
        status = self.status
        await asyncio.sleep(self.seconds)
        if self.lists:
            return self.lists.pop()
        found = dict.fromkeys(self.poller._scheduler.targets, PollResult(status, batch(status)))
        return GroupResult(found=found, size=100)

    def start(self, key: str = "b1", timeout: float = 100, request_timeout: float = 30) -> Wait:
        now = asyncio.get_running_loop().time()
        wait = real_wait(
            key,
            poll=TEN,
            retry=RetryPolicy(initial=0, maximum=0),
            timeout=timeout,
            request_timeout=request_timeout,
            now=now,
        )
        self.poller.start(wait)
        return wait


def block(until: float) -> None:
    """Let time pass while the loop is blocked."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.jump(1000 + until)


def blocked_test(test: Callable[[Service], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def ran() -> None:
        async def main() -> None:
            service = Service()
            await test(service)
            await nothing_left(service.poller)

        run(main())

    ran.__name__ = test.__name__
    return ran


@blocked_test
async def test_a_batch_that_got_ready_while_the_loop_was_blocked_is_found(service: Service) -> None:
    wait = service.start()
    await asyncio.sleep(5)
    service.status = BatchStatus.READY
    block(until=500)
    await asyncio.sleep(1)
    assert wait.outcome == batch()
    assert service.polls == [0, 500, 500.1]  # the whole batch, too


@blocked_test
async def test_a_pending_batch_times_out_after_one_late_poll(service: Service) -> None:
    wait = service.start()
    await asyncio.sleep(5)
    block(until=500)
    await asyncio.sleep(0.2)
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert wait.outcome.polls == 2
    assert wait.outcome.elapsed == pytest.approx(500.1)
    assert [event.next_in for event in wait.outcome.events] == [10, None]
    assert service.polls == [0, 500]


@pytest.mark.parametrize(("request_timeout", "ended"), [(30, 501), (0.25, 500.25)])
def test_the_late_poll_lasts_a_second_or_the_time_of_a_request(
    request_timeout: float, ended: float
) -> None:
    @blocked_test
    async def test(service: Service) -> None:
        wait = service.start(request_timeout=request_timeout)
        await asyncio.sleep(5)
        service.seconds = 60
        block(until=500)
        await asyncio.sleep(ended - 500 + 0.01)
        assert isinstance(wait.outcome, WaitTimeoutError)
        assert wait.outcome.elapsed == pytest.approx(ended)
        assert isinstance(wait.outcome.__cause__, RequestTimeoutError)

    test()


@blocked_test
async def test_there_is_only_one_late_poll(service: Service) -> None:
    wait = service.start()
    await asyncio.sleep(5)
    service.seconds = 0.5
    block(until=500)
    await asyncio.sleep(0.2)
    block(until=1000)
    await asyncio.sleep(0.2)
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert service.polls == [0, 500]


@blocked_test
async def test_a_wait_whose_last_poll_was_made_gets_no_late_poll(service: Service) -> None:
    wait = service.start()
    await asyncio.sleep(99.5)
    assert service.polls[-1] == 99
    assert wait.due == math.inf
    service.status = BatchStatus.READY
    block(until=500)
    await asyncio.sleep(0.2)
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert service.polls[-1] == 99


@blocked_test
async def test_a_loop_blocked_until_shortly_before_the_deadline_changes_nothing(
    service: Service,
) -> None:
    wait = service.start()
    await asyncio.sleep(5)
    block(until=99.5)  # past the time of the last poll, but not past the deadline
    await asyncio.sleep(0.3)
    assert service.polls == [0, 99.5]
    assert wait.due == math.inf
    await asyncio.sleep(0.3)
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert wait.outcome.elapsed == 100


@pytest.mark.parametrize("failures", [[], [ConnectionLostError("GET", "/x", "slept")]])
def test_a_poll_in_flight_is_finished_and_followed_by_a_late_poll(
    failures: list[ConnectionLostError],
) -> None:
    @blocked_test
    async def test(service: Service) -> None:
        service.failures = failures.copy()
        wait = service.start()
        await asyncio.sleep(0.05)
        service.status = BatchStatus.READY
        block(until=500)
        await asyncio.sleep(1)
        assert wait.outcome == batch()
        assert service.polls == [0, 500, 500.1]

    test()


@blocked_test
async def test_a_poll_in_flight_is_cut_at_the_deadline_if_the_loop_is_not_blocked(
    service: Service,
) -> None:
    service.seconds = 1000
    wait = service.start()
    await asyncio.sleep(5)
    block(until=100.9)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert wait.outcome.elapsed == pytest.approx(100.9)


@blocked_test
async def test_ready_whose_get_is_in_flight_gets_its_batch(service: Service) -> None:
    service.status = BatchStatus.READY
    wait = service.start()
    await asyncio.sleep(0.15)
    assert service.polls == [0, 0.1]
    block(until=500)
    await asyncio.sleep(0.1)
    assert wait.outcome == batch()
    assert service.polls == [0, 0.1]


@blocked_test
async def test_a_known_error_needs_no_get_after_the_deadline(service: Service) -> None:
    service.status = BatchStatus.ERROR
    wait = service.start()
    await asyncio.sleep(0.1)
    block(until=500)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert isinstance(wait.outcome, BatchFailedError)
    assert wait.outcome.batch is None


@pytest.mark.parametrize("status", [PENDING, BatchStatus.READY])
@pytest.mark.parametrize("after", [0, 0.05])
def test_timeout_0_is_one_poll_in_a_blocked_loop(status: BatchStatus, after: float) -> None:
    @blocked_test
    async def test(service: Service) -> None:
        wait = service.start(timeout=0)
        service.status = status
        await asyncio.sleep(after)
        block(until=500)
        await asyncio.sleep(1)
        if status is PENDING:
            assert isinstance(wait.outcome, WaitTimeoutError)
            assert len(service.polls) == 1
        else:
            assert wait.outcome == batch()
            assert len(service.polls) == 2

    test()


@blocked_test
async def test_many_waits_share_their_late_polls(service: Service) -> None:
    waits = [service.start(f"b{number % 500}") for number in range(2000)]
    await asyncio.sleep(5)
    before = len(service.polls)
    service.status = BatchStatus.READY
    block(until=500)
    await asyncio.sleep(1)
    assert {wait.outcome for wait in waits} == {batch()}
    assert service.listed == [0, 500]
    assert len(service.polls) == before


def test_late_single_polls_end_after_a_second() -> None:
    async def main() -> None:
        service = Service(list_threshold=float("inf"), at_once=2)
        waits = [service.start(f"b{number}") for number in range(30)]
        await asyncio.sleep(8)
        polls = len(service.polls)
        block(until=500)
        await asyncio.sleep(1.01)
        assert all(isinstance(wait.outcome, WaitTimeoutError) for wait in waits)
        assert len(service.polls) - polls == 20
        elapsed = [wait.outcome.elapsed for wait in waits]
        assert max(elapsed) <= 501
        await nothing_left(service.poller)

    run(main())


@blocked_test
async def test_a_list_held_back_at_the_deadline_is_not_polled_late(service: Service) -> None:
    service.lists = [refused(200)]
    waits = [service.start(f"b{number}") for number in range(10)]
    await asyncio.sleep(100.01)
    for wait in waits:
        assert isinstance(wait.outcome, WaitTimeoutError)
        assert wait.outcome.elapsed == 100


@blocked_test
async def test_a_list_held_back_only_until_the_deadline_is_polled_late(service: Service) -> None:
    service.lists = [refused(50)]
    waits = [service.start(f"b{number}") for number in range(10)]
    await asyncio.sleep(5)
    service.status = BatchStatus.READY
    block(until=500)
    await asyncio.sleep(1)
    assert {wait.outcome for wait in waits} == {batch()}
    assert service.listed == [0, 500]


# --- over loopback, with a machine that sleeps ------------------------------------------------

ONCE = PollPolicy(initial=10, jitter=0)  # a poll at once, and one shortly before the deadline
SHORT = 5.0  # seconds for a wait
LONG = 5.5  # for which the machine sleeps, and the loop's clock goes on

Saw = Callable[[StatusEvent], object]


async def wait_until_ready(client: ProlificClient, ids: list[str], saw: Saw) -> list[Any]:
    return [await client.batches.wait_until_ready(ids[0], timeout=SHORT, on_event=saw)]


async def wait_all(client: ProlificClient, ids: list[str], saw: Saw) -> list[Any]:
    return list(await client.batches.wait_all(ids, timeout=SHORT, on_event=saw))


async def as_ready(client: ProlificClient, ids: list[str], saw: Saw) -> list[Any]:
    return [one async for one in client.batches.as_ready(ids, timeout=SHORT, on_event=saw)]


async def watch(client: ProlificClient, ids: list[str], saw: Saw) -> list[Any]:
    async for event in client.batches.watch(ids[0], timeout=SHORT):
        saw(event)
    return [event]


@pytest.mark.parametrize(
    ("verb", "count"),
    [(wait_until_ready, 1), (watch, 1), (wait_all, 1), (wait_all, 20), (as_ready, 20)],
)
def test_a_blocked_loop_does_not_hide_that_a_batch_is_ready(verb: Any, count: int) -> None:
    async def main() -> list[Any]:
        async with (
            Simulator() as sim,
            ProlificClient(sim.token, base_url=sim.url, poll=ONCE) as client,
        ):
            ids = [sim.add_batch(status=None) for _ in range(count)]
            seen: list[StatusEvent] = []
            call = asyncio.create_task(verb(client, ids, seen.append))
            while len(seen) < count:
                await asyncio.sleep(0)
            for batch_id in ids:
                sim.set_status(batch_id, "READY")
            loop: Any = asyncio.get_running_loop()
            loop.slept = LONG
            found: list[Any] = await call
            return found

    with asyncio.Runner(loop_factory=SleepingLoop) as runner:
        found = runner.run(main())
    assert [one.status for one in found] == [BatchStatus.READY] * count


# --- one last poll for many ------------------------------------------------------------------


@pytest.mark.parametrize("list_threshold", [8, math.inf])
@pytest.mark.parametrize("keys", [1, 300])
def test_last_polls_within_a_second_are_shared(keys: int, list_threshold: float) -> None:
    async def main() -> None:
        service = Service(list_threshold=list_threshold)
        waits = []
        for number in range(300):
            waits.append(service.start(f"b{number % keys}", timeout=60))
            await asyncio.sleep(1 / 30)
        last = clock() + 60  # and the first deadline is ten seconds earlier
        await asyncio.sleep(38)
        for polls in (service.polls, service.listed):
            polls.clear()
        await asyncio.sleep(last - clock())
        assert all(isinstance(wait.outcome, WaitTimeoutError) for wait in waits)
        if keys == 1:
            assert len(service.polls) <= 13
        elif list_threshold == 8:
            assert service.polls == []
            assert len(service.listed) <= 13
        # Each was polled in the last two seconds before its deadline, and hardly after.
        for number, wait in enumerate(waits):
            assert isinstance(wait.outcome, WaitTimeoutError)
            newest = wait.outcome.events[-1]
            assert 57.9 <= newest.elapsed <= 60, number
        await nothing_left(service.poller)

    run(main())


def test_a_single_wait_makes_its_own_last_poll() -> None:
    async def main() -> None:
        service = Service()
        service.start(timeout=41)
        await asyncio.sleep(50)
        assert service.polls == [0, 10.1, 20.2, 30.3, 40]
        await nothing_left(service.poller)

    run(main())


# --- polls of others -------------------------------------------------------------------------


def outage(service: Service, timeout: float) -> Wait:
    """Start a wait of the default policies for a batch that cannot be polled."""
    service.broken = True
    now = asyncio.get_running_loop().time()
    defaults = (PollPolicy(), RetryPolicy())
    wait = real_wait("b1", poll=defaults[0], retry=defaults[1], timeout=timeout, now=now)
    service.poller.start(wait)
    return wait


@pytest.mark.parametrize("who", ["newcomers", "poll_now", "no time", "short"])
def test_a_patient_wait_survives_the_polls_of_others(who: str) -> None:
    async def main() -> None:
        service = Service()
        wait = outage(service, 600)
        others = []
        for _ in range(900):
            await asyncio.sleep(0.1)
            if who == "poll_now":
                service.poller.poll_now("b1")
            elif who == "newcomers":
                others.append(outage(service, 1800))
            else:
                others.append(service.start(timeout=0 if who == "no time" else 0.5))
        assert wait.outcome is None
        if who != "short":  # which make their last polls, a wait of half a second each
            assert all(second - first >= 1 for first, second in pairwise(service.polls))
        else:
            failures = [
                one.outcome.failure for one in others if isinstance(one.outcome, WaitTimeoutError)
            ]
            assert all(isinstance(failure, TransportError) for failure in failures)
        service.broken = False
        service.status = BatchStatus.READY
        await asyncio.sleep(15)
        assert wait.outcome == batch()
        for one in others:
            service.poller.leave(one)
        await nothing_left(service.poller)

    run(main())


def test_a_single_wait_fails_after_its_own_failures() -> None:
    async def main() -> None:
        service = Service()
        wait = outage(service, 600)
        await asyncio.sleep(300)
        assert isinstance(wait.outcome, WaitFailedError)
        assert wait.outcome.polls == len(service.polls) == 21
        await nothing_left(service.poller)

    run(main())


@pytest.mark.parametrize("after", [0.15, 0.05])
def test_timeout_0_uses_no_poll_that_was_sent_before(after: float) -> None:
    async def main() -> None:
        service = Service()
        service.start()
        await asyncio.sleep(after)  # after or during the other's poll
        service.status = BatchStatus.READY
        waits = [service.start(timeout=0) for _ in range(10)]
        await asyncio.sleep(0.5)
        assert [wait.outcome for wait in waits] == [batch()] * 10
        assert service.polls[1] == max(after, 0.1)
        assert len(service.polls) <= 3
        await nothing_left(service.poller)

    run(main())
