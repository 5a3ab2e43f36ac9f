"""Scheduler: decides when a target is polled, by itself or by its workspace's list.

No I/O and no clock: it gets waits and the time, and returns what to poll. Decisions about many
targets are yielded one by one, so that the poller can take them in slices.

A group of at least ``list_threshold`` targets is polled by its list, while that works, when one of
them is due. Polled singly are targets of all other groups, targets that the list did not show or
that need the whole object, and new targets if fewer than ``list_threshold`` are due at a time.
"""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING, Any

from prolific_async._polling.groups import Groups
from prolific_async._polling.targets import POLLED, SHOWN, Pollable, PollTarget, WorkspaceGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prolific_async._polling.kinds import Key
    from prolific_async._polling.known_workspaces import KnownWorkspaces
    from prolific_async._polling.wait import Wait

_SMALL = 64  # heap entries up to which outdated entries are not worth removing
_CLEARED = 4  # old entries that are moved or removed for each new entry


class Scheduler:
    """Decides which targets and groups are polled, and when.

    Attributes:
        targets: All poll targets, by key.
        groups: The groups of the targets.
        next_time: When a target or group is due next, in loop time, inf for never.

    """

    def __init__(self, workspaces: KnownWorkspaces, list_threshold: float) -> None:
        """Begin without waits.

        Args:
            workspaces: Remembers the workspaces of batches.
            list_threshold: Least number of targets for which a list is polled; inf for never, 1
                for always.

        """
        self.targets: dict[Any, PollTarget] = {}
        self.groups = Groups(workspaces, list_threshold)
        self.next_time = math.inf
        self._workspaces = workspaces
        # Rescheduling leaves outdated entries: when there are many, the heap becomes ``_old``.
        self._heap: list[tuple[float, int, Pollable]] = []
        self._old: list[tuple[float, int, Pollable]] = []  # its current entries move to ``_heap``
        self._order = count()
        self._scheduled = 0

    def add(self, target: PollTarget, wait: Wait, now: float) -> None:
        """Schedule a target for a wait that was just added to it; other waits are not read."""
        if target.key not in self.targets:
            self.targets[target.key] = target
            if wait.workspace_id is None and isinstance(target.key, str):
                self._workspaces.awaited.add(target.key)
        elif target.workspace_id is None and wait.workspace_id is not None:
            self._workspaces.learn(target.key, wait.workspace_id)
        target.needs_object = target.needs_object or wait.needs_object
        target.deadline = min(target.deadline, wait.deadline)
        due = max(wait.due, target.not_before)
        if due > now:
            due = self._due_singly(target, due, now)
        elif target.stage or (target.group is not None and target.serving(now).stage):
            due = math.inf
        self._schedule(target, min(target.when, due, wait.deadline))

    def remove(self, wait: Wait, now: float) -> PollTarget | None:
        """Remove a wait, whether it is over or not; return its target if that has no waits left."""
        target = self.targets.get(wait.key)
        if target is None or not target.remove(wait):
            return None
        if target.waits and wait.needs_object:  # perhaps the list serves all other waits
            self._schedule(target, min(target.when, now))
        return None if target.waits else target

    def pop_ended_groups(self) -> list[WorkspaceGroup]:
        """Forget the groups that have lost their last target, and return them."""
        ended, self.groups.ended = self.groups.ended, []
        for group in ended:
            self._schedule(group, math.inf)
        return ended

    def pop_due(self, now: float) -> Iterator[Pollable | None]:
        """Yield the targets and groups that are due, and None for each outdated heap entry."""
        while self.next_time <= now:
            _, order, pollable = heapq.heappop(self._heap_with_earliest())
            if order == pollable.order:
                self._schedule(pollable, math.inf)
                yield pollable
            else:
                self._set_next_time()
                yield None

    def polls(self, pollables: list[Pollable], now: float) -> Iterator[Pollable | None]:
        """Yield each target or group to poll now, marked POLLED, and None after every other step.

        All ``pollables`` are due, and their expired waits are removed already.
        """
        for pollable in pollables:  # groups first, as their polls may serve the targets
            if isinstance(pollable, WorkspaceGroup):
                yield from self._poll_of_group(pollable, now)
        due: dict[str | None, list[PollTarget]] = {}
        for target in pollables:
            if isinstance(target, WorkspaceGroup) or not target.waits:
                continue
            of = target.group
            due_at = next_due(target)
            busy = target.stage or (of is not None and of.stage and target.fits_group(now))
            if busy or due_at > now:
                self.plan(target, now)
            else:
                if not (target.is_registered and target.workspace_id):
                    self.groups.of(target)
                due.setdefault(target.workspace_id, []).append(target)
                self._schedule(target, target.deadline)
            yield None
        for name, members in due.items():
            yield from self._polls_of_targets(self.groups.by_workspace.get(name), members, now)

    def _poll_of_group(self, group: WorkspaceGroup, now: float) -> Iterator[Pollable | None]:
        """Yield a due group if its list must be polled, else each of its targets to poll now."""
        if group.stage:
            group.must_replan = True  # so all targets are planned when this poll ends
            return
        if group.name is None:
            for target in list(group.targets):
                if target.group is group and self.groups.of(target) is not group:
                    yield target if self.plan(target, now) else None
        if self._is_due(group, now) and self._queue(group, now):
            yield group
            return
        for target in list(group.targets):
            yield target if self.plan(target, now) else None

    def _polls_of_targets(
        self, group: Pollable | None, due: list[PollTarget], now: float
    ) -> Iterator[Pollable | None]:
        """Yield a group if its list serves enough due targets, and due targets it cannot serve."""
        fitting: set[PollTarget] = set()
        if (
            isinstance(group, WorkspaceGroup)
            and group.is_listed(now)
            and len(due) >= group.list_threshold
        ):
            fitting = {target for target in due if target.fits_group(now)}
            if len(fitting) < group.list_threshold:
                fitting = set()
            elif self._queue(group, now):
                yield group
        for target in due:
            if not target.waits or target.stage:  # callbacks may have changed it
                yield None
            elif target in fitting:
                yield target if self.plan(target, now) else None
            else:
                target.stage = POLLED
                yield target

    def plan(self, target: PollTarget, now: float) -> bool:
        """Schedule a target, or forget it if it has no waits; return whether to poll it now."""
        if not target.waits:
            self._forget(target)
            return False
        due = next_due(target)
        if target.needs_object and due <= now < target.deadline and not target.stage:
            target.stage = POLLED  # a list cannot serve it, so it waits for no other target
            self._schedule(target, target.deadline)
            return True
        due = self._due_singly(target, due, now)
        at = due if due < target.deadline else target.deadline  # noqa: FURB136 - see `next_due`
        self._schedule(target, at)
        return False

    def poll_now(self, key: Key, now: float) -> None:
        """Make the next poll of a target due now; several calls before it lead to one poll."""
        if (target := self.targets.get(key)) is not None:
            # A queued poll that is not sent yet answers this call.
            target.poll_requested = target.stage != POLLED or target.is_sent
            due = self._due_singly(target, next_due(target), now)
            self._schedule(target, min(due, target.deadline))

    def _forget(self, target: PollTarget) -> None:
        if self.targets.get(target.key) is target:
            del self.targets[target.key]
            if isinstance(target.key, str):
                self._workspaces.awaited.discard(target.key)
            self._schedule(target, math.inf)
            self.groups.remove(target)
            if not self.targets:  # clear() frees the hash tables, which may be large
                self.targets.clear()
                self._workspaces.awaited.clear()

    def _due_singly(self, target: PollTarget, due: float, now: float) -> float:
        """Return when to poll a target singly, inf if it is polled already or its group serves it.

        A group that is to serve it is scheduled.
        """
        group = target.group
        if target.stage:
            return math.inf
        if group is None or target.needs_object or now < target.singly_until:
            return due
        if group.stage and (due <= now or group.stage != SHOWN):
            group.must_replan = group.must_replan or group.stage == SHOWN  # so all are planned then
            return math.inf
        if not group.is_listed(now) or (target.poll_requested and now >= group.held_until):
            return due
        if due < group.when:
            group.due_target = target
            self._schedule(group, min(group.when, max(due, group.held_until)))
        return math.inf

    def _is_due(self, group: WorkspaceGroup, now: float) -> bool:
        """Return whether the target for which a group was scheduled still needs a list poll."""
        target = group.due_target
        if target not in group.targets or target.stage or not group.is_listed(now):
            return False
        return next_due(target) <= now and target.fits_group(now)

    def _queue(self, group: WorkspaceGroup, now: float) -> bool:
        """Mark a group as POLLED unless it is busy or held back; return whether it was marked."""
        if group.stage or now < group.held_until:
            return False
        group.stage = POLLED
        return True

    def _schedule(self, pollable: Pollable, when: float) -> None:
        """Set the time at which a target or group is due, inf for never."""
        if when == pollable.when:
            return
        before, pollable.when = pollable.when, when
        self._scheduled += (when != math.inf) - (before != math.inf)
        pollable.order = order = next(self._order)
        if when != math.inf:
            heapq.heappush(self._heap, (when, order, pollable))
        if self._old or not self._scheduled or len(self._heap) > _SMALL + 2 * self._scheduled:
            self._drop_outdated_entries()
        if when < self.next_time:
            self.next_time = when
        elif before == self.next_time:
            self._set_next_time()

    def _drop_outdated_entries(self) -> None:
        if not self._scheduled:
            self._heap.clear()
            self._old.clear()
            self.next_time = math.inf
            return
        if not self._old:
            self._heap, self._old = self._old, self._heap
        for _ in range(min(_CLEARED, len(self._old))):
            entry = self._old.pop()  # the last entry: without it, the rest is still a heap
            if entry[1] == entry[2].order:
                heapq.heappush(self._heap, entry)

    def _heap_with_earliest(self) -> list[tuple[float, int, Pollable]]:
        """Return the heap with the earliest entry, an empty one if both are empty."""
        heap, old = self._heap, self._old
        return old if old and (not heap or old[0] < heap[0]) else heap

    def _set_next_time(self) -> None:
        """Set ``next_time`` to the time of the earliest entry; at least one must be current."""
        first = self._heap_with_earliest()
        for _ in range(_CLEARED):  # if more are outdated, the timer may fire early once
            if first[0][1] == first[0][2].order:
                break
            heapq.heappop(first)
            first = self._heap_with_earliest()
        self.next_time = first[0][0]


def next_due(target: PollTarget) -> float:
    """Update a target's ``deadline`` and ``needs_object``; return when its poll is due."""
    due = deadline = math.inf
    needs_object = False
    # Runs for each wait after each poll, and min() takes eight times as long as a condition.
    for wait in target.waits:
        if wait.due < due:  # noqa: PLR1730 - as said above
            due = wait.due
        if wait.deadline < deadline:  # noqa: PLR1730 - likewise
            deadline = wait.deadline
        if wait.needs_object:
            needs_object = True
    target.deadline, target.needs_object = deadline, needs_object
    if target.poll_requested or due < target.not_before:
        return target.not_before
    return due
