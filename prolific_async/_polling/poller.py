"""Polls at many keys for many waiters, with as few polls as they need.

It knows neither HTTP nor batches. A *waiter* says when it wants a poll of its key; all waiters of
one key share an *target*, whose polls they all see. Targets that belong together form a *group*,
which can be polled as a group.

No waiter has a task: the schedule starts the polls, each of which is a task for as long as it
lasts. Nothing is armed when nobody waits.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from prolific_async._polling import bugs, crowd
from prolific_async._polling.group_polls import GroupPolls
from prolific_async._polling.schedule import Schedule
from prolific_async._polling.sliced_work import chunks, used_up
from prolific_async._polling.targets import SENT, PollTarget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prolific_async._polling.targets import GroupResult, WorkspaceGroup
    from prolific_async._polling.waiter import Waiter
    from prolific_async.errors import ProlificError

T = TypeVar("T")


class Poller:
    """Shares polls among waiters."""

    def __init__(
        self,
        poll: Callable[[str, bool, Callable[[], None]], Awaitable[Any]],
        poll_group: Callable[
            [str | None, list[str], Callable[[str], bool], float, Callable[[], None]],
            Awaitable[GroupResult],
        ],
        group_of: Callable[[str], str | None],
        *,
        few: float,
        at_once: int,
        lost: Callable[[str], Any],
        forget: Callable[[str | None], object] = lambda _: None,
        is_older: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        """Take what makes the polls.

        Args:
            poll: Polls at a key; the flag asks for a whole poll. It may be held back, and calls
                the function when it is sent.
            poll_group: Polls at a group, for the keys given and for all of which the first
                function is true; once it is sent, and has called the second function, it may last
                so many seconds. For the group None it finds out where some of the keys belong.
            group_of: Names the group of a key, None as long as nothing is known of it.
            few: Targets from which on a group is polled as one; inf for never, 1 for always.
            at_once: Polls under way at most.
            lost: Makes what a poll of a key saw whose task ended without a result.
            forget: Is told of a group that ended, None for those of which nothing was known.
            is_older: Tells whether the first of two results shows an older state than the second;
                None has groups never checked against single polls.

        """
        self._poll = poll
        self._at_once, self._lost = at_once, lost
        self._targets: dict[str, PollTarget] = {}
        self._failing: dict[Waiter, asyncio.Future[None]] = {}  # as a bug ended their target
        self._schedule = Schedule(
            group_of, few, self._expire, self._poll_all, self._break_off, forget, is_older
        )
        self._queue: deque[PollTarget | WorkspaceGroup] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._group_polls = GroupPolls(
            poll_group, self._schedule, self._targets, at_once, self._show, self._poll_all
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
        target = self._targets.get(waiter.key)
        if target is not None and target.tells(waiter, now):
            waiter.observe(target.seen, now, -math.inf)
            target = self._targets.get(waiter.key)  # what that called may have ended it
        if waiter.is_over:
            done.set_result(None)
            return
        if target is None:
            target = self._targets[waiter.key] = PollTarget(waiter.key)
        target.waiters[waiter] = done
        self._schedule.join(target, waiter, now)

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter, whether it is over or not; its last poll ends with it."""
        target = self._targets.get(waiter.key)
        if (
            target is not None
            and target.waiters.pop(waiter, None) is not None
            and not target.waiters
        ):
            self._end(target)
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
        """Return when the polls that were ended have come to their end."""
        if ending := [task for task in self._under_way if task.cancelling()]:
            await asyncio.wait(ending)

    def poll_now(self, key: str) -> None:
        """Make the next poll of a key due now; many calls before it make one poll."""
        target = self._targets.get(key)
        if target is not None:
            target.asked = True
            self._schedule.plan(target, asyncio.get_running_loop().time())
            self._schedule.arm()

    def lacks_group(self, key: str) -> bool:
        """Tell whether somebody waits for a key of which no group is known yet."""
        target = self._targets.get(key)
        return target is not None and (target.group is None or target.group.name is None)

    async def drained(self) -> None:
        """Return when all that is done in slices is done."""
        await self._schedule.work.drained()

    def close(self, error: Any) -> None:
        """End every waiter with an error, and every poll, in slices where they are many."""
        self._schedule.work.do(self._fail_all(error))

    # --- who waits ---------------------------------------------------------------------------

    def _break_off(self, target: PollTarget, error: BaseException) -> None:
        """End all that has to do with an target with which something is wrong."""
        waiters, target.waiters = target.waiters, {}
        self._end(target)  # first, as one that fails may start another
        self._failing |= waiters
        failure = bugs.told(target.key, error)
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

        for some in used_up(list(self._targets.values())):
            for target in some:
                if (steps := crowd.each(target, fail, now, self._go_on)) is not None:
                    yield from steps
            yield

    def _expire(self, target: PollTarget, now: float) -> Iterator[None] | None:
        polling, held = target.polled(now) == SENT, target.is_held(now)

        def expire(waiter: Waiter) -> None:
            if waiter.deadline is not None and waiter.deadline <= now:
                waiter.expire(now, polling=polling, held=held)

        return crowd.each(target, expire, now, self._end_if_left)

    def _show(
        self, target: PollTarget, seen: Any, now: float, sent: float
    ) -> Iterator[None] | None:
        """Let every waiter of an target see what a poll saw; return the steps if they are many."""
        return crowd.show(target, seen, now, sent, self._go_on)

    def _take(self, target: PollTarget, seen: Any, now: float) -> None:
        """Take in what a single poll saw, for the waiters or as a mere check of the group."""
        if not self._group_polls.is_news(target, seen, now):
            self._schedule.plan(target, now)
        elif (steps := self._show(target, seen, now, target.sent_at)) is not None:
            self._schedule.work.do(steps)

    def _end_if_left(self, target: PollTarget, _now: float) -> None:
        if not target.waiters:
            self._end(target)

    def _go_on(self, target: PollTarget, now: float) -> None:
        """Plan an target, or end it if nobody waits for it any more."""
        if target.waiters:
            self._schedule.plan(target, now)
        else:
            self._end(target)

    def _end(self, target: PollTarget) -> None:
        """Forget an target that nobody waits for."""
        if self._targets.get(target.key) is not target:
            return
        del self._targets[target.key]
        self._schedule.end(target)
        if not self._targets:
            self._queue.clear()
            self._schedule.arm()

    # --- polling -----------------------------------------------------------------------------

    def _poll_all(self, polled: list[PollTarget | WorkspaceGroup]) -> None:
        self._queue += polled
        self._start(asyncio.get_running_loop())

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and len(self._under_way) < self._at_once:
            what = self._queue.popleft()
            if not what.busy:  # it ended while it was queued
                continue
            if isinstance(what, PollTarget):
                poll = self._send_poll(what, loop)
            else:
                poll = self._group_polls.poll(what, loop)
            what.sent_at = loop.time()
            what.task = task = loop.create_task(poll)
            self._under_way.add(task)
            task.add_done_callback(partial(self._polled, what))

    def _polled(self, what: PollTarget | WorkspaceGroup, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        loop = task.get_loop()
        if what.task is task:  # cancelled by somebody, perhaps with every task there is
            what.come_back()
            if isinstance(what, PollTarget):
                self._take(what, self._lost(what.key), loop.time())
            else:
                what.take_apart(loop.time())
                self._schedule.plan_all(what, loop.time())
            self._schedule.arm()
        self._start(loop)

    async def _send_poll(self, target: PollTarget, loop: asyncio.AbstractEventLoop) -> None:
        target.asked = False
        try:
            seen = await self._poll(target.key, target.wants_whole, target.set_out)
        except Exception as error:  # noqa: BLE001 - a bug, which must not become a hang
            target.come_back()
            self._break_off(target, error)
            self._schedule.arm()
            return
        now = loop.time()
        self._group_polls.note_single(now - target.sent_at)
        target.come_back()
        self._take(target, seen, now)
        self._schedule.arm()
