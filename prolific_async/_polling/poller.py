"""Poller: makes the polls that the scheduler asks for, and tells the waits what they show.

All waits of a client share it, and the polls of the batches they wait for. A wait has no task: a
poll is a task while it lasts, and one timer serves all waits. Nothing runs when nobody waits.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextvars import Context
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from prolific_async._http.request import Poll
from prolific_async._json.slices import TimeSlices
from prolific_async._logging import log as _log
from prolific_async._polling import bugs
from prolific_async._polling.bugs import BUGS
from prolific_async._polling.list_results import plan_all, show_list
from prolific_async._polling.poll_results import GroupResult, PollResult, failed_poll
from prolific_async._polling.scheduler import Scheduler, next_due
from prolific_async._polling.sliced_work import FEW, SlicedWork
from prolific_async._polling.targets import IDLE, QUEUED, SENT, SHOWN, PollTarget, WorkspaceGroup
from prolific_async.errors import ProlificError
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from prolific_async._polling.list_results import Step
    from prolific_async._polling.status_source import StatusSource
    from prolific_async._polling.targets import Pollable
    from prolific_async._polling.wait import Wait
    from prolific_async._polling.workspaces import Workspaces

PATIENCE = 0.5
"""Seconds that a list poll may last at least before it counts as too slow."""


class Poller:
    """Polls batches for waits, in one event loop."""

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
        self._source = source
        self._workspaces = workspaces
        self._at_once = at_once
        self._single_seconds = 0.1  # mean duration of a single poll
        self._scheduler = Scheduler(workspaces, few)
        self._queue: deque[Pollable] = deque()
        self._under_way: set[asyncio.Task[Any]] = set()
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
        loop = asyncio.get_running_loop()
        now = loop.time()
        done = loop.create_future()
        target = self._scheduler.targets.get(wait.key)
        if target is not None and target.stands_for_first_poll(wait, now):
            try:
                wait.observe(target.result or PollResult(), now, -math.inf)
            except BUGS as error:
                bugs.fail(wait, error, now)
        if wait.outcome is None:
            self._scheduler.add(wait, done, now)
            self._set_timer(loop)
        else:
            done.set_result(None)
        return done

    def leave(self, wait: Wait) -> None:
        """Forget a wait, whether it is over or not; the polls of its batch end with the last."""
        target = self._scheduler.remove(wait, asyncio.get_running_loop().time())
        if target is not None:
            self._end(target)

    async def leave_all(self, waits: Iterable[Wait]) -> None:
        """Forget waits, and return when the polls that end with them have ended."""
        self._work.each(list(waits), self.leave)
        await self.settled()

    async def settled(self) -> None:
        """Return when all work in slices is done, and all cancelled polls have ended."""
        await self._work.drained()
        if ending := [task for task in self._under_way if task.cancelling()]:
            await asyncio.wait(ending)

    def poll_now(self, key: str) -> None:
        """Make the next poll of a batch due now; many calls before it make one poll."""
        loop = asyncio.get_running_loop()
        self._scheduler.poll_now(key, loop.time())
        self._set_timer(loop)

    def close(self, error: Exception) -> None:
        """End every wait with an error, and every poll; in slices where they are many."""
        now = asyncio.get_running_loop().time()
        fail = methodcaller("fail", error, now)
        targets = list(self._scheduler.targets.values())
        self._work.each(targets, lambda target: self._tell_all(target, fail, now))

    # --- waits -------------------------------------------------------------------------------

    def _tell_all(
        self,
        target: PollTarget,
        tell: Callable[[Wait], object],
        now: float,
        then: Callable[[PollTarget, float], object] | None = None,
    ) -> None:
        """Call a function with each wait of a target, then ``then``, by default ``_plan``."""
        then = then or self._plan
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
        if broken or wait.outcome is not None:
            done = target.waits.pop(wait, None)
            if done is not None and not done.done():
                done.set_result(None)

    def _plan(self, target: PollTarget, now: float) -> None:
        """Schedule what a target needs next; end it if nobody waits for it any more."""
        if not target.waits:
            self._end(target)
        elif self._scheduler.plan(target, now):
            self._queue.append(target)

    def _end(self, target: PollTarget) -> None:
        self._scheduler.end(target)
        _stop(target)
        if self._scheduler.ended_groups or not self._scheduler.targets:
            self._go_on()

    # --- what is due -------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Start queued polls and set the timer; called after whatever may have changed these."""
        loop = asyncio.get_running_loop()
        while self._scheduler.ended_groups:
            group = self._scheduler.ended_groups.pop()
            _stop(group)
            self._source.forget(group.name)
        while self._queue and len(self._under_way) < self._at_once:
            thing = self._queue.popleft()
            if thing.stage == QUEUED:  # else it has ended
                self._start_poll(thing, loop)
        self._set_timer(loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        when = self._scheduler.next_time
        if when == self._timer_for or self._is_waking:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when != math.inf:
            self._timer = loop.call_at(when, self._ring, loop, when, context=self._context)
        self._timer_for = when

    def _ring(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._timer, self._timer_for = None, math.inf
        now = max(loop.time(), when)  # the loop may call a little early
        targets: list[PollTarget] = []
        groups: list[WorkspaceGroup] = []
        due = iter(partial(self._scheduler.pop_due, now), None)
        for number, thing in enumerate(due, 1):
            self._take_due(thing, targets, groups, now)
            if number == FEW or self._work.jobs:
                break
        else:
            try:
                for poll in self._scheduler.polls(targets, groups, now):
                    if poll is not None:
                        self._queue.append(poll)
            finally:  # a bug must not stop the timer
                self._go_on()
            return
        self._is_waking = True
        self._work.each(
            due,
            lambda thing: self._take_due(thing, targets, groups, now),
            lambda: self._wake(targets, groups, now),
        )

    def _take_due(
        self, thing: Pollable, targets: list[PollTarget], groups: list[WorkspaceGroup], now: float
    ) -> None:
        """Sort a target or group whose time has come; expire the waits whose deadlines have."""
        if isinstance(thing, WorkspaceGroup):
            groups.append(thing)
            return
        assert isinstance(thing, PollTarget)  # noqa: S101 - for the type checker
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

    def _wake(self, targets: list[PollTarget], groups: list[WorkspaceGroup], now: float) -> None:
        def end() -> None:
            self._is_waking = False

        self._work.each(self._scheduler.polls(targets, groups, now), self._enqueue, end)

    def _enqueue(self, poll: Pollable | None) -> None:
        if poll is not None:
            self._queue.append(poll)

    # --- polls -------------------------------------------------------------------------------

    def _start_poll(self, thing: Pollable, loop: asyncio.AbstractEventLoop) -> None:
        thing.sent_at = loop.time()
        poll: Coroutine[Any, Any, Any]
        if isinstance(thing, PollTarget):
            request = self._source.get if thing.whole else self._source.get_status
            poll = request(thing.key, Poll(on_sent=partial(self._note_sent, thing)))
        else:
            assert isinstance(thing, WorkspaceGroup)  # noqa: S101 - for the type checker
            poll = self._poll_list(thing)
        task = thing.poll = loop.create_task(poll, context=Context())
        self._under_way.add(task)
        task.add_done_callback(partial(self._polled, thing), context=self._context)

    def _note_sent(self, thing: Pollable) -> None:
        if thing.stage != SENT:  # of several requests, the first counts
            thing.stage, thing.sent_at = SENT, asyncio.get_running_loop().time()
        if isinstance(thing, PollTarget):
            thing.asked = False  # any call of ``poll_now`` so far asked for this poll

    async def _poll_list(self, group: WorkspaceGroup) -> GroupResult | None:
        """Poll a group's list; return None if no target would be served by that."""
        now = asyncio.get_running_loop().time()
        slices = TimeSlices()
        served: list[str] = []
        for number, target in enumerate(list(group.targets)):
            if group.serve(target, now):
                served.append(target.key)
            if number % FEW == 0:
                await slices.yield_if_due()
        if not served:
            return None
        patience = math.inf  # a list that is always polled may be slow
        if group.few > 1:
            singly = self._single_seconds * math.ceil(len(served) / self._at_once)
            patience = max(2 * singly, PATIENCE)
        poll = Poll(patience, partial(self._note_sent, group))
        return await self._source.poll_list(group.name, served, self._scheduler.targets, poll)

    def _polled(self, thing: Pollable, task: asyncio.Task[Any]) -> None:
        """Take in the result of a poll whose task is done, unless it was cancelled by ``_end``."""
        self._under_way.discard(task)
        # Asked in any case: else asyncio logs that nobody did.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if thing.poll is task:
            thing.poll = None
            thing.stage = IDLE
            now = task.get_loop().time()
            if isinstance(thing, PollTarget):
                self._target_polled(thing, task, error, now)
            else:
                assert isinstance(thing, WorkspaceGroup)  # noqa: S101 - for the type checker
                self._list_polled(thing, task, error, now)
        self._go_on()

    def _target_polled(
        self, target: PollTarget, task: asyncio.Task[Any], error: BaseException | None, now: float
    ) -> None:
        if error is None:
            found = task.result()
            if isinstance(found, Batch):
                if target.group is None or target.group.name is None:
                    self._workspaces.learn(target.key, found.workspace_id)
                result = PollResult(found.status, found)
            else:
                result = PollResult(found)
        elif isinstance(error, ProlificError):
            _log.info("a poll of batch %s failed: %s", target.key, error)
            result = failed_poll(error)
        elif isinstance(error, Exception):
            target.stage = SHOWN
            self._tell_all(
                target, methodcaller("fail", bugs.bug(target.key, error), now), now, self._shown
            )
            return
        else:  # cancelled by somebody, perhaps with every task there is
            result = failed_poll(self._source.lost(target.key))
        self._single_seconds += (now - target.sent_at - self._single_seconds) / 8
        check = None if target.group is None else target.group.check
        if check is not None and check.key == target.key:
            is_news = check.is_news(target, result, list_is_polled=bool(target.group.stage))
            if not is_news and next_due(target) > now:
                self._plan(target, now)
                return
        self._show(target, result, target.sent_at, now)

    def _show(self, target: PollTarget, result: PollResult, sent: float, now: float) -> None:
        """Show the result of a poll to the waits of a target."""
        target.result, target.result_at = result, now
        # A wait that joins before all have seen a failure takes it, too: the pause is not known.
        target.not_before = -math.inf if result.error is None else math.inf
        target.stage = SHOWN  # a wait that has not seen it yet needs no other poll
        self._tell_all(target, methodcaller("observe", result, now, sent), now, self._shown)

    def _shown(self, target: PollTarget, now: float) -> None:
        if target.stage == SHOWN:
            target.stage = IDLE
        if target.not_before == math.inf:
            target.note_failure()
        self._plan(target, now)

    def _list_polled(
        self,
        group: WorkspaceGroup,
        task: asyncio.Task[Any],
        error: BaseException | None,
        now: float,
    ) -> None:
        if error is None:
            result = task.result()
        else:
            if isinstance(error, Exception):
                _log.error("the poll of the list of %s is broken", group.name, exc_info=error)
            result = GroupResult(failure=repr(error))
        if result is None:
            steps = plan_all(self._scheduler, list(group.targets), now)  # those that came meanwhile
        else:
            steps = show_list(self._scheduler, group, result, now)
        self._work.each(steps, partial(self._take_step, group, now))

    def _take_step(self, group: WorkspaceGroup, now: float, step: Step) -> None:
        if step is not None:
            target, result = step
            if result is None:
                self._queue.append(target)
            else:
                self._show(target, result, group.sent_at, now)


def _stop(thing: Pollable) -> None:
    """Give up the poll of something, if there is one."""
    task, thing.poll = thing.poll, None
    thing.stage = IDLE
    if task is not None:
        task.cancel()
