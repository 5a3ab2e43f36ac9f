"""With any number of waits, no iteration of the loop is long."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import BatchStatus, PollPolicy, RetryPolicy, WaitFailedError
from prolific_async._polling.poll_results import GroupResult, PollResult
from prolific_async._polling.poller import Poller
from prolific_async._polling.sliced_work import CHUNK, SlicedWork
from prolific_async._polling.targets import WorkspaceGroup
from prolific_async._time_slices import TimeSlices
from tests.costs import LIMIT, held_by
from tests.polling.fakes import SetWorkspaces, note_sent, real_wait
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prolific_async._http.request import PollTiming
    from prolific_async._polling.wait import Wait

PENDING = PollResult(BatchStatus.PROCESSING)
LONG = 600.0
MANY = [
    5_000,
    pytest.param(10_000, marks=pytest.mark.slow),
    pytest.param(30_000, marks=pytest.mark.slow),
]


class Load:
    """Waits on a poller whose polls take no time and show nothing new."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.polls = 0
        self.fails = self.is_broken = False
        self.groups: Mapping[str, str] = dict.fromkeys(keys, "home")
        self.found = dict.fromkeys(keys, PENDING)
        self.futures: list[asyncio.Future[None]] = []
        self.waits: list[Wait] = []
        source: Any = self
        self.poller = Poller(source, SetWorkspaces(self.group_of), list_threshold=8, at_once=50)

    def group_of(self, key: str) -> str | None:
        return self.groups.get(key)

    def forget(self, _workspace_id: str | None) -> None:
        pass

    async def get_status(self, _key: str, poll: PollTiming) -> BatchStatus | None:
        note_sent(poll)
        await asyncio.sleep(0)
        self.polls += 1
        if self.is_broken:
            raise ZeroDivisionError
        return BatchStatus.PROCESSING

    async def poll_list(
        self, name: str | None, _keys: object, _wanted: object, poll: PollTiming
    ) -> GroupResult:
        note_sent(poll)
        self.polls += 1
        if self.fails:
            return GroupResult(failure="no list")
        if name is None:
            self.groups = dict.fromkeys(self.keys, "home")
        return GroupResult(found=self.found, again=name is None)

    async def start(self, *, gap: float = LONG, timeout: float = LONG) -> None:
        poll = PollPolicy(initial=gap, maximum=gap, factor=1)
        slices = TimeSlices()
        until = asyncio.get_running_loop().time() + timeout
        for key in self.keys:
            now = asyncio.get_running_loop().time()
            wait = real_wait(key, poll=poll, retry=RetryPolicy(), timeout=until - now, now=now)
            self.waits.append(wait)
            self.futures.append(self.poller.start(wait))
            await slices.yield_if_due()

    async def polled(self, polls: int = 1) -> None:
        """Return when all waits have seen a number of polls."""
        while any(wait.polls < polls for wait in (self.waits[0], self.waits[-1])):
            await asyncio.sleep(0.001)
        await self.poller.until_idle()

    async def close(self) -> None:
        self.poller.close(RuntimeError("closed"))
        await self.poller.until_idle()


def many(number: int) -> list[str]:
    return [f"k{index}" for index in range(number)]


def one(number: int) -> list[str]:
    return ["k"] * number


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("keys", [many, pytest.param(one, marks=pytest.mark.slow)])
async def test_starts_polls_and_close_do_not_block_the_loop(keys: Any, number: int) -> None:
    names = keys(number)
    kept: list[Load] = []  # freed later: that belongs to another iteration of the loop

    async def call() -> None:
        load = Load(names)
        kept.append(load)
        await load.start(gap=0.5)
        await load.polled(3)
        await load.close()
        assert all(future.done() for future in load.futures)

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("keys", [many, pytest.param(one, marks=pytest.mark.slow)])
async def test_a_common_deadline_does_not_block_the_loop(keys: Any, number: int) -> None:
    names = keys(number)
    kept: list[Load] = []

    async def call() -> None:
        load = Load(names)
        kept.append(load)
        await load.start(timeout=number / 20_000)
        await load.futures[0]
        while not all(future.done() for future in load.futures):
            await asyncio.sleep(0.001)  # some end a rounding error later
        await load.poller.until_idle()

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("keys", [many, one])
async def test_leaving_all_waits_does_not_block_the_loop(keys: Any, number: int) -> None:
    names = keys(number)
    kept: list[Load] = []

    async def call() -> None:
        load = Load(names)
        kept.append(load)
        await load.start()
        await load.polled()
        await load.poller.leave_all(load.waits)
        assert not load.poller._scheduler.targets

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize(
    ("fails", "number"),
    [
        ("fails", 10_000),
        pytest.param("fails", 30_000, marks=pytest.mark.slow),
        ("is learnt", 10_000),
        pytest.param("is learnt", 30_000, marks=pytest.mark.slow),
    ],
)
async def test_a_failing_or_new_group_does_not_block_the_loop(fails: str, number: int) -> None:
    names = many(number)
    kept: list[Load] = []

    async def call() -> None:
        load = Load(names)
        kept.append(load)
        load.groups = {}
        load.fails = fails == "fails"
        await load.start()
        if load.fails:
            await asyncio.sleep(0.2)
        else:
            await load.polled()
        assert load.polls
        await load.close()

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize("number", MANY)
async def test_a_bug_that_ends_all_waits_of_a_batch_does_not_block_the_loop(number: int) -> None:
    names = one(number)
    kept: list[Load] = []

    async def call() -> None:
        load = Load(names)
        kept.append(load)
        await load.start(gap=0.5)
        load.is_broken = True
        await asyncio.gather(load.futures[0], load.futures[-1])
        await load.poller.until_idle()
        assert all(future.done() for future in load.futures)
        assert all(isinstance(wait.outcome, WaitFailedError) for wait in load.waits)

    assert await held_by(call) < LIMIT


