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

from prolific_async._waiting import bugs, crowd
from prolific_async._waiting.entries import SENT, Entry
from prolific_async._waiting.group_polls import GroupPolls
from prolific_async._waiting.schedule import Schedule
from prolific_async._waiting.work import chunks, used_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prolific_async._waiting.entries import Group, GroupLook
    from prolific_async._waiting.waiter import Waiter
    from prolific_async.errors import ProlificError

T = TypeVar("T")


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
        self._at_once, self._lost = at_once, lost
        self._entries: dict[str, Entry] = {}
        self._failing: dict[Waiter, asyncio.Future[None]] = {}  # as a bug ended their entry
        self._schedule = Schedule(
            group_of, few, self._expire, self._look_at_all, self._break_off, forget, is_older
        )
        self._queue: deque[Entry | Group] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._group_polls = GroupPolls(
            look_as_one, self._schedule, self._entries, at_once, self._show, self._look_at_all
        )

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
        self._failing.pop(waiter, None)

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

    def _break_off(self, entry: Entry, error: BaseException) -> None:
        """End all that has to do with an entry with which something is wrong."""
        waiters, entry.waiters = entry.waiters, {}
        self._end(entry)  # first, as one that fails may start another
        self._failing |= waiters
        failure = bugs.told(entry.key, error)
        self._schedule.work.do(self._fail_some(list(waiters), failure))

    def _fail_some(self, waiters: list[Waiter], failure: ProlificError) -> Iterator[None]:
        now = asyncio.get_running_loop().time()
        for some in used_up(waiters):
            for waiter in some:
                if (done := self._failing.pop(waiter, None)) is not None:  # it has not left
                    bugs.end(waiter, done, failure, now)
            yield

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
        if not self._group_polls.is_news(entry, seen, now):
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
                look = self._group_polls.poll(what, loop)
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
                what.take_apart(loop.time())
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
        self._group_polls.note_single(now - entry.sent_at)
        entry.come_back()
        self._take(entry, seen, now)
        self._schedule.arm()
