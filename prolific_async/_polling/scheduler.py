"""Scheduler: decides when a target is polled, by itself or by its workspace's list.

Pure: it is told about waits, results and the time, and returns what to do. What concerns many
targets is decided target by target, so that the poller can do it in slices.

A group whose list works and that has ``few`` targets or more is polled by that list, as often as
its most eager target asks. All other targets are polled singly: those of small groups and of groups
whose list failed, those that the list did not show, those that need the whole batch, and newcomers:
fewer than ``few`` at a time are not worth a poll of the whole list.
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
    from prolific_async._polling.wait import Wait
    from prolific_async._polling.workspaces import Workspaces

_SMALL = 64  # heap entries up to which outdated ones are not worth clearing away
_CLEARED = 4  # entries of the old heap that are moved or cleared away with each new one


class Scheduler:
    """Decides what to poll next.

    Attributes:
        targets: All poll targets, by key.
        groups: The groups of the targets.
        next_time: When something is due next, inf for never.

    """

    def __init__(self, workspaces: Workspaces, few: float) -> None:
        """Begin without waits.

        Args:
            workspaces: Knows the workspaces of batches.
            few: Targets from which on a list is polled; inf for never, 1 for always.

        """
        self.targets: dict[Any, PollTarget] = {}
        self.groups = Groups(workspaces, few)
        self.next_time = math.inf
        self._workspaces = workspaces
        # What is rescheduled leaves an outdated entry behind. When those are many, the heap becomes
        # the old one, whose current entries move to a new heap, a few at a time.
        self._heap: list[tuple[float, int, Pollable]] = []
        self._old: list[tuple[float, int, Pollable]] = []
        self._order = count()
        self._scheduled = 0

    # --- waits -------------------------------------------------------------------------------

    def add(self, target: PollTarget, wait: Wait, now: float) -> None:
        """Schedule a target, old or new, for a wait that it was given, whatever its other waits."""
        if target.key not in self.targets:
            self.targets[target.key] = target
            if wait.workspace_id is None and isinstance(target.key, str):
                self._workspaces.awaited.add(target.key)
        elif target.workspace_id is None and wait.workspace_id is not None:
            self._workspaces.learn(target.key, wait.workspace_id)
        target.whole = target.whole or wait.wants_whole
        target.deadline = min(target.deadline, wait.deadline)
        due = max(wait.due, target.not_before)
        if due > now:
            due = self._due_alone(target, due, now)
        elif target.stage or (target.group is not None and target.serving(now).stage):
            due = math.inf
        self._schedule(target, min(target.when, due, wait.deadline))

    def remove(self, wait: Wait, now: float) -> PollTarget | None:
        """Remove a wait, whether it is over or not; return its target if that has no other one."""
        target = self.targets.get(wait.key)
        if target is None or not target.remove(wait):
            return None
        if target.waits and wait.wants_whole:  # perhaps no other wait does
            self._schedule(target, min(target.when, now))
        return None if target.waits else target

    def pop_ended_groups(self) -> list[WorkspaceGroup]:
        """Forget the groups that have lost their last target, and return them."""
        ended, self.groups.ended = self.groups.ended, []
        for group in ended:
            self._schedule(group, math.inf)
        return ended

    # --- what is due -------------------------------------------------------------------------

    def pop_due(self, now: float) -> Iterator[Pollable | None]:
        """Yield the targets and groups whose time has come, None for each outdated entry."""
        while self.next_time <= now:
            _, order, thing = heapq.heappop(self._first())
            if order == thing.order:
                self._schedule(thing, math.inf)
                yield thing
            else:
                self._set_next_time()
                yield None

    def polls(self, things: list[Pollable], now: float) -> Iterator[Pollable | None]:
        """Yield the polls to make of targets and groups whose time has come, None between them.

        Each is queued by then. Waits that have expired are to be removed before.
        """
        for thing in things:  # first, as their polls may serve the targets
            if isinstance(thing, WorkspaceGroup):
                yield from self._poll_of_group(thing, now)
        due: dict[str | None, list[PollTarget]] = {}
        for target in things:
            if isinstance(target, WorkspaceGroup) or not target.waits:
                continue
            of = target.group
            due_at = next_due(target)
            busy = target.stage or (of is not None and of.stage and target.fits_group(now))
            if busy or due_at > now:
                self.plan(target, now)
            else:
                if not (target.is_placed and target.workspace_id):
                    self.groups.of(target)
                due.setdefault(target.workspace_id, []).append(target)
                self._schedule(target, target.deadline)
            yield None
        for name, members in due.items():
            yield from self._polls_of_targets(self.groups.by_name.get(name), members, now)

    def _poll_of_group(self, group: WorkspaceGroup, now: float) -> Iterator[Pollable | None]:
        """Yield the poll of a group's list, or plan its targets anew if that is not needed."""
        if group.stage:
            group.missed = True  # at the end of that poll, all are planned
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
        """Yield the polls of targets of a group that are due: of many the list, else of each."""
        fitting: set[PollTarget] = set()
        if isinstance(group, WorkspaceGroup) and group.is_listed(now) and len(due) >= group.few:
            fitting = {target for target in due if target.fits_group(now)}
            if len(fitting) < group.few:
                fitting = set()
            elif self._queue(group, now):
                yield group
        for target in due:
            if not target.waits or target.stage:  # it may have ended meanwhile
                yield None
            elif target in fitting:
                yield target if self.plan(target, now) else None
            else:
                target.stage = POLLED
                yield target

    def plan(self, target: PollTarget, now: float) -> bool:
        """Schedule what a target needs next; return whether it is queued for a poll right now.

        Without waits it is forgotten.
        """
        if not target.waits:
            self._end(target)
            return False
        due = next_due(target)
        if target.whole and due <= now < target.deadline and not target.stage:
            target.stage = POLLED  # no list would do, so there is nothing to wait for
            self._schedule(target, target.deadline)
            return True
        due = self._due_alone(target, due, now)
        at = due if due < target.deadline else target.deadline  # noqa: FURB136 - see `next_due`
        self._schedule(target, at)
        return False

    def poll_now(self, key: Key, now: float) -> None:
        """Make the next poll of a target due now; many calls before it make one poll."""
        if (target := self.targets.get(key)) is not None:
            # A poll that is not sent yet is the one that is asked for.
            target.asked = target.stage != POLLED or target.is_sent
            due = self._due_alone(target, next_due(target), now)
            self._schedule(target, min(due, target.deadline))

    def _end(self, target: PollTarget) -> None:
        if self.targets.get(target.key) is target:
            del self.targets[target.key]
            if isinstance(target.key, str):
                self._workspaces.awaited.discard(target.key)
            self._schedule(target, math.inf)
            self.groups.remove(target)
            if not self.targets:  # to clear them gives back the tables, which were large perhaps
                self.targets.clear()
                self._workspaces.awaited.clear()

    def _due_alone(self, target: PollTarget, due: float, now: float) -> float:
        """Return when a target is due by itself, inf if its group or its own poll serves it."""
        group = target.group
        if target.stage:
            return math.inf
        if group is None or target.whole or now < target.alone_until:
            return due
        if group.stage and (due <= now or group.stage != SHOWN):
            group.missed = group.missed or group.stage == SHOWN  # at its end, all are planned
            return math.inf
        if not group.is_listed(now) or (target.asked and now >= group.held_until):
            return due
        if due < group.when:
            group.first = target
            self._schedule(group, min(group.when, max(due, group.held_until)))
        return math.inf

    def _is_due(self, group: WorkspaceGroup, now: float) -> bool:
        """Return whether the target that its list was scheduled for still needs a poll of it."""
        first = group.first
        if first not in group.targets or first.stage or not group.is_listed(now):
            return False
        return next_due(first) <= now and first.fits_group(now)

    def _queue(self, group: WorkspaceGroup, now: float) -> bool:
        """Queue a poll of a group's list, if there may be one now."""
        if group.stage or now < group.held_until:
            return False
        group.stage = POLLED
        return True

    # --- times -------------------------------------------------------------------------------

    def _schedule(self, thing: Pollable, when: float) -> None:
        """Set the time at which a target or group is due, inf for never."""
        if when == thing.when:
            return
        before, thing.when = thing.when, when
        self._scheduled += (when != math.inf) - (before != math.inf)
        thing.order = order = next(self._order)
        if when != math.inf:
            heapq.heappush(self._heap, (when, order, thing))
        if self._old or not self._scheduled or len(self._heap) > _SMALL + 2 * self._scheduled:
            self._tidy()
        if when < self.next_time:
            self.next_time = when
        elif before == self.next_time:
            self._set_next_time()

    def _tidy(self) -> None:
        if not self._scheduled:
            self._heap.clear()
            self._old.clear()
            self.next_time = math.inf
            return
        if not self._old:
            self._heap, self._old = self._old, self._heap
        for _ in range(min(_CLEARED, len(self._old))):
            entry = self._old.pop()  # the last one, without which a heap is still a heap
            if entry[1] == entry[2].order:
                heapq.heappush(self._heap, entry)

    def _first(self) -> list[tuple[float, int, Pollable]]:
        """Return the heap with the first entry of both; it is empty if both are."""
        heap, old = self._heap, self._old
        return old if old and (not heap or old[0] < heap[0]) else heap

    def _set_next_time(self) -> None:
        """Read the next time from the heaps, one of which has an entry that is not outdated."""
        first = self._first()
        for _ in range(_CLEARED):  # of more, one makes the timer ring in vain
            if first[0][1] == first[0][2].order:
                break
            heapq.heappop(first)
            first = self._first()
        self.next_time = first[0][0]


def next_due(target: PollTarget) -> float:
    """Update a target from what its waits need now, and return when they need the next poll."""
    due = deadline = math.inf
    whole = False
    # For each wait and poll, where a call of min() takes eight times as long as a condition.
    for wait in target.waits:
        if wait.due < due:  # noqa: PLR1730 - as said above
            due = wait.due
        if wait.deadline < deadline:  # noqa: PLR1730 - likewise
            deadline = wait.deadline
        if wait.wants_whole:
            whole = True
    target.deadline, target.whole = deadline, whole
    if target.asked or due < target.not_before:
        return target.not_before
    return due
