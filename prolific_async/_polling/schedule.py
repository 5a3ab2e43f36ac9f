"""When to poll whom: at an target by itself, or at its group as one.

A group that works and has ``few`` targets or more is polled as a group: it has one place in the
timetable, that of its most eager target. All other targets have places of their own: those of small
or broken groups, those that a poll of the group did not show, those that need a whole poll, and
newcomers: fewer than ``few`` at a time are not worth a poll of the whole group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prolific_async._polling import bugs
from prolific_async._polling.list_checks import Check
from prolific_async._polling.sliced_work import Work, chunks
from prolific_async._polling.targets import QUEUED, SHOWN, PollTarget, WorkspaceGroup
from prolific_async._polling.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from prolific_async._polling.waiter import Waiter


class Schedule:
    """Wakes targets and groups when their time has come, and tells which want a poll.

    Attributes:
        work: Runs what may take longer than a turn of the loop should.

    """

    def __init__(
        self,
        group_of: Callable[[str], str | None],
        few: float,
        expire: Callable[[PollTarget, float], Iterator[None] | None],
        poll: Callable[[list[PollTarget | WorkspaceGroup]], None],
        give_up: Callable[[PollTarget, BaseException], None],
        forget: Callable[[str | None], object] = lambda _: None,
        is_older: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        """Take what is called.

        Args:
            group_of: Names the group of a key, None as long as nothing is known of it.
            few: Targets from which on a group is polled as a group; inf for never.
            expire: Ends those who wait for an target and whose deadline has come; returns the steps
                in which to do so where they are many.
            poll: Polls at all of these.
            give_up: Ends all who wait for an target, with which something is wrong.
            forget: Is told of a group that ended.
            is_older: Compares results for the checks of groups, None for no checks.

        """
        self._group_of = group_of
        self._few = few
        self._expire = expire
        self._poll = poll
        self._give_up = give_up
        self._forget = forget
        self._is_older = is_older
        self._lagging: set[str | None] = set()
        self._groups: dict[str | None, WorkspaceGroup] = {}
        self.work = Work(self.arm)
        self._timetable = Timetable[PollTarget | WorkspaceGroup](self._wake, self.work.do)

    def arm(self) -> None:
        """Set the timer; whoever plans anything calls it afterwards."""
        self._timetable.arm()

    def join(self, target: PollTarget, waiter: Waiter, now: float) -> None:
        """Plan an target anew for one that joins it, without going through the others."""
        due = math.inf if waiter.due is None else max(waiter.due, target.not_before)
        deadline = math.inf if waiter.deadline is None else waiter.deadline
        if due <= now:
            due = math.inf if target.polled(now) else due
        elif due != math.inf:
            target.whole = target.whole or waiter.wants_whole
            due = self._due_alone(target, due, now)
        self._timetable.place(target, min(target.when, due, deadline))

    def plan(self, target: PollTarget, now: float) -> None:
        """Give an target, or its group for it, the place that its waiters want."""
        try:
            due, deadline, target.whole = target.wants()
            due = self._due_alone(target, due, now)
            self._timetable.place(target, min(due, deadline))
        except bugs.BUGS as error:  # must not stop the others
            self._give_up(target, error)

    def take_apart(self, group: WorkspaceGroup, error: BaseException, now: float) -> None:
        """Go on with single polls of a group's targets after a bug in polling them as one."""
        bugs.log("polling as one at", group.name, error)
        group.come_back()
        group.take_apart(now)
        self.plan_all(group, now)

    def plan_all(self, group: WorkspaceGroup, now: float) -> None:
        """Plan every target of a group anew."""
        self.work.do(self.planning(list(group.targets), now))

    def planning(self, targets: list[PollTarget], now: float) -> Iterator[None]:
        """Plan targets anew, in steps."""
        for some in chunks(targets):
            for target in some:
                self.plan(target, now)
            yield

    def _due_alone(self, target: PollTarget, due: float, now: float) -> float:
        """Return when an target is due by itself: never, if its group is, or is polled."""
        group = target.group
        if target.busy:
            return math.inf
        if group is None or target.whole or now < target.alone_until:
            return due
        if group.busy == SHOWN and due <= now:
            group.missed = True  # at the end of that, all are planned
            return math.inf
        if group.busy and group.busy != SHOWN:
            return math.inf
        if not group.is_one(now) or (target.asked and now >= group.held_until):
            return due
        if due < group.when:
            group.first = target
            self._timetable.place(group, min(group.when, max(due, group.held_until)))
        return math.inf

    def end(self, target: PollTarget) -> None:
        """Forget an target, and end its poll."""
        self._timetable.place(target, math.inf)
        target.stop()
        self._ungroup(target)

    def grouped(self, target: PollTarget) -> WorkspaceGroup:
        """Return an target's group, as far as it is known by now."""
        group = target.group
        if group is None or group.name is None:
            name = self._group_of(target.key)
            if group is None or name is not None:
                self._ungroup(target)
                group = self._groups.get(name)
                if group is None:
                    group = self._groups[name] = self._new_group(name)
                group.targets[target] = None
                target.group = group
                if group.busy == SHOWN:  # it came too late for that
                    group.missed = True
        return group

    def group_all(self, targets: list[PollTarget]) -> Iterator[None]:
        """Put targets into their groups, as far as these are known by now, in steps."""
        for some in chunks(targets):
            for target in some:
                if target.waiters:
                    self.grouped(target)
            yield

    def _new_group(self, name: str | None) -> WorkspaceGroup:
        check = None if self._is_older is None or name is None else Check(self._is_older)
        group = WorkspaceGroup(name, self._few, check)
        if name in self._lagging:
            group.apart_until = math.inf
        return group

    def distrust(self, group: WorkspaceGroup, now: float) -> None:
        """Poll a group's targets singly from now on, also when it ends and begins anew."""
        self._lagging.add(group.name)
        group.apart_until = math.inf
        self.plan_all(group, now)

    def _wake(self, things: list[PollTarget | WorkspaceGroup], now: float) -> Iterator[None]:
        """Go through all whose time has come, in steps between which others may act."""
        targets = [thing for thing in things if isinstance(thing, PollTarget)]
        for some in chunks(targets):
            for target in some:
                try:
                    if (steps := self._expire(target, now)) is not None:
                        yield from steps
                except bugs.BUGS as error:  # as in plan, and likewise below
                    self._give_up(target, error)
            yield
        polls: list[PollTarget | WorkspaceGroup] = []
        # The groups first: a poll of one may be what its targets want.
        for group in [thing for thing in things if isinstance(thing, WorkspaceGroup)]:
            try:
                polls += yield from self._of_group(group, now)
            except bugs.BUGS as error:
                self.take_apart(group, error, now)
        due_by_group = yield from self._due_by_group(targets, now)
        for group, due in due_by_group.items():
            polls += yield from self._of_targets(group, due, now)
        self._poll(polls)

    def _due_by_group(
        self, targets: list[PollTarget], now: float
    ) -> Generator[None, None, dict[WorkspaceGroup, list[PollTarget]]]:
        """Return those that want a poll and have none, and plan the others."""
        due: dict[WorkspaceGroup, list[PollTarget]] = {}
        for some in chunks(targets):
            for target in some:
                if not target.waiters:
                    continue
                try:
                    if not target.polled(now) and target.wants()[0] <= now:
                        due.setdefault(self.grouped(target), []).append(target)
                    else:
                        self.plan(target, now)
                except bugs.BUGS as error:
                    self._give_up(target, error)
            yield
        return due

    def _of_group(
        self, group: WorkspaceGroup, now: float
    ) -> Generator[None, None, list[WorkspaceGroup]]:
        """Return the poll of a group that is due, if that is still wanted."""
        if group.busy:  # at its end, all are planned
            group.missed = True
            return []
        if group.name is None:
            for some in chunks(list(group.targets)):
                for target in some:
                    if target.group is group and self.grouped(target) is not group:
                        self.plan(target, now)
                yield
        polls = self._as_one(group, now) if group.is_one(now) and group.is_due(now) else []
        if not polls:
            yield from self.planning(list(group.targets), now)
        return polls

    def _of_targets(
        self, group: WorkspaceGroup, due: list[PollTarget], now: float
    ) -> Generator[None, None, list[PollTarget | WorkspaceGroup]]:
        """Return the polls of targets that are due by themselves: a few singly, many as one."""
        polls: list[PollTarget | WorkspaceGroup] = []
        together: list[PollTarget] = []
        alone: list[PollTarget] = []
        for some in chunks(due):
            for target in some:
                fits = group.is_one(now) and target.fits_group(now)
                (together if fits else alone).append(target)
            yield
        if len(together) >= group.few:
            polls += self._as_one(group, now)
            yield from self.planning(together, now)
        else:
            alone = due
        for some in chunks(alone):
            for target in some:
                if target.waiters and not target.busy:  # it may have ended meanwhile
                    target.busy = QUEUED
                    polls.append(target)
                self.plan(target, now)
            yield
        return polls

    def _as_one(self, group: WorkspaceGroup, now: float) -> list[WorkspaceGroup]:
        """Return the poll of a group, if it may have one now."""
        if group.busy or now < group.held_until:
            return []
        group.busy = QUEUED
        return [group]

    def _ungroup(self, target: PollTarget) -> None:
        group, target.group = target.group, None
        if group is None:
            return
        del group.targets[target]
        if not group.targets:
            del self._groups[group.name]
            self._timetable.place(group, math.inf)
            group.stop()
            self._forget(group.name)