async def test_a_wait_that_leaves_while_a_bug_ends_all_gets_no_event() -> None:
    load = Load(one(5000))
    await load.start()
    load.poller.poll_now("k")
    load.is_broken = True
    await load.futures[0]
    assert not load.futures[-1].done()
    load.poller.leave(load.waits[-1])
    await load.poller.until_idle()
    assert load.waits[-1].outcome is None
    assert [future.done() for future in load.futures] == [True] * 4999 + [False]


async def test_waits_that_begin_while_a_list_is_shown_are_served() -> None:
    load = Load(many(5000))
    await load.start()
    showing = asyncio.create_task(load.polled())
    late: list[Wait] = []
    for number in range(200):
        now = asyncio.get_running_loop().time()
        poll = PollPolicy(initial=LONG, maximum=LONG, factor=1)
        late.append(
            real_wait(f"late{number}", poll=poll, retry=RetryPolicy(), timeout=LONG, now=now)
        )
        load.groups = {**load.groups, late[-1].key: "home"}
        load.found[late[-1].key] = PENDING
        load.poller.start(late[-1])
        await asyncio.sleep(0)
    await showing
    async with asyncio.timeout(5):
        while any(wait.polls == 0 for wait in late):
            await asyncio.sleep(0.001)
    await load.close()


# --- slices ----------------------------------------------------------------------------------


async def test_a_group_that_is_due_is_planned_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Load(many(3 * CHUNK))
    await load.start()
    await load.polled()
    (group,) = load.poller._scheduler.groups.by_workspace.values()
    assert isinstance(group, WorkspaceGroup)
    assert group.due_target is not None
    (wait,) = group.due_target.waits
    load.poller.leave(wait)  # now its next poll is not needed as early
    monkeypatch.setattr("prolific_async._polling.sliced_work._SLICE", -1.0)
    load.poller._timer_fired(group.when)
    assert load.poller._work.loops
    await load.close()


async def test_short_work_is_done_in_one_slice() -> None:
    done: list[object] = []
    work = SlicedWork(lambda: done.append("after"))
    work.each(range(3), done.append, lambda: done.append("then"))
    assert done == [0, 1, 2, "then", "after"]
    assert not work.loops
    await work.drained()


async def test_a_slice_is_a_number_of_things_if_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prolific_async._polling.sliced_work._SLICE", -1.0)
    done: list[int] = []
    slices: list[int] = []
    work = SlicedWork(lambda: slices.append(len(done)))
    work.each(range(2 * CHUNK + 1), done.append)
    assert len(done) == CHUNK
    await work.drained()
    assert slices == [CHUNK, 2 * CHUNK, 2 * CHUNK + 1]


def test_drained_does_not_wait_when_the_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prolific_async._polling.sliced_work._SLICE", -1.0)

    async def main() -> None:
        began = asyncio.get_running_loop().time()
        work = SlicedWork(lambda: None)
        work.each(range(2 * CHUNK), abs)
        assert work.loops
        await work.drained()
        assert asyncio.get_running_loop().time() == began

    run(main())


def busy(done: list[str], name: str) -> None:
    until = time.perf_counter() + 0.0002
    while time.perf_counter() < until:
        pass
    done.append(name)


async def test_long_work_is_done_in_slices_and_in_order() -> None:
    slices: list[int] = []
    done: list[str] = []
    work = SlicedWork(lambda: slices.append(len(done)))
    for name, count in (("a", 100), ("b", 100), ("c", 1)):
        work.each([name] * count, partial(busy, done), partial(done.append, "end"))
    assert done == ["a"] * len(done)
    assert len(done) < 100
    await work.drained()
    assert done == ["a"] * 100 + ["end"] + ["b"] * 100 + ["end", "c", "end"]
    assert max(later - one for one, later in pairwise(slices)) <= 32 + 33


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("at", ["a thing", "the end"])
def test_an_exception_stops_no_other_work(
    at: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    done: list[object] = []
    work = SlicedWork(lambda: None)

    def act(number: int) -> None:
        done.append(number)
        if at == "a thing" and number == 1:
            raise error

    def then() -> None:
        done.append("then")
        if at == "the end":
            raise error

    async def main() -> None:
        work.each(range(3), act, then)

    async def rest() -> None:
        work.each(["next"], done.append)
        await work.drained()

    with asyncio.Runner() as runner:
        if error is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                runner.run(main())
        else:
            runner.run(main())
            (record,) = caplog.records
            assert record.getMessage() == "polling is broken"
            assert record.exc_info is not None
            assert isinstance(record.exc_info[1], error)
        runner.run(rest())
    assert done == [0, 1, 2, "then", "next"]


async def test_what_the_things_come_from_may_raise(caplog: pytest.LogCaptureFixture) -> None:
    def things() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    done: list[object] = []
    work = SlicedWork(lambda: None)
    work.each(things(), done.append, lambda: done.append("then"))
    assert done == [1, "then"]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_later_slices_run_in_the_context_of_no_caller() -> None:
    whose = ContextVar("whose", default="nobody's")
    seen: list[str] = []

    def act(thing: float) -> None:
        time.sleep(thing)
        seen.append(whose.get())

    whose.set("mine")
    work = SlicedWork(lambda: None)
    work.each([0.0005] * 3 * CHUNK, act)
    await work.drained()
    assert (seen[0], seen[-1]) == ("mine", "nobody's")
