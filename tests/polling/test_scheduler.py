"""Decisions of the scheduler, as pure functions of waits, results and the time."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import PollPolicy, RetryPolicy
from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._polling.list_polls import ListPolls
from prolific_async._polling.poll_results import GroupResult
from prolific_async._polling.scheduler import Scheduler
from prolific_async._polling.sliced_work import CHUNK
from prolific_async._polling.targets import IDLE, POLLED, SHOWN, PollTarget, WorkspaceGroup
from tests.polling.fakes import PENDING, READY, real_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prolific_async._polling.list_polls import Step
    from prolific_async._polling.targets import Pollable
    from prolific_async._polling.wait import Wait

POLICY = PollPolicy(initial=10, maximum=10, factor=1, jitter=0)


class OneWorkspace(KnownWorkspaces):
    """Has every batch in one workspace."""

    def of(self, batch_id: str) -> str | None:
        return "home"


def a_scheduler(list_threshold: float = 8) -> Scheduler:
    return Scheduler(OneWorkspace(), list_threshold)


def add(
    scheduler: Scheduler, key: str, now: float, timeout: float | None = None, **more: Any
) -> Wait:
    wait = real_wait(key, poll=POLICY, retry=RetryPolicy(), timeout=timeout, now=now, **more)
    target = scheduler.targets.get(key) or PollTarget(key, wait.workspace_id)
    target.add(wait)
    scheduler.add(target, wait, now)
    return wait


def popped(scheduler: Scheduler, now: float) -> list[Pollable]:
    """Return the targets and groups whose time has come."""
    return [thing for thing in scheduler.pop_due(now) if thing is not None]


def due(scheduler: Scheduler, now: float) -> list[Pollable]:
    """Return the targets and groups that are due now."""
    things = popped(scheduler, now)
    return [poll for poll in scheduler.polls(things, now) if poll is not None]


def shown(
    scheduler: Scheduler, group: WorkspaceGroup, result: GroupResult, now: float
) -> Iterator[Step]:
    source: Any = None
    return ListPolls(source, scheduler, at_once=1).show(group, result, now)


def polled(scheduler: Scheduler, target: PollTarget, now: float) -> bool:
    """Show PROCESSING to the waits of a target."""
    target.stage = IDLE
    for wait in target.waits:
        wait.observe(PENDING, now)
    return scheduler.plan(target, now)


def test_a_batch_is_polled_at_once_and_then_after_each_gap() -> None:
    scheduler = a_scheduler()
    add(scheduler, "b", 5)
    assert scheduler.next_time == 5
    (target,) = due(scheduler, 5)
    assert isinstance(target, PollTarget)
    assert (target.key, target.stage, scheduler.next_time) == ("b", POLLED, math.inf)
    assert not polled(scheduler, target, 6)
    assert scheduler.next_time == 16
    assert due(scheduler, 15.9) == []
    assert due(scheduler, 16) == [target]


def test_a_deadline_is_due_while_a_poll_is_under_way() -> None:
    scheduler = a_scheduler()
    add(scheduler, "b", 5, timeout=20)
    (target,) = due(scheduler, 5)
    assert scheduler.next_time == 25
    assert popped(scheduler, 25) == [target]


def test_a_read_of_the_whole_batch_is_queued_without_the_timer() -> None:
    scheduler = a_scheduler()
    wait = add(scheduler, "b", 5)
    (target,) = due(scheduler, 5)
    assert isinstance(target, PollTarget)
    target.stage = IDLE
    wait.observe(READY, 6)
    assert scheduler.plan(target, 6)
    assert (target.stage, target.needs_object, scheduler.next_time) == (POLLED, True, math.inf)


def test_eight_batches_of_a_workspace_are_due_as_one_list() -> None:
    scheduler = a_scheduler()
    for number in range(8):
        add(scheduler, f"b{number}", 0)
    (group,) = due(scheduler, 0)
    assert isinstance(group, WorkspaceGroup)
    assert len(group.targets) == 8
    found = {f"b{number}": PENDING for number in range(8)}
    steps = list(shown(scheduler, group, GroupResult(found=found), 1))
    results = [step for step in steps if isinstance(step, tuple)]
    assert [(target.key, result) for target, result in results] == list(found.items())
    for target, _ in results:
        polled(scheduler, target, 1)
    assert [entry for entry in scheduler._heap if entry[1] == entry[2].order] == [
        (11, group.order, group)
    ]
    assert due(scheduler, 11) == [group]


def test_a_batch_missing_from_the_list_is_scheduled_singly() -> None:
    scheduler = a_scheduler()
    for number in range(9):
        add(scheduler, f"b{number}", 0)
    (group,) = due(scheduler, 0)
    assert isinstance(group, WorkspaceGroup)
    found = {f"b{number}": PENDING for number in range(8)}
    for step in shown(scheduler, group, GroupResult(found=found), 1):
        if isinstance(step, tuple):
            polled(scheduler, step[0], 1)
    assert due(scheduler, 1) == [scheduler.targets["b8"]]


def test_a_wait_is_forgotten_with_its_target() -> None:
    scheduler = a_scheduler()
    first, second = add(scheduler, "b", 0), add(scheduler, "b", 0)
    (target,) = due(scheduler, 0)
    assert scheduler.remove(first, 0) is None
    assert scheduler.remove(first, 0) is None
    assert scheduler.remove(second, 0) is target
    assert isinstance(target, PollTarget)
    assert not scheduler.plan(target, 0)
    assert (scheduler.targets, scheduler.groups.by_workspace, scheduler.next_time) == (
        {},
        {},
        math.inf,
    )
    assert scheduler.pop_ended_groups() == []


def test_a_group_begins_with_the_second_batch_of_a_workspace_and_ends_with_the_last() -> None:
    scheduler = a_scheduler()
    waits = [add(scheduler, "b0", 0)]
    (first,) = due(scheduler, 0)
    assert isinstance(first, PollTarget)
    assert first.group is None
    waits.append(add(scheduler, "b1", 1))
    (second,) = due(scheduler, 1)
    assert isinstance(second, PollTarget)
    group = second.group
    assert group is first.group
    assert group is not None
    assert list(group.targets) == [first, second]
    for wait, target in zip(waits, (first, second), strict=True):
        assert scheduler.pop_ended_groups() == []
        assert scheduler.remove(wait, 2) is target
        scheduler.plan(target, 2)
    assert scheduler.pop_ended_groups() == [group]
    assert (scheduler.targets, scheduler.groups.by_workspace, scheduler.next_time) == (
        {},
        {},
        math.inf,
    )


@pytest.mark.parametrize("list_threshold", [1, 8])
def test_a_workspace_that_becomes_known_makes_a_group(list_threshold: int) -> None:
    known = KnownWorkspaces()
    scheduler = Scheduler(known, list_threshold)
    for key in ("b0", "b1"):
        add(scheduler, key, 0)
    assert known.awaited == {"b0", "b1"}
    due(scheduler, 0)
    assert known.awaited == {"b0", "b1"}
    targets = list(scheduler.targets.values())
    assert {target.group and target.group.name for target in targets} == {None}
    known.learn_all(("b0", "b1"), "home")
    groups = [scheduler.groups.of(target) for target in targets]
    assert groups == ([None, targets[1].group] if list_threshold > 1 else [targets[0].group] * 2)
    assert [target.group and target.group.name for target in targets] == ["home"] * 2
    assert list(scheduler.groups.by_workspace) == ["home"]
    assert known.awaited == set()


def test_a_later_wait_can_tell_the_workspace_of_a_target() -> None:
    known = KnownWorkspaces()
    scheduler = Scheduler(known, 2)
    for key in ("b0", "b1"):
        add(scheduler, key, 0)
    assert known.of("b0") is None
    for key in ("b0", "b1"):
        add(scheduler, key, 0, workspace_id="home")
    assert (known.of("b0"), known.of("b1")) == ("home", "home")
    (group,) = due(scheduler, 0)
    assert isinstance(group, WorkspaceGroup)
    assert group.name == "home"
    add(scheduler, "b0", 0, workspace_id="elsewhere")
    assert known.of("b0") == "home"


def test_awaited_holds_only_batches_that_have_waits_and_an_unknown_workspace() -> None:
    known = KnownWorkspaces()
    scheduler = Scheduler(known, 8)
    first, second = add(scheduler, "b0", 0), add(scheduler, "b1", 0)
    add(scheduler, "b2", 0, workspace_id="home")
    assert known.awaited == {"b0", "b1"}
    target = scheduler.remove(first, 1)
    assert target is not None
    assert scheduler.plan(target, 1) is False
    assert known.awaited == {"b1"}
    assert second.key in scheduler.targets


# --- groups ----------------------------------------------------------------------------------


class Workplaces(KnownWorkspaces):
    """Has a batch in the workspace of its first letter."""

    def of(self, batch_id: str) -> str | None:
        return batch_id[0]


def a_group(scheduler: Scheduler, count: int = 8, prefix: str = "b") -> WorkspaceGroup:
    """Return a group whose targets were polled as a list at 1, and are due again at 11."""
    waits = [add(scheduler, f"{prefix}{number}", 0) for number in range(count)]
    (group,) = due(scheduler, 0)
    assert isinstance(group, WorkspaceGroup)
    show(scheduler, group, [wait.key for wait in waits])
    assert not group.stage
    return group


def show(scheduler: Scheduler, group: WorkspaceGroup, keys: list[str], now: float = 1) -> None:
    """Let a list show that batches are PROCESSING."""
    found = dict.fromkeys(keys, PENDING)
    for step in shown(scheduler, group, GroupResult(found=found), now):
        if isinstance(step, tuple):
            polled(scheduler, step[0], now)


def wait_of(target: PollTarget) -> Wait:
    (wait,) = target.waits
    return wait


def test_a_group_hides_no_target_of_another_workspace() -> None:
    scheduler = Scheduler(Workplaces(), 8)
    group = a_group(scheduler)
    add(scheduler, "c", 11)
    assert due(scheduler, 11) == [group, scheduler.targets["c"]]


def test_leaving_wakes_nobody_unless_the_whole_batch_was_needed() -> None:
    scheduler = a_scheduler()
    first, second, _ = [add(scheduler, "b", 0) for _ in range(3)]
    (target,) = due(scheduler, 0)
    assert isinstance(target, PollTarget)
    polled(scheduler, target, 1)
    assert scheduler.remove(first, 2) is None
    assert scheduler.next_time == 11
    second.needs_object = True
    assert scheduler.remove(second, 3) is None
    assert scheduler.next_time == 3


def test_a_group_that_is_not_due_any_more_lets_its_targets_be_planned() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    first, whole, *_ = group.targets
    assert group.due_target is first
    wait_of(first).due = 20
    wait_of(whole).needs_object = True
    assert due(scheduler, 11) == [whole]
    assert (group.when, group.stage) == (11, IDLE)
    assert due(scheduler, 11) == [group]


def test_a_target_whose_workspace_became_known_is_planned_with_its_new_group() -> None:
    known = KnownWorkspaces()
    scheduler = Scheduler(known, 8)
    unknown = a_group(scheduler)
    targets = list(unknown.targets)
    known.learn_all([target.key for target in targets[:7]], "home")
    wait_of(targets[1]).needs_object = True
    assert due(scheduler, 11) == [targets[1]]
    assert [target.workspace_id for target in targets] == ["home"] * 7 + [None]


def test_a_result_that_is_shown_in_slices_makes_no_target_miss_its_next_poll() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    group.stage = POLLED
    found = {target.key: PENDING for target in group.targets}
    steps = shown(scheduler, group, GroupResult(found=found), 2)
    first = next(steps)
    assert isinstance(first, tuple)
    assert group.stage == SHOWN
    polled(scheduler, first[0], 2)
    assert due(scheduler, 12) == []  # the rest has not seen it yet
    for step in steps:
        if isinstance(step, tuple):
            polled(scheduler, step[0], 10)  # those need it later
    assert due(scheduler, 12) == [group]


def test_a_target_that_ends_before_its_poll_is_queued_is_not_polled() -> None:
    scheduler = Scheduler(Workplaces(), 8)
    waits = [add(scheduler, key, 0) for key in ("b", "c")]
    things = popped(scheduler, 0)
    polls = (poll for poll in scheduler.polls(things, 0) if poll is not None)
    assert next(polls) is scheduler.targets["b"]
    scheduler.remove(waits[1], 0)
    assert list(polls) == []
    assert not scheduler.targets["c"].stage


def test_a_target_that_is_polled_before_its_poll_is_queued_is_polled_once() -> None:
    scheduler = Scheduler(Workplaces(), 8)
    for key in ("b", "c"):
        add(scheduler, key, 0)
    things = popped(scheduler, 0)
    polls = (poll for poll in scheduler.polls(things, 0) if poll is not None)
    next(polls)
    scheduler.targets["c"].stage = POLLED
    assert list(polls) == []


def test_a_target_that_comes_to_need_the_whole_batch_as_its_list_is_queued_is_polled() -> None:
    scheduler = a_scheduler()
    waits = [add(scheduler, f"b{number}", 0) for number in range(8)]
    things = popped(scheduler, 0)
    polls = (poll for poll in scheduler.polls(things, 0) if poll is not None)
    assert isinstance(next(polls), WorkspaceGroup)
    waits[3].needs_object = True
    assert list(polls) == [scheduler.targets["b3"]]


def test_no_whole_batch_is_polled_at_the_deadline() -> None:
    scheduler = a_scheduler()
    wait = add(scheduler, "b", 0, timeout=20)
    (target,) = due(scheduler, 0)
    assert isinstance(target, PollTarget)
    target.stage = IDLE
    wait.needs_object, wait.due = True, 20
    assert not scheduler.plan(target, 20)
    assert not target.stage
    wait.due = 19
    assert scheduler.plan(target, 19)


def test_a_batch_that_a_list_lacked_is_scheduled_alone_until_its_pause_is_over() -> None:
    scheduler = a_scheduler()
    target = next(iter(a_group(scheduler, 9).targets))
    target.singly_until = 5
    scheduler.plan(target, 4.9)
    assert target.when == 11
    scheduler.plan(target, 5)
    assert target.when == math.inf


def test_a_list_poll_under_way_serves_what_is_due_now_or_later() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    target = next(iter(group.targets))
    group.stage = POLLED
    for now in (10, 11, 12):
        scheduler.plan(target, now)
        assert (target.when, group.when, group.must_replan) == (math.inf, 11, False)


@pytest.mark.parametrize(("now", "missed"), [(10, False), (11, True), (12, True)])
def test_what_is_due_while_a_list_is_shown_is_planned_at_its_end(now: float, missed: bool) -> None:  # noqa: FBT001
    scheduler = a_scheduler()
    group = a_group(scheduler)
    group.stage = SHOWN
    target = next(iter(group.targets))
    scheduler.plan(target, now)
    assert (target.when, group.must_replan) == (math.inf, missed)


def test_a_group_is_polled_singly_until_its_pause_is_over() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    target = next(iter(group.targets))
    group.singly_until = 5
    scheduler.plan(target, 4.9)
    assert target.when == 11
    scheduler.plan(target, 5)
    assert target.when == math.inf


def test_poll_now_waits_for_the_end_of_a_hold() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    key = next(iter(group.targets)).key
    group.held_until = 5
    scheduler.poll_now(key, 4)
    assert (scheduler.targets[key].when, group.when) == (math.inf, 5)
    scheduler.poll_now(key, 5)
    assert scheduler.targets[key].when == -math.inf


def test_a_held_list_is_polled_at_the_end_of_the_hold() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    group.held_until = 20
    assert due(scheduler, 11) == []
    assert (group.stage, scheduler.next_time) == (IDLE, 20)
    assert due(scheduler, 20) == [group]


def test_many_that_are_due_wait_for_a_held_list() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    group.held_until = 20
    for target in group.targets:
        scheduler._schedule(target, 11)
    assert due(scheduler, 11) == []
    assert (group.stage, scheduler.next_time) == (IDLE, 20)


def test_a_callback_that_ends_a_target_spares_it_the_result() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    found = {target.key: PENDING for target in group.targets}
    group.stage = POLLED
    steps = shown(scheduler, group, GroupResult(found=found), 2)
    next(steps)
    second = list(group.targets)[1]
    scheduler.remove(wait_of(second), 2)
    scheduler.plan(second, 2)
    assert next(steps) is None
    assert isinstance(next(steps), tuple)


# --- what follows from a list poll -----------------------------------------------------------


def lists_of(scheduler: Scheduler) -> ListPolls:
    source: Any = None
    return ListPolls(source, scheduler, at_once=1)


def test_after_a_list_poll_that_nobody_needed_the_targets_are_planned() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    _, whole, *_ = group.targets
    wait_of(whole).needs_object = True

    async def main() -> list[Step]:
        task: Any = asyncio.get_running_loop().create_future()
        task.set_result(None)
        return list(lists_of(scheduler).steps(group, task, 11))

    assert asyncio.run(main()) == [None, whole, *[None] * 6]


@pytest.mark.parametrize("failure", [None, "HTTP 503"])
async def test_a_list_poll_that_is_done_is_taken_in_before_the_next_begins(
    failure: str | None,
) -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    found = {} if failure else {target.key: PENDING for target in group.targets}
    task: Any = asyncio.get_running_loop().create_future()
    task.set_result(GroupResult(found=found, failure=failure))
    steps = lists_of(scheduler).steps(group, task, 11)
    add(scheduler, "newcomer", 11)
    assert group not in due(scheduler, 11)  # though other work keeps the steps waiting
    assert [step[1] for step in steps if isinstance(step, tuple)] == list(found.values())


async def test_before_a_list_poll_of_many_targets_the_loop_gets_its_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prolific_async._time_slices._SLICE", -1.0)
    scheduler = a_scheduler()
    group = a_group(scheduler, 3 * CHUNK + 1)
    turns = before = 0

    class Source:
        async def poll_list(self, *_: object) -> None:
            nonlocal before
            before = turns

    source: Any = Source()
    poll = asyncio.create_task(ListPolls(source, scheduler, at_once=1).poll(group))
    while not poll.done():
        await asyncio.sleep(0)
        turns += 1
    assert before == 4


def test_after_a_list_poll_only_what_is_due_is_polled() -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    whole, early, *_ = group.targets
    for target in (whole, early):
        wait_of(target).needs_object = True
    wait_of(early).due = 20
    failed = GroupResult(failure="HTTP 503")
    group.stage = POLLED
    steps = list(shown(scheduler, group, failed, 11))
    assert [step for step in steps if step is not None] == [whole]


@pytest.mark.parametrize("polled_now", [False, True])
def test_a_check_that_ended_during_a_list_poll_is_not_compared_with_it(polled_now: bool) -> None:  # noqa: FBT001
    scheduler = a_scheduler()
    group = a_group(scheduler)
    target = next(iter(group.targets))
    assert group.check is not None
    target.result, group.check.key = PENDING, target.key
    group.stage = POLLED if polled_now else IDLE
    assert lists_of(scheduler).take_single_result(target, READY, 2)
    lags = [group.check.lags({target.key: PENDING}) for _ in range(2)]
    assert lags == ([False, False] if polled_now else [False, True])


@pytest.mark.parametrize(("now", "news"), [(10.9, False), (11, True)])
def test_a_check_that_shows_nothing_new_is_news_for_a_wait_that_is_due(
    now: float,
    news: bool,  # noqa: FBT001
) -> None:
    scheduler = a_scheduler()
    group = a_group(scheduler)
    target = next(iter(group.targets))
    assert group.check is not None
    target.result, group.check.key = PENDING, target.key
    assert lists_of(scheduler).take_single_result(target, PENDING, now) is news


# --- times -----------------------------------------------------------------------------------


def test_the_next_time_is_that_of_no_outdated_heap_entry() -> None:
    scheduler = a_scheduler()
    early, late = PollTarget("early"), PollTarget("late")
    scheduler._schedule(early, 5)
    scheduler._schedule(late, 7)
    scheduler._schedule(early, 9)
    assert scheduler.next_time == 7
    scheduler._schedule(late, math.inf)
    assert scheduler.next_time == 9


def test_the_first_entry_of_both_heaps_is_due_first() -> None:
    scheduler = a_scheduler()
    first, *things = [PollTarget(f"b{number}") for number in range(101)]
    scheduler._schedule(first, 1)
    times = ((thing, when) for when in (10, 20, 30) for thing in things)
    while not scheduler._old:
        scheduler._schedule(*next(times))
    assert scheduler._heap
    scheduler._schedule(things[0], 0.5)
    assert scheduler._old
    assert popped(scheduler, 1) == [things[0], first]


def test_outdated_entries_are_removed_one_by_one_so_that_many_do_not_block_the_loop() -> None:
    scheduler = a_scheduler()
    first, *things = [PollTarget(f"b{number}") for number in range(41)]
    scheduler._schedule(first, 0)
    for thing in things:
        scheduler._schedule(thing, 1)
        scheduler._schedule(thing, 2)
    due = scheduler.pop_due(2)
    assert next(due) is first
    before = entries(scheduler)
    assert next(due) is None
    assert 0 < before - entries(scheduler) < 10
    assert [thing for thing in due if thing is not None] == things


class CountedTarget(PollTarget):
    """A target that counts how often its newest heap entry is read."""

    reads = 0

    def __getattribute__(self, name: str) -> object:
        if name == "order":
            CountedTarget.reads += 1
        return super().__getattribute__(name)


def entries(scheduler: Scheduler) -> int:
    return len(scheduler._heap) + len(scheduler._old)


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.parametrize("deadline", [None, 1e6])
def test_outdated_heap_entries_are_removed_at_little_cost(
    deadline: float | None, count: int
) -> None:
    scheduler = a_scheduler()
    things = [CountedTarget(f"b{number}") for number in range(count)]
    times = 20_000 // count
    CountedTarget.reads = 0
    for when in range(times):
        for thing in things:
            scheduler._schedule(thing, float(when))
            if deadline is not None:  # as often as it is polled, at the same time again
                scheduler._schedule(thing, deadline)
            assert entries(scheduler) <= 2 * count + 66
    assert CountedTarget.reads <= 10 * count * times
    for thing in things[1:]:
        scheduler._schedule(thing, math.inf)
    for when in range(100):
        scheduler._schedule(things[0], float(when))
    assert entries(scheduler) <= 3 + 65


def test_no_call_reads_all_heap_entries() -> None:
    """With 30,000 waits that would block the loop for too long."""
    scheduler = a_scheduler()
    things = [CountedTarget(f"b{number}") for number in range(5000)]
    for when in (100.0, 2000.0, 5.0, 3000.0, 2000.0, math.inf):
        for thing in things:
            scheduler._schedule(thing, when)
        for thing in things:
            CountedTarget.reads = 0
            scheduler._schedule(thing, when + 1)
            assert CountedTarget.reads <= 100
    for thing in things:
        scheduler._schedule(thing, math.inf)
    assert (entries(scheduler), scheduler.next_time) == (0, math.inf)


def test_rescheduled_targets_come_due_at_their_last_time() -> None:
    scheduler = a_scheduler()
    things = [PollTarget(f"b{number}") for number in range(1000)]
    chance = random.Random(1)
    for _ in range(5):
        for thing in things:
            scheduler._schedule(thing, chance.choice([1, 2, 50, 60]))
            assert scheduler.next_time <= min(one.when for one in things)
    expected = {thing: thing.when for thing in things}
    came: dict[Pollable, float] = {}
    while (now := scheduler.next_time) != math.inf:
        came |= dict.fromkeys(popped(scheduler, now), now)
    assert came == expected
    assert entries(scheduler) == 0
