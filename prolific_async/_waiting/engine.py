"""Looks at many keys for many waiters, with as few looks as they need.

It knows neither HTTP nor batches. A *waiter* says when it wants a look at its key; all waiters of
one key share an *entry*, whose looks they all see. Entries that belong together form a *group*,
which can be looked at as one.

No waiter has a task: the schedule starts the looks, each of which is a task for as long as it
lasts. Nothing is armed when nobody waits.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from prolific_async._logs import log as _log
from prolific_async._waiting import bugs, crowd
from prolific_async._waiting.entries import APART, QUEUED, SENT, SHOWN, Entry, GroupLook
from prolific_async._waiting.schedule import Schedule
from prolific_async._waiting.work import chunks, used_up
from prolific_async._wire.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prolific_async._waiting.entries import Group, Waiter

T = TypeVar("T")

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
        lost: Callable[[str], Any],
        forget: Callable[[str | None], object] = lambda _: None,
        is_older: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        """Take what makes the looks.

        Args:
            look: Looks at a key; the flag asks for a whole look. It may be held back, and calls
                the function when it is sent.
            look_as_one: Looks at a group, for the keys given and for all of which the first
                function is true; once it is sent, and has called the second function, it may last
                so many seconds. For the group None it finds out where some of the keys belong.
            group_of: Names the group of a key, None as long as nothing is known of it.
            few: Entries from which on a group is polled as one; inf for never, 1 for always.
            at_once: Looks under way at most.
            lost: Makes what a poll of a key saw whose task ended without a result.
            forget: Is told of a group that ended, None for those of which nothing was known.
            is_older: Tells whether the first of two results shows an older state than the second;
                None has groups never checked against single polls.

        """
        self._look = look
        self._look_as_one = look_as_one
        self._at_once, self._lost = at_once, lost
        self._entries: dict[str, Entry] = {}
        self._schedule = Schedule(
            group_of, few, self._expire, self._look_at_all, self._break_off, forget, is_older
        )
        self._queue: deque[Entry | Group] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._single_seconds = 0.1

    def start(self, waiter: Waiter) -> asyncio.Future[None]:
        """Serve a waiter; the future is done when it is over. Whoever starts it lets it leave."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        done = loop.create_future()
        try:
            self._join(waiter, done, now)
        except bugs.BUGS as error:
            bugs.fail(waiter.key, {waiter: done}, error, now)
            self.leave(waiter)
        self._schedule.arm()
        return done

    def _join(self, waiter: Waiter, done: asyncio.Future[None], now: float) -> None:
        entry = self._entries.get(waiter.key)
        if entry is not None and entry.tells(waiter, now):
            waiter.observe(entry.seen, now, -math.inf)
            entry = self._entries.get(waiter.key)  # what that called may have ended it
        if waiter.is_over:
            done.set_result(None)
            return
        if entry is None:
            entry = self._entries[waiter.key] = Entry(waiter.key)
        entry.waiters[waiter] = done
        self._schedule.join(entry, waiter, now)

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter, whether it is over or not; its last look ends with it."""
        entry = self._entries.get(waiter.key)
        if entry is not None and entry.waiters.pop(waiter, None) is not None and not entry.waiters:
            self._end(entry)

    def for_each(self, things: list[T], act: Callable[[T], object]) -> None:
        """Do something with many things, in more than one turn of the loop if it takes long."""

        def steps() -> Iterator[None]:
            for some in chunks(things):
                for thing in some:
                    act(thing)
                yield

        self._schedule.work.do(steps())

    async def settled(self) -> None:
        """Return when the looks that were ended have come to their end."""
        if ending := [task for task in self._under_way if task.cancelling()]:
            await asyncio.wait(ending)

    def look_now(self, key: str) -> None:
        """Make the next look at a key due now; many calls before it make one look."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.asked = True
            self._schedule.plan(entry, asyncio.get_running_loop().time())
            self._schedule.arm()

    def lacks_group(self, key: str) -> bool:
        """Tell whether somebody waits for a key of which no group is known yet."""
        entry = self._entries.get(key)
        return entry is not None and (entry.group is None or entry.group.name is None)

    async def drained(self) -> None:
        """Return when all that is done in slices is done."""
        await self._schedule.work.drained()

    def close(self, error: Any) -> None:
        """End every waiter with an error, and every look, in slices where they are many."""
        self._schedule.work.do(self._fail_all(error))

    # --- who waits ---------------------------------------------------------------------------

    def _break_off(self, entry: Entry, error: Exception) -> None:
        """End all that has to do with an entry with which something is wrong."""
        waiters, entry.waiters = entry.waiters, {}
        self._end(entry)  # first, as one that fails may start another
        bugs.fail(entry.key, waiters, error, asyncio.get_running_loop().time())

    def _fail_all(self, error: Any) -> Iterator[None]:
        now = asyncio.get_running_loop().time()

        def fail(waiter: Waiter) -> None:
            if not waiter.is_over:  # else what it calls at its end does this
                waiter.fail(error, now)

        for some in used_up(list(self._entries.values())):
            for entry in some:
                if (steps := crowd.each(entry, fail, now, self._go_on)) is not None:
                    yield from steps
            yield

    def _expire(self, entry: Entry, now: float) -> Iterator[None] | None:
        looking, held = entry.looked_at(now) == SENT, entry.is_held(now)

        def expire(waiter: Waiter) -> None:
            if waiter.deadline is not None and waiter.deadline <= now:
                waiter.expire(now, looking=looking, held=held)

        return crowd.each(entry, expire, now, self._end_if_left)

    def _show(self, entry: Entry, seen: Any, now: float, sent: float) -> Iterator[None] | None:
        """Let every waiter of an entry see what a look saw; return the steps if they are many."""
        return crowd.show(entry, seen, now, sent, self._go_on)

    def _take(self, entry: Entry, seen: Any, now: float) -> None:
        """Take in what a single poll saw, for the waiters or as a mere check of the group."""
        if not self._is_news(entry, seen, now):
            self._schedule.plan(entry, now)
        elif (steps := self._show(entry, seen, now, entry.sent_at)) is not None:
            self._schedule.work.do(steps)

    def _end_if_left(self, entry: Entry, _now: float) -> None:
        if not entry.waiters:
            self._end(entry)

    def _go_on(self, entry: Entry, now: float) -> None:
        """Plan an entry, or end it if nobody waits for it any more."""
        if entry.waiters:
            self._schedule.plan(entry, now)
        else:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        """Forget an entry that nobody waits for."""
        if self._entries.get(entry.key) is not entry:
            return
        del self._entries[entry.key]
        self._schedule.end(entry)
        if not self._entries:
            self._queue.clear()
            self._schedule.arm()

    # --- looking -----------------------------------------------------------------------------

    def _look_at_all(self, looked: list[Entry | Group]) -> None:
        self._queue += looked
        self._start(asyncio.get_running_loop())

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and len(self._under_way) < self._at_once:
            what = self._queue.popleft()
            if not what.busy:  # it ended while it was queued
                continue
            if isinstance(what, Entry):
                look = self._look_at(what, loop)
            else:
                look = self._look_at_group(what, loop)
            what.sent_at = loop.time()
            what.task = task = loop.create_task(look)
            self._under_way.add(task)
            task.add_done_callback(partial(self._looked, what))

    def _looked(self, what: Entry | Group, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        loop = task.get_loop()
        if what.task is task:  # cancelled by somebody, perhaps with every task there is
            what.come_back()
            if isinstance(what, Entry):
                self._take(what, self._lost(what.key), loop.time())
            else:
                what.apart_until = max(what.apart_until, loop.time() + APART)
                self._schedule.plan_all(what, loop.time())
            self._schedule.arm()
        self._start(loop)

    async def _look_at(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        entry.asked = False
        try:
            seen = await self._look(entry.key, entry.wants_whole, entry.set_out)
        except Exception as error:  # noqa: BLE001 - a bug, which must not become a hang
            entry.come_back()
            self._break_off(entry, error)
            self._schedule.arm()
            return
        now = loop.time()
        self._single_seconds += (now - entry.sent_at - self._single_seconds) / 8
        entry.come_back()
        self._take(entry, seen, now)
        self._schedule.arm()

    async def _look_at_group(self, group: Group, loop: asyncio.AbstractEventLoop) -> None:
        try:
            served = await self._served(group, loop.time())
        except Exception as error:  # noqa: BLE001 - as in _look_at
            self._schedule.take_apart(group, error, loop.time())
            self._schedule.arm()
            return
        if not served:
            group.come_back()
            self._schedule.plan_all(group, loop.time())  # who came meanwhile
            self._schedule.arm()
            return
        keys = [entry.key for entry in served]
        asked = [entry for entry in served if entry.asked]
        for entry in asked:
            entry.asked = False
        try:
            look = await self._look_as_one(
                group.name,
                keys,
                self._entries.__contains__,
                self._patience(group, len(keys)),
                group.set_out,
            )
        except Exception as error:  # noqa: BLE001 - as in _look_at
            _log.error("the look at %s as one is broken", group.name, exc_info=error)
            look = GroupLook(failure=repr(error))
        group.come_back()
        for entry in asked:  # a look that did not show it is none
            entry.asked = entry.asked or entry.key not in look.found
        group.busy = SHOWN  # those who have not seen it yet want no other look
        self._schedule.work.do(self._show_or_take_apart(group, look, loop.time()))
        self._schedule.arm()

    async def _served(self, group: Group, now: float) -> list[Entry]:
        """Return the entries that a look at a group is for."""
        turns = Turns()
        served: list[Entry] = []
        for some in chunks(list(group.entries)):
            served += [one for one in some if not one.busy and one.fits_group(now)]
            await turns.give()
        return served

    def _show_or_take_apart(self, group: Group, look: GroupLook, now: float) -> Iterator[None]:
        try:
            yield from self._show_group(group, look, now)
        except Exception as error:  # noqa: BLE001 - as in _look_at
            self._schedule.take_apart(group, error, now)

    def _show_group(  # noqa: C901, PLR0912 - one loop over all, which is hot
        self, group: Group, look: GroupLook, now: float
    ) -> Iterator[None]:
        """Let a group see what a look at it saw, and decide how to go on with it."""
        entries = list(group.entries)  # those that came meanwhile, too
        news = group.judge(look, len(entries), now)
        if news is not None:
            _log.info("%s: %d %s", group.name or "unknown", len(entries), news)
        if not look.found:
            group.busy = 0
        if group.name is None:
            yield from self._schedule.group_all(entries)
        unseen: list[Entry] = []
        for some in chunks(entries):
            for entry in some:
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
                    unseen.append(entry)
                elif (steps := self._show(entry, seen, now, group.sent_at)) is not None:
                    yield from steps
            yield
        if group.busy == SHOWN:
            group.busy = 0
        if group.missed:
            unseen = list(group.entries)
        group.missed = False
        yield from self._schedule.planning(unseen, now)
        self._check(group, look, now)

    def _check(self, group: Group, look: GroupLook, now: float) -> None:
        """Check a look at a group against a single poll, once a minute."""
        if group.check is None or look.failure is not None:
            return
        if (key := group.check.lags(look.found)) is not None:
            _log.warning(
                "%s: the list shows %s in an older state than a single poll did more than a gap "
                "ago; all are polled singly from now on",
                group.name,
                key,
            )
            self._schedule.distrust(group, now)
        elif (entry := group.to_check(look, now)) is not None:
            entry.busy = QUEUED
            self._schedule.plan(entry, now)
            self._look_at_all([entry])

    def _is_news(self, entry: Entry, seen: Any, now: float) -> bool:
        """Tell whether a single poll is one that waiters want to see, and not a mere check."""
        group = entry.group
        if group is None or group.check is None:
            return True
        is_news = group.check.take(entry, seen, group_is_polled=bool(group.busy))
        return is_news or entry.wants()[0] <= now

    def _patience(self, group: Group, served: int) -> float:
        """Return the seconds in which single looks would have served as many, generously."""
        if group.few <= 1:
            return math.inf
        singly = self._single_seconds * math.ceil(served / self._at_once)
        return max(2 * singly, PATIENCE)
