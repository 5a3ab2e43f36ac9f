"""Looks at many keys for many waiters, with as few looks as they need.

It knows neither HTTP nor batches. A *waiter* says when it wants a look at its key; all waiters of
one key share an *entry*, whose looks they all see. Entries that belong together form a *group*.

A group that works and has ``few`` entries or more is looked at as one: it has one place in the
timetable, that of its most eager entry. All other entries have places of their own: those of small
or broken groups, those that a look at the group did not show, those that need a whole look, and
newcomers: fewer than ``few`` at a time are not worth a look at the whole group.

No waiter has a task: the timetable starts the looks, each of which is a task for as long as it
lasts. Nothing is armed when nobody waits.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from prolific_async._waiting.entries import APART, Entry, Group, GroupLook
from prolific_async._waiting.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prolific_async._waiting.entries import Waiter

_log = logging.getLogger("prolific_async")

PATIENCE = 0.5
"""Seconds that a group look may last at least, before it counts as too slow."""


class Engine:
    """Shares looks among waiters."""

    def __init__(
        self,
        look: Callable[[str, bool, Callable[[], None]], Awaitable[Any]],
        look_as_one: Callable[
            [str | None, list[str], Callable[[str], bool], float, Callable[[], None]],
            Awaitable[GroupLook],
        ],
        group_of: Callable[[str], str | None],
        *,
        few: float,
        at_once: int,
    ) -> None:
        """Take what makes the looks.

        Args:
            look: Looks at a key; the flag asks for a whole look. It may be held back, and calls
                the function when it is sent.
            look_as_one: Looks at a group, for the keys given and for all of which the first
                function is true; once it is sent, and has called the second function, it may last
                so many seconds. For the group None it finds out where some of the keys belong.
            group_of: Names the group of a key, None as long as nothing is known of it.
            few: Entries from which on a group is looked at as one, inf for never; with 1, which
                cannot be for the sake of fewer looks, however heavy and slow that is.
            at_once: Looks under way at most.

        """
        self._look = look
        self._look_as_one = look_as_one
        self._group_of = group_of
        self._few = few
        self._at_once = at_once
        self._entries: dict[str, Entry] = {}
        self._groups: dict[str | None, Group] = {}
        self._timetable = Timetable[Entry | Group](self._wake)
        self._queue: deque[Entry | Group] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._sent: set[Entry | Group] = set()  # to whom a look is sent, and not just held back
        self._single_seconds = 0.1

    def start(self, waiter: Waiter) -> asyncio.Future[None]:
        """Serve a waiter; the future is done when it is over. Whoever starts it lets it leave."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        done = loop.create_future()
        entry = self._entries.get(waiter.key)
        if entry is not None and now - entry.seen_at < waiter.fresh:
            waiter.observe(entry.seen, now)
            if waiter.is_over:
                done.set_result(None)
                return done
            entry = self._entries.get(waiter.key)  # what that called may have ended it
        if entry is None:
            entry = self._entries[waiter.key] = Entry(waiter.key)
        entry.waiters[waiter] = done
        # Not planned anew: that would go through all waiters of the entry.
        due = math.inf if waiter.due is None else waiter.due
        deadline = math.inf if waiter.deadline is None else waiter.deadline
        if due <= now:
            due = math.inf if entry.is_looked_at(now) else due
        elif due != math.inf:
            # For another's whole look the group is no place, as it finds out when it is due.
            due = self._due_alone(entry, due, now, whole=waiter.wants_whole)
        self._timetable.place(entry, min(entry.when, due, deadline))
        self._timetable.arm()
        return done

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter, whether it is over or not; its last look ends with it."""
        entry = self._entries.get(waiter.key)
        if entry is not None and entry.waiters.pop(waiter, None) is not None and not entry.waiters:
            self._end(entry)

    async def settled(self) -> None:
        """Return when the looks that were ended have come to their end."""
        if ending := [task for task in self._under_way if task.cancelling()]:
            await asyncio.wait(ending)

    def look_now(self, key: str) -> None:
        """Make the next look at a key due now; many calls before it make one look."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.asked = True
            self._plan(entry, asyncio.get_running_loop().time())
            self._timetable.arm()

    def close(self, error: Any) -> None:
        """End every waiter with an error, and every look."""
        for entry in list(self._entries.values()):
            self._fail(entry, error)

    # --- who waits ---------------------------------------------------------------------------

    def _each(self, entry: Entry) -> Iterator[Waiter]:
        """Go through an entry's waiters, and settle those that are over after their turn."""
        for waiter in list(entry.waiters):
            if waiter in entry.waiters:  # else what another one did has made it leave
                yield waiter
                if waiter.is_over:
                    done = entry.waiters.pop(waiter, None)
                    if done is not None and not done.done():
                        done.set_result(None)

    def _fail(self, entry: Entry, error: Any) -> None:
        now = asyncio.get_running_loop().time()
        for waiter in self._each(entry):
            if not waiter.is_over:  # else what it calls at its end does this
                waiter.fail(error, now)
        self._go_on(entry, now)

    def _expire(self, entry: Entry, now: float) -> None:
        group = entry.group
        looking = entry in self._sent or (group in self._sent and entry.fits_group(now))
        for waiter in self._each(entry):
            if waiter.deadline is not None and waiter.deadline <= now:
                waiter.expire(now, looking=looking)

    def _show(self, entry: Entry, seen: Any, now: float) -> None:
        """Let every waiter of an entry see what a look saw."""
        if seen.error is None:
            entry.seen, entry.seen_at = seen, now
        for waiter in self._each(entry):
            waiter.observe(seen, now)
        self._go_on(entry, now)

    def _go_on(self, entry: Entry, now: float) -> None:
        """Plan an entry, or end it if nobody waits for it any more."""
        if entry.waiters:
            self._plan(entry, now)
        else:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        """Forget an entry that nobody waits for."""
        if self._entries.get(entry.key) is not entry:
            return
        del self._entries[entry.key]
        self._timetable.place(entry, math.inf)
        self._stop(entry)
        self._ungroup(entry)
        if not self._entries:
            self._queue.clear()
            self._timetable.arm()

    # --- when --------------------------------------------------------------------------------

    def _plan(self, entry: Entry, now: float) -> None:
        """Give an entry, or its group for it, the place that its waiters want."""
        due, deadline, whole = entry.wants()
        due = self._due_alone(entry, due, now, whole=whole)
        self._timetable.place(entry, min(due, deadline))

    def _due_alone(self, entry: Entry, due: float, now: float, *, whole: bool) -> float:
        """Return when an entry is due by itself: never, if its group is, or is looked at."""
        group = entry.group
        if entry.busy:
            return math.inf
        if group is None or whole or now < entry.alone_until:
            return due
        if group.busy:
            return math.inf
        if not group.is_one(now) or (entry.asked and now >= group.held_until):
            return due
        if due < group.when:
            group.first = entry
            self._timetable.place(group, min(group.when, max(due, group.held_until)))
        return math.inf

    def _wake(self, things: list[Entry | Group], now: float) -> None:
        """Go through all whose time has come."""
        entries = [thing for thing in things if isinstance(thing, Entry)]
        for entry in entries:
            self._expire(entry, now)
            if not entry.waiters:
                self._end(entry)
        # Then the groups: their looks may be what the entries want.
        for thing in things:
            if isinstance(thing, Group):
                self._ready_group(thing, now)
        due: dict[Group, list[Entry]] = {}
        for entry in entries:
            if not entry.waiters:
                continue
            if not entry.is_looked_at(now) and entry.wants()[0] <= now:
                due.setdefault(self._grouped(entry), []).append(entry)
            else:
                self._plan(entry, now)
        for group, entries in due.items():
            self._ready(group, entries, now)
        self._start(asyncio.get_running_loop())

    def _ready(self, group: Group, due: list[Entry], now: float) -> None:
        """Have entries that are due by themselves looked at: a few singly, many as their group."""
        together = [entry for entry in due if group.is_one(now) and entry.fits_group(now)]
        if len(together) >= self._few:
            self._look_together(group, now)
            for entry in together:
                self._plan(entry, now)
            due = [entry for entry in due if not entry.fits_group(now)]
        for entry in due:
            entry.busy = True
            self._plan(entry, now)
            self._queue.append(entry)

    def _ready_group(self, group: Group, now: float) -> None:
        """Have a group that is due looked at, if that is still wanted."""
        if group.name is None:
            entries = list(group.entries)
            for entry in [one for one in entries if self._grouped(one) is not group]:
                self._plan(entry, now)
        if group.is_one(now) and group.is_due(now):
            self._look_together(group, now)
        else:
            for entry in group.entries:
                self._plan(entry, now)

    def _look_together(self, group: Group, now: float) -> None:
        if now < group.held_until:
            self._timetable.place(group, group.held_until)
        elif not group.busy:
            group.busy = True
            self._queue.append(group)

    def _grouped(self, entry: Entry) -> Group:
        """Return an entry's group, as far as it is known by now."""
        group = entry.group
        if group is None or group.name is None:
            name = self._group_of(entry.key)
            if group is None or name is not None:
                self._ungroup(entry)
                group = self._groups.get(name)
                if group is None:
                    group = self._groups[name] = Group(name, self._few)
                group.entries[entry] = None
                entry.group = group
        return group

    def _ungroup(self, entry: Entry) -> None:
        group, entry.group = entry.group, None
        if group is None:
            return
        del group.entries[entry]
        if not group.entries:
            del self._groups[group.name]
            self._timetable.place(group, math.inf)
            self._stop(group)

    # --- looking -----------------------------------------------------------------------------

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and len(self._under_way) < self._at_once:
            what = self._queue.popleft()
            if not what.busy:  # it ended while it was queued
                continue
            if isinstance(what, Entry):
                task = loop.create_task(self._look_at(what, loop))
            elif served := what.served(loop.time()):
                task = loop.create_task(self._look_at_group(what, served, loop))
            else:
                what.busy = False
                continue
            what.task = task
            self._under_way.add(task)
            task.add_done_callback(partial(self._looked, what))

    def _stop(self, what: Entry | Group) -> None:
        task = what.task
        self._done(what)
        if task is not None:
            task.cancel()

    def _done(self, what: Entry | Group) -> None:
        what.busy = False
        what.task = None
        self._sent.discard(what)

    def _looked(self, what: Entry | Group, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        loop = task.get_loop()
        if what.task is task:  # cancelled by somebody, perhaps with every task there is
            self._done(what)
            for entry in [what] if isinstance(what, Entry) else what.entries:
                self._plan(entry, loop.time())
            self._timetable.arm()
        self._start(loop)

    async def _look_at(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        entry.asked = False
        began = loop.time()
        try:
            seen = await self._look(entry.key, entry.wants_whole, partial(self._sent.add, entry))
        except Exception as error:  # noqa: BLE001 - a bug, which must not become a hang
            _log.error("the look at %s is broken", entry.key, exc_info=error)
            self._done(entry)
            self._fail(entry, error)
            self._timetable.arm()
            return
        now = loop.time()
        self._single_seconds += (now - began - self._single_seconds) / 8
        self._done(entry)
        self._show(entry, seen, now)
        self._timetable.arm()

    async def _look_at_group(
        self, group: Group, served: list[Entry], loop: asyncio.AbstractEventLoop
    ) -> None:
        keys = [entry.key for entry in served]
        asked = [entry for entry in served if entry.asked]
        for entry in asked:
            entry.asked = False
        try:
            look = await self._look_as_one(
                group.name,
                keys,
                self._entries.__contains__,
                self._patience(len(keys)),
                partial(self._sent.add, group),
            )
        except Exception as error:  # noqa: BLE001 - as in _look_at
            _log.error("the look at %s as one is broken", group.name, exc_info=error)
            look = GroupLook(failure=repr(error))
        self._done(group)
        for entry in asked:  # a look that did not show it is none
            entry.asked = entry.asked or entry.key not in look.found
        self._show_group(group, look, loop.time())
        self._timetable.arm()

    def _show_group(self, group: Group, look: GroupLook, now: float) -> None:
        """Let a group see what a look at it saw, and decide how to go on with it."""
        entries = list(group.entries)  # those that came meanwhile, too
        news = group.judge(look, len(entries), now)
        if news is not None:
            _log.info("%s: %d %s", group.name or "unknown", len(entries), news)
        if group.name is None:
            for entry in entries:
                self._grouped(entry)
        for entry in entries:
            if self._entries.get(entry.key) is not entry:  # ended by what a waiter did
                continue
            seen = look.found.get(entry.key)
            if seen is not None:
                entry.alone_until = -math.inf
            elif look.failure is None and not look.again:
                entry.alone_until = now + APART
            if entry.busy or entry.wants_whole:  # it has a look of its own
                continue
            if seen is None:
                self._plan(entry, now)
            else:
                self._show(entry, seen, now)

    def _patience(self, served: int) -> float:
        """Return the seconds in which single looks would have served as many, generously."""
        if self._few <= 1:
            return math.inf
        singly = self._single_seconds * math.ceil(served / self._at_once)
        return max(2 * singly, PATIENCE)
