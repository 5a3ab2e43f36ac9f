"""Decisions of the scheduler, as pure functions of waits, results and the time."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import PollPolicy, RetryPolicy
from prolific_async._polling.list_polls import ListPolls
from prolific_async._polling.poll_results import GroupResult
from prolific_async._polling.scheduler import Scheduler
from prolific_async._polling.targets import IDLE, POLLED, PollTarget, WorkspaceGroup
from prolific_async._polling.workspaces import Workspaces
from tests.polling.fakes import PENDING, READY, real_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prolific_async._polling.list_polls import Step
    from prolific_async._polling.targets import Pollable
    from prolific_async._polling.wait import Wait

POLICY = PollPolicy(initial=10, maximum=10, factor=1, jitter=0)


class OneWorkspace(Workspaces):
    """Has every batch in one workspace."""

    def of(self, batch_id: str) -> str | None:
        return "home"


def a_scheduler(few: float = 8) -> Scheduler:
    return Scheduler(OneWorkspace(), few)


def add(scheduler: Scheduler, key: str, now: float, timeout: float | None = None) -> Wait:
    wait = real_wait(key, poll=POLICY, retry=RetryPolicy(), timeout=timeout, now=now)
    target = scheduler.targets.get(key) or PollTarget(key, wait.workspace_id)
    target.add(wait)
    scheduler.add(target, wait, now)
    return wait


def due(scheduler: Scheduler, now: float) -> list[Pollable]:
    """Return the targets and groups that are due now."""
    things: list[Pollable] = list(iter(lambda: scheduler.pop_due(now), None))
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
    due(scheduler, 5)
    assert scheduler.next_time == 25
    assert isinstance(scheduler.pop_due(25), PollTarget)
    assert scheduler.pop_due(25) is None


def test_a_read_of_the_whole_batch_is_queued_without_the_timer() -> None:
    scheduler = a_scheduler()
    wait = add(scheduler, "b", 5)
    (target,) = due(scheduler, 5)
    assert isinstance(target, PollTarget)
    target.stage = IDLE
    wait.observe(READY, 6)
    assert scheduler.plan(target, 6)
    assert (target.stage, target.whole, scheduler.next_time) == (POLLED, True, math.inf)


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
    assert (scheduler.targets, scheduler.groups.by_name, scheduler.next_time) == ({}, {}, math.inf)
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
    assert (scheduler.targets, scheduler.groups.by_name, scheduler.next_time) == ({}, {}, math.inf)


@pytest.mark.parametrize("few", [1, 8])
def test_a_workspace_that_becomes_known_makes_a_group(few: int) -> None:
    known = Workspaces()
    scheduler = Scheduler(known, few)
    for key in ("b0", "b1"):
        add(scheduler, key, 0)
    assert known.awaited == {"b0", "b1"}
    due(scheduler, 0)
    targets = list(scheduler.targets.values())
    assert {target.group and target.group.name for target in targets} == {None}
    known.learn_all(("b0", "b1"), "home")
    groups = [scheduler.groups.of(target) for target in targets]
    assert groups == ([None, targets[1].group] if few > 1 else [targets[0].group] * 2)
    assert [target.group and target.group.name for target in targets] == ["home"] * 2
    assert list(scheduler.groups.by_name) == ["home"]
    assert known.awaited == set()


# --- times -----------------------------------------------------------------------------------


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
            assert entries(scheduler) <= 3 * count + 65
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
        while (thing_due := scheduler.pop_due(now)) is not None:
            came[thing_due] = now
    assert came == expected
    assert entries(scheduler) == 0
