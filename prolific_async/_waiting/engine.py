"""Looks at many keys for many waiters, with as few looks as they need.

It knows neither HTTP nor batches. A *waiter* says when it wants a look at its key; all waiters of
one key share an *entry*, whose looks they all see. Entries that belong together form a *group*,
which can be looked at as one. No waiter has a task: a heap of times and one timer start the looks,
each of which is a task for as long as it lasts. Nothing is armed when nobody waits.

A group of ``few`` entries or more is looked at as one whenever one of them is due. It falls back to
single looks for an entry that such a look does not show, and for all of them, for ``APART``
seconds, when it fails, or is too heavy or too slow for what it serves.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections import deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from prolific_async._waiting.entries import Entry, Group, GroupLook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from prolific_async._waiting.entries import Waiter

_log = logging.getLogger("prolific_async")

APART = 60.0
"""Seconds until what was not looked at as one is tried so again."""
HEAVY = 100_000
"""Bytes of a group look for each entry that it serves, above which it is too heavy."""
PATIENCE = 0.5
"""Seconds that a group look may last at least, before it counts as too slow."""
REFUSALS = 3
"""Refused group looks in a row after which the group is looked at singly."""


class Engine:
    """Shares looks among waiters."""

    def __init__(
        self,
        look: Callable[[str, bool], Awaitable[Any]],
        look_as_one: Callable[[str, list[str], Callable[[str], bool], float], Awaitable[GroupLook]],
        group_of: Callable[[str], str],
        *,
        few: float = 8,
        at_once: int = 50,
    ) -> None:
        """Take what makes the looks.

        Args:
            look: Looks at a key; the flag asks for a whole look.
            look_as_one: Looks at a group, for the keys given and for all of which the function
                is true; once it is sent, it may last so many seconds.
            group_of: Names the group of a key as far as it is known by now. Keys of which nothing
                is known may be a group, too, whose look finds out more.
            few: Entries from which on a group is looked at as one; inf for never.
            at_once: Looks under way at most.

        """
        self._look = look
        self._look_as_one = look_as_one
        self._group_of = group_of
        self._few = few
        self._at_once = at_once
        self._entries: dict[str, Entry] = {}
        self._groups: dict[str, Group] = {}
        self._heap: list[tuple[float, int, Entry]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[Entry | Group] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
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
        if entry is None:
            entry = self._entries[waiter.key] = Entry(waiter.key)
        entry.waiters[waiter] = done
        due = math.inf if entry.busy or waiter.due is None else waiter.due
        deadline = math.inf if waiter.deadline is None else waiter.deadline
        self._place(entry, min(entry.when, due, deadline))
        if self._heap and self._heap[0][2] is entry:
            self._arm()
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
            self._place_anew(entry)
            self._arm()

    def close(self, error: Any) -> None:
        """End every waiter with an error, and every look."""
        now = asyncio.get_running_loop().time() if self._entries else 0.0
        for entry in list(self._entries.values()):
            for waiter in list(entry.waiters):
                if waiter in entry.waiters:
                    waiter.fail(error, now)
                if waiter in entry.waiters:
                    self._settle(entry, waiter)
            self._end(entry)

    # --- who waits ---------------------------------------------------------------------------

    def _settle(self, entry: Entry, waiter: Waiter) -> None:
        done = entry.waiters.pop(waiter)
        if not done.done():
            done.set_result(None)

    def _end(self, entry: Entry) -> None:
        """Forget an entry that nobody waits for."""
        if self._entries.get(entry.key) is not entry:
            return
        del self._entries[entry.key]
        entry.when = math.inf
        entry.free()
        if entry.task is not None:
            entry.task.cancel()
        self._ungroup(entry)
        if not self._entries:
            self._heap.clear()
            self._queue.clear()
            self._arm()

    # --- when --------------------------------------------------------------------------------

    def _place(self, entry: Entry, when: float) -> None:
        """Have an entry wake the engine at a time. Whoever places arms the timer afterwards."""
        if when != entry.when:
            entry.when = when
            if when != math.inf:
                heapq.heappush(self._heap, (when, next(self._order), entry))

    def _place_anew(self, entry: Entry, not_before: float = -math.inf) -> None:
        when = entry.deadline
        if not entry.busy:
            due = entry.due
            if due < not_before:  # noqa: PLR1730 - max and min cost several times as much
                due = not_before
            if due < when:  # noqa: PLR1730
                when = due
        self._place(entry, when)

    def _arm(self) -> None:
        heap = self._heap
        while heap and heap[0][0] != heap[0][2].when:  # the entry has another place by now
            heapq.heappop(heap)
        when = heap[0][0] if heap else math.inf
        if self._timer is not None:
            if self._timer.when() == when:
                return
            self._timer.cancel()
            self._timer = None
        if when != math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(when, self._wake, loop, when)

    def _wake(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._timer = None
        now = max(loop.time(), when)  # the loop may call a little early
        due: list[Entry] = []
        while self._heap and self._heap[0][0] <= now:
            when, _, entry = heapq.heappop(self._heap)
            if when != entry.when:
                continue
            entry.when = math.inf
            for waiter in [
                w for w in entry.waiters if w.deadline is not None and w.deadline <= now
            ]:
                if waiter in entry.waiters:
                    waiter.expire(now, looking=entry.busy)
                if waiter in entry.waiters:
                    self._settle(entry, waiter)
            if not entry.waiters:
                self._end(entry)
            elif not entry.busy and entry.due <= now:
                due.append(entry)
            else:
                self._place_anew(entry)
        # What a waiter did when it was expired may have ended some.
        self._ready([entry for entry in due if entry.waiters], now)
        self._start(loop)
        self._arm()

    # --- what to look at ---------------------------------------------------------------------

    def _ready(self, due: Iterable[Entry], now: float) -> None:
        """Queue looks for entries that are due: at their groups, or single ones."""
        together: dict[Group, list[Entry]] = {}
        # All are grouped first: whether they are few shows only then.
        for entry, group in [(entry, self._grouped(entry)) for entry in due]:
            if (
                len(group.entries) < self._few
                or entry.wants_whole
                or now < max(entry.alone_until, group.apart_until)
            ):
                self._enqueue(entry)
            else:
                together.setdefault(group, []).append(entry)
        for group, entries in together.items():
            self._ready_together(group, entries, now)

    def _ready_together(self, group: Group, entries: list[Entry], now: float) -> None:
        if now < group.held_until:
            for entry in entries:
                self._place_anew(entry, group.held_until)
            return
        # A few newcomers just after a look at the group, or during one, get a first look of their
        # own: waiting for the next one would make them slower than they are alone.
        fresh = min(waiter.fresh for entry in entries for waiter in entry.waiters)
        if (
            len(entries) < self._few
            and (group.busy or now - group.looked_at < fresh)
            and all(entry.seen_at == -math.inf for entry in entries)
        ):
            for entry in entries:
                self._enqueue(entry)
            return
        for entry in group.entries:
            if not entry.busy and not entry.wants_whole and entry.alone_until <= now:
                self._cover(entry)
        if not group.busy:
            group.busy = True
            self._queue.append(group)

    def _grouped(self, entry: Entry) -> Group:
        """Return an entry's group, as far as it is known by now."""
        name = self._group_of(entry.key)
        if entry.group is None or entry.group.name != name:
            self._ungroup(entry)
            entry.group = self._groups.get(name) or self._groups.setdefault(name, Group(name))
            entry.group.entries[entry] = None
        return entry.group

    def _ungroup(self, entry: Entry) -> None:
        group, entry.group = entry.group, None
        if group is not None:
            del group.entries[entry]
            if not group.entries:
                del self._groups[group.name]
                group.busy = False
                if group.task is not None:
                    group.task.cancel()

    def _cover(self, entry: Entry) -> None:
        """Mark an entry as one that a look is queued or under way for."""
        entry.busy = True
        if entry.when == math.inf:
            self._place_anew(entry)

    def _enqueue(self, entry: Entry) -> None:
        entry.single = True
        self._cover(entry)
        self._queue.append(entry)

    # --- looking -----------------------------------------------------------------------------

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and len(self._under_way) < self._at_once:
            what = self._queue.popleft()
            # What ended, or was shown by its group's look, while it was queued needs none.
            if what.task is not None or not what.busy:
                continue
            if isinstance(what, Entry):
                task = loop.create_task(self._look_at(what, loop))
            elif covered := what.covered():
                task = loop.create_task(self._look_at_group(what, covered, loop))
            else:
                what.busy = False
                continue
            what.task = task
            self._under_way.add(task)
            task.add_done_callback(partial(self._looked, what))

    def _looked(self, what: Entry | Group, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if task.cancelled() and what.task is task:  # by somebody who cancels every task there is
            what.task = None
            if isinstance(what, Group):
                what.busy = False
            for entry in what.covered() if isinstance(what, Group) else [what]:
                entry.free()
                self._place_anew(entry)
            self._arm()
        self._start(task.get_loop())

    async def _look_at(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        entry.asked = False
        began = loop.time()
        try:
            seen = await self._look(entry.key, entry.wants_whole)
        except Exception as error:  # noqa: BLE001 - a bug, which must not become a hang
            self._break(entry, error, loop.time())
            return
        now = loop.time()
        self._single_seconds += (now - began - self._single_seconds) / 8
        entry.task = None
        self._show(entry, seen, now)
        self._arm()

    async def _look_at_group(
        self, group: Group, covered: list[Entry], loop: asyncio.AbstractEventLoop
    ) -> None:
        for entry in covered:
            entry.asked = False
        keys = [entry.key for entry in covered]
        try:
            patience = self._patience(len(keys))
            look = await self._look_as_one(group.name, keys, self._entries.__contains__, patience)
        except Exception as error:  # noqa: BLE001 - as in _look_at
            _log.exception("%s: the look at it as one is broken", group.name)
            look = GroupLook(failure=repr(error))
        now = loop.time()
        group.task = None
        group.busy = False
        # Those that came meanwhile are shown, too, unless a look of their own is under way.
        covered = group.covered()
        self._judge(group, look, len(covered), now)
        for entry in covered:
            if not entry.waiters:  # ended by what a waiter did
                continue
            if look.regroup:
                self._grouped(entry)
            seen = look.found.get(entry.key)
            if seen is not None:
                self._show(entry, seen, now)
                continue
            entry.free()
            if look.failure is None and not look.again:
                entry.alone_until = now + APART
            self._place_anew(entry, group.held_until)
        self._arm()

    def _break(self, entry: Entry, error: Exception, now: float) -> None:
        """End every waiter of an entry with an error that nobody expected."""
        _log.error("the look at %s is broken", entry.key, exc_info=error)
        entry.task = None
        for waiter in list(entry.waiters):
            waiter.fail(error, now)
            self._settle(entry, waiter)
        self._end(entry)

    def _patience(self, served: int) -> float:
        """Return the seconds in which single looks would have served as many, generously."""
        singly = self._single_seconds * math.ceil(served / self._at_once)
        return max(2 * singly, PATIENCE)

    def _judge(self, group: Group, look: GroupLook, served: int, now: float) -> None:
        """Decide how to go on with a group after a look at it as one."""
        reason = look.failure
        if look.refused_for is not None:
            group.refusals += 1
            if group.refusals < REFUSALS:
                group.held_until = now + look.refused_for
                return
        elif reason is None:
            group.looked_at = now
            group.refusals = 0
            if served and look.size > HEAVY * served:
                reason = f"{look.size} bytes for {served} are too heavy"
        if reason is not None:
            group.refusals = 0
            group.apart_until = now + APART
            _log.info("%s: %d are looked at singly for %g s: %s", group.name, served, APART, reason)
        elif not group.told:
            _log.info("%s: %d are looked at as one", group.name, served)
        group.told = reason is None

    def _show(self, entry: Entry, seen: Any, now: float) -> None:
        """Let every waiter of an entry see what a look saw."""
        entry.free()
        if seen.error is None:
            entry.seen, entry.seen_at = seen, now
        for waiter in list(entry.waiters):
            if waiter in entry.waiters:  # not ended by what another one did
                waiter.observe(seen, now)
                if waiter.is_over and waiter in entry.waiters:
                    self._settle(entry, waiter)
        if entry.waiters:
            self._place_anew(entry)
        else:
            self._end(entry)
