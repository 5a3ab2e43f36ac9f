"""When to look at whom: at an entry by itself, or at its group as one.

A group that works and has ``few`` entries or more is looked at as one: it has one place in the
timetable, that of its most eager entry. All other entries have places of their own: those of small
or broken groups, those that a look at the group did not show, those that need a whole look, and
newcomers: fewer than ``few`` at a time are not worth a look at the whole group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prolific_async._waiting import bugs
from prolific_async._waiting.checks import Check
from prolific_async._waiting.entries import QUEUED, SHOWN, Entry, Group
from prolific_async._waiting.timetable import Timetable
from prolific_async._waiting.work import Work, chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from prolific_async._waiting.waiter import Waiter


class Schedule:
    """Wakes entries and groups when their time has come, and tells which want a look.

    Attributes:
        work: Runs what may take longer than a turn of the loop should.

    """

    def __init__(
        self,
        group_of: Callable[[str], str | None],
        few: float,
        expire: Callable[[Entry, float], Iterator[None] | None],
        look: Callable[[list[Entry | Group]], None],
        give_up: Callable[[Entry, BaseException], None],
        forget: Callable[[str | None], object] = lambda _: None,
        is_older: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        """Take what is called.

        Args:
            group_of: Names the group of a key, None as long as nothing is known of it.
            few: Entries from which on a group is looked at as one; inf for never.
            expire: Ends those who wait for an entry and whose deadline has come; returns the steps
                in which to do so where they are many.
            look: Looks at all of these.
            give_up: Ends all who wait for an entry, with which something is wrong.
            forget: Is told of a group that ended.
            is_older: Compares results for the checks of groups, None for no checks.

        """
        self._group_of = group_of
        self._few = few
        self._expire = expire
        self._look = look
        self._give_up = give_up
        self._forget = forget
        self._is_older = is_older
        self._lagging: set[str | None] = set()
        self._groups: dict[str | None, Group] = {}
        self.work = Work(self.arm)
        self._timetable = Timetable[Entry | Group](self._wake, self.work.do)

    def arm(self) -> None:
        """Set the timer; whoever plans anything calls it afterwards."""
        self._timetable.arm()

    def join(self, entry: Entry, waiter: Waiter, now: float) -> None:
        """Plan an entry anew for one that joins it, without going through the others."""
        due = math.inf if waiter.due is None else max(waiter.due, entry.not_before)
        deadline = math.inf if waiter.deadline is None else waiter.deadline
        if due <= now:
            due = math.inf if entry.looked_at(now) else due
        elif due != math.inf:
            entry.whole = entry.whole or waiter.wants_whole
            due = self._due_alone(entry, due, now)
        self._timetable.place(entry, min(entry.when, due, deadline))

    def plan(self, entry: Entry, now: float) -> None:
        """Give an entry, or its group for it, the place that its waiters want."""
        try:
            due, deadline, entry.whole = entry.wants()
            due = self._due_alone(entry, due, now)
            self._timetable.place(entry, min(due, deadline))
        except bugs.BUGS as error:  # must not stop the others
            self._give_up(entry, error)

    def take_apart(self, group: Group, error: BaseException, now: float) -> None:
        """Go on with single looks at a group's entries after a bug in looking at them as one."""
        bugs.log("looking as one at", group.name, error)
        group.come_back()
        group.take_apart(now)
        self.plan_all(group, now)

    def plan_all(self, group: Group, now: float) -> None:
        """Plan every entry of a group anew."""
        self.work.do(self.planning(list(group.entries), now))

    def planning(self, entries: list[Entry], now: float) -> Iterator[None]:
        """Plan entries anew, in steps."""
        for some in chunks(entries):
            for entry in some:
                self.plan(entry, now)
            yield

    def _due_alone(self, entry: Entry, due: float, now: float) -> float:
        """Return when an entry is due by itself: never, if its group is, or is looked at."""
        group = entry.group
        if entry.busy:
            return math.inf
        if group is None or entry.whole or now < entry.alone_until:
            return due
        if group.busy == SHOWN and due <= now:
            group.missed = True  # at the end of that, all are planned
            return math.inf
        if group.busy and group.busy != SHOWN:
            return math.inf
        if not group.is_one(now) or (entry.asked and now >= group.held_until):
            return due
        if due < group.when:
            group.first = entry
            self._timetable.place(group, min(group.when, max(due, group.held_until)))
        return math.inf

    def end(self, entry: Entry) -> None:
        """Forget an entry, and end its look."""
        self._timetable.place(entry, math.inf)
        entry.stop()
        self._ungroup(entry)

    def grouped(self, entry: Entry) -> Group:
        """Return an entry's group, as far as it is known by now."""
        group = entry.group
        if group is None or group.name is None:
            name = self._group_of(entry.key)
            if group is None or name is not None:
                self._ungroup(entry)
                group = self._groups.get(name)
                if group is None:
                    group = self._groups[name] = self._new_group(name)
                group.entries[entry] = None
                entry.group = group
                if group.busy == SHOWN:  # it came too late for that
                    group.missed = True
        return group

    def group_all(self, entries: list[Entry]) -> Iterator[None]:
        """Put entries into their groups, as far as these are known by now, in steps."""
        for some in chunks(entries):
            for entry in some:
                if entry.waiters:
                    self.grouped(entry)
            yield

    def _new_group(self, name: str | None) -> Group:
        check = None if self._is_older is None or name is None else Check(self._is_older)
        group = Group(name, self._few, check)
        if name in self._lagging:
            group.apart_until = math.inf
        return group

    def distrust(self, group: Group, now: float) -> None:
        """Poll a group's entries singly from now on, also when it ends and begins anew."""
        self._lagging.add(group.name)
        group.apart_until = math.inf
        self.plan_all(group, now)

    def _wake(self, things: list[Entry | Group], now: float) -> Iterator[None]:
        """Go through all whose time has come, in steps between which others may act."""
        entries = [thing for thing in things if isinstance(thing, Entry)]
        for some in chunks(entries):
            for entry in some:
                try:
                    if (steps := self._expire(entry, now)) is not None:
                        yield from steps
                except bugs.BUGS as error:  # as in plan, and likewise below
                    self._give_up(entry, error)
            yield
        looks: list[Entry | Group] = []
        # The groups first: a look at one may be what its entries want.
        for group in [thing for thing in things if isinstance(thing, Group)]:
            try:
                looks += yield from self._of_group(group, now)
            except bugs.BUGS as error:
                self.take_apart(group, error, now)
        due_by_group = yield from self._due_by_group(entries, now)
        for group, due in due_by_group.items():
            looks += yield from self._of_entries(group, due, now)
        self._look(looks)

    def _due_by_group(
        self, entries: list[Entry], now: float
    ) -> Generator[None, None, dict[Group, list[Entry]]]:
        """Return those that want a look and have none, and plan the others."""
        due: dict[Group, list[Entry]] = {}
        for some in chunks(entries):
            for entry in some:
                if not entry.waiters:
                    continue
                try:
                    if not entry.looked_at(now) and entry.wants()[0] <= now:
                        due.setdefault(self.grouped(entry), []).append(entry)
                    else:
                        self.plan(entry, now)
                except bugs.BUGS as error:
                    self._give_up(entry, error)
            yield
        return due

    def _of_group(self, group: Group, now: float) -> Generator[None, None, list[Group]]:
        """Return the look at a group that is due, if that is still wanted."""
        if group.busy:  # at its end, all are planned
            group.missed = True
            return []
        if group.name is None:
            for some in chunks(list(group.entries)):
                for entry in some:
                    if entry.group is group and self.grouped(entry) is not group:
                        self.plan(entry, now)
                yield
        looks = self._as_one(group, now) if group.is_one(now) and group.is_due(now) else []
        if not looks:
            yield from self.planning(list(group.entries), now)
        return looks

    def _of_entries(
        self, group: Group, due: list[Entry], now: float
    ) -> Generator[None, None, list[Entry | Group]]:
        """Return the looks at entries that are due by themselves: a few singly, many as one."""
        looks: list[Entry | Group] = []
        together: list[Entry] = []
        alone: list[Entry] = []
        for some in chunks(due):
            for entry in some:
                fits = group.is_one(now) and entry.fits_group(now)
                (together if fits else alone).append(entry)
            yield
        if len(together) >= group.few:
            looks += self._as_one(group, now)
            yield from self.planning(together, now)
        else:
            alone = due
        for some in chunks(alone):
            for entry in some:
                if entry.waiters and not entry.busy:  # it may have ended meanwhile
                    entry.busy = QUEUED
                    looks.append(entry)
                self.plan(entry, now)
            yield
        return looks

    def _as_one(self, group: Group, now: float) -> list[Group]:
        """Return the look at a group, if it may have one now."""
        if group.busy or now < group.held_until:
            return []
        group.busy = QUEUED
        return [group]

    def _ungroup(self, entry: Entry) -> None:
        group, entry.group = entry.group, None
        if group is None:
            return
        del group.entries[entry]
        if not group.entries:
            del self._groups[group.name]
            self._timetable.place(group, math.inf)
            group.stop()
            self._forget(group.name)
