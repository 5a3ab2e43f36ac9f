"""Poller: makes the polls that the scheduler asks for, and tells the waits what they show.

All waits of a client share it, and the polls of the batches they wait for. A wait has no task: a
poll is a task while it lasts, and one timer serves all waits. Nothing runs when nobody waits.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING

from prolific_async._polling import bugs
from prolific_async._polling.bugs import BUGS
from prolific_async._polling.list_results import plan_all, show_list
from prolific_async._polling.poll_results import GroupResult, PollResult
from prolific_async._polling.poll_tasks import PollTasks
from prolific_async._polling.scheduler import Scheduler, next_due
from prolific_async._polling.sliced_work import FEW, SlicedWork
from prolific_async._polling.targets import IDLE, SENT, SHOWN, PollTarget, WorkspaceGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prolific_async._polling.list_results import Step
    from prolific_async._polling.poll_tasks import Result
    from prolific_async._polling.status_source import StatusSource
    from prolific_async._polling.targets import Pollable
    from prolific_async._polling.wait import Wait
    from prolific_async._polling.workspaces import Workspaces


class Poller:
    """Polls batches for waits, in the event loop that runs when it is made."""

    def __init__(
        self, source: StatusSource, workspaces: Workspaces, *, few: float, at_once: int
    ) -> None:
        """Begin without waits.

        Args:
            source: Makes the requests.
            workspaces: Knows the workspaces of batches.
            few: Batches of a workspace from which on its list is polled; inf for never, 1 for
                always.
            at_once: Polls that may be under way at a time.

        """
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._workspaces = workspaces
        self._scheduler = Scheduler(workspaces, few)
        self._tasks = PollTasks(source, self._scheduler.targets, at_once, self._polled)
        self._work = SlicedWork(self._go_on)
        self._is_waking = False  # while what is due is gone through in slices
        # With its time, as a handle knows its own only on some loops, and only until it is due.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for = math.inf
        # An empty context: else the caller who happened to be first would be traced and logged as
        # the origin of what is done for all.
        self._context = Context()

    def start(self, wait: Wait) -> asyncio.Future[None]:
        """Serve a wait; the future is done when the wait is over. It may leave before."""
        now = self._loop.time()
        over = self._loop.create_future()
        target = self._scheduler.targets.get(wait.key)
        if target is not None and target.stands_for_first_poll(wait, now):
            try:
                wait.observe(target.result or PollResult(), now, -math.inf)
            except BUGS as error:
                bugs.fail(wait, error, now)
        if wait.outcome is None:
            wait.over = over
            self._scheduler.add(wait, now)
            self._set_timer()
        else:
            over.set_result(None)
        return over

    def leave(self, wait: Wait) -> None:
        """Forget a wait, whether it is over or not; the polls of its batch end with the last."""
        wait.over = None  # its callbacks may hold the wait
        target = self._scheduler.remove(wait, self._loop.time())
        if target is not None:
            self._end(target)

    async def leave_all(self, waits: Iterable[Wait]) -> None:
        """Forget waits, and return when the polls that end with them have ended."""
        if self._loop.is_closed():  # the garbage collector ends what waited in it
            return
        self._work.each(list(waits), self.leave)
        await self.settled()

    async def settled(self) -> None:
        """Return when all work in slices is done, and all cancelled polls have ended."""
        await self._work.drained()
        await self._tasks.cancelled()

    def poll_now(self, key: str) -> None:
        """Make the next poll of a batch due now; many calls before it make one poll."""
        self._scheduler.poll_now(key, self._loop.time())
        self._set_timer()

    def close(self, error: Exception) -> None:
        """End every wait with an error, and every poll; in slices where they are many."""
        now = self._loop.time()
        fail = methodcaller("fail", error, now)
        targets = list(self._scheduler.targets.values())
        self._work.each(targets, lambda target: self._tell_all(target, fail, now, self._plan))

    # --- waits -------------------------------------------------------------------------------

    def _tell_all(
        self,
        target: PollTarget,
        tell: Callable[[Wait], object],
        now: float,
        then: Callable[[PollTarget, float], object],
    ) -> None:
        """Call a function with each wait of a target, in slices if many, then another one."""
        waits = list(target.waits)
        if len(waits) > FEW:
            self._work.each(
                waits, partial(self._tell, target, tell, now), partial(then, target, now)
            )
            return
        for wait in waits:
            self._tell(target, tell, now, wait)
        then(target, now)

    def _tell(
        self, target: PollTarget, tell: Callable[[Wait], object], now: float, wait: Wait
    ) -> None:
        if wait not in target.waits or wait.outcome is not None:
            return  # a callback may have made it leave, or called this while the wait ended
        broken = False
        try:
            tell(wait)
        except BUGS as error:
            broken = True  # whatever becomes of the wait, its caller must not hang
            bugs.fail(wait, error, now)
        if (broken or wait.outcome is not None) and target.remove(wait):
            over, wait.over = wait.over, None
            if not over.done():
                over.set_result(None)

    def _plan(self, target: PollTarget, now: float) -> None:
        """Schedule what a target needs next; end it if nobody waits for it any more."""
        if not target.waits:
            self._end(target)
        elif self._scheduler.plan(target, now):
            self._tasks.queue.append(target)

    def _end(self, target: PollTarget) -> None:
        self._scheduler.end(target)
        self._tasks.cancel(target)
        if self._scheduler.groups.ended or not self._scheduler.targets:
            self._go_on()

    # --- what is due -------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Start queued polls and set the timer; called after whatever may have changed these."""
        if self._scheduler.groups.ended:
            for group in self._scheduler.pop_ended_groups():
                self._tasks.cancel(group)
                self._source.forget(group.name)
        self._set_timer()
        if self._tasks.queue:
            self._tasks.start_queued(self._loop)

    def _set_timer(self) -> None:
        when = self._scheduler.next_time
        if when == self._timer_for or self._is_waking:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when != math.inf:
            self._timer = self._loop.call_at(when, self._ring, when, context=self._context)
        self._timer_for = when

    def _ring(self, when: float) -> None:
        self._timer, self._timer_for = None, math.inf
        now = max(self._loop.time(), when)  # the loop may call a little early
        targets: list[PollTarget] = []
        groups: list[WorkspaceGroup] = []
        due: Iterator[Pollable] = iter(partial(self._scheduler.pop_due, now), None)
        for number, thing in enumerate(due, 1):
            if isinstance(thing, PollTarget) and now < thing.deadline:
                targets.append(thing)
            else:
                self._take_due(thing, targets, groups, now)
            if number == FEW or self._work.jobs:
                break
        else:
            try:
                for poll in self._scheduler.polls(targets, groups, now):
                    if poll is not None:
                        self._tasks.queue.append(poll)
            finally:  # a bug must not stop the timer
                self._go_on()
            return

        def wake() -> None:
            polls = self._scheduler.polls(targets, groups, now)
            self._work.each(polls, partial(self._take_step, now), end)

        def end() -> None:
            self._is_waking = False

        self._is_waking = True
        self._work.each(due, lambda thing: self._take_due(thing, targets, groups, now), wake)

    def _take_due(
        self, thing: Pollable, targets: list[PollTarget], groups: list[WorkspaceGroup], now: float
    ) -> None:
        """Sort a target or group whose time has come; expire the waits whose deadlines have."""
        if isinstance(thing, WorkspaceGroup):
            groups.append(thing)
            return
        if now < thing.deadline:
            targets.append(thing)
            return
        polling = thing.stage_of_poll(now) == SENT
        cut = self._source.cut_off(thing.key, whole=thing.whole) if polling else None
        held = thing.is_held(now)

        def expire(wait: Wait) -> None:
            if wait.deadline <= now:
                wait.expire(now, cut=cut, held=held)

        def then(target: PollTarget, _now: float) -> None:
            if target.waits:
                targets.append(target)
            else:
                self._end(target)

        self._tell_all(thing, expire, now, then)

    def _take_step(self, now: float, step: Step) -> None:
        """Show a result to the waits of a target, or queue what is to be polled."""
        if isinstance(step, tuple):
            self._show(*step, now)
        elif step is not None:
            self._tasks.queue.append(step)

    # --- results -----------------------------------------------------------------------------

    def _polled(self, thing: Pollable, result: Result, now: float) -> None:
        """Take in the result of a poll."""
        if isinstance(thing, PollTarget):
            self._target_polled(thing, result, now)
        else:
            if isinstance(result, GroupResult):
                steps = show_list(self._scheduler, thing, result, now)
            else:  # for those that came meanwhile
                steps = plan_all(self._scheduler, list(thing.targets), now)
            self._work.each(steps, partial(self._take_step, now))
        self._go_on()

    def _target_polled(self, target: PollTarget, result: Result, now: float) -> None:
        if not isinstance(result, PollResult):
            assert isinstance(result, Exception)  # noqa: S101 - for the type checker
            fail = methodcaller("fail", bugs.bug(target.key, result), now)
            target.stage = SHOWN
            self._tell_all(target, fail, now, self._shown)
            return
        group = target.group
        if result.batch is not None and (group is None or group.name is None):
            self._workspaces.learn(target.key, result.batch.workspace_id)
        if group is not None and group.check is not None and group.check.key == target.key:
            is_news = group.check.is_news(target, result, list_is_polled=bool(group.stage))
            if not is_news and next_due(target) > now:
                self._plan(target, now)
                return
        self._show(target, result, now)

    def _show(self, target: PollTarget, result: PollResult, now: float) -> None:
        """Show the result of a poll to the waits of a target."""
        target.result, target.result_at = result, now
        # A wait that joins before all have seen a failure takes it, too: the pause is not known.
        target.not_before = -math.inf if result.error is None else math.inf
        target.stage = SHOWN  # a wait that has not seen it yet needs no other poll
        observe = methodcaller("observe", result, now, target.sent_at)
        self._tell_all(target, observe, now, self._shown)

    def _shown(self, target: PollTarget, now: float) -> None:
        if target.stage == SHOWN:
            target.stage = IDLE
        if target.not_before == math.inf:
            target.note_failure()
        self._plan(target, now)
