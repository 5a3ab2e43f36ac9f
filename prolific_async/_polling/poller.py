"""Poller: makes the polls that the scheduler asks for, and gives the waits their results.

All waits of a client share one poller, and waits for the same target share its polls. A wait needs
no task: each poll is a task, and one timer serves all waits. Nothing runs when nobody waits.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextvars import Context
from functools import partial
from itertools import chain, islice
from operator import methodcaller
from typing import TYPE_CHECKING, Any, TypeAlias

from prolific_async._polling import bugs
from prolific_async._polling.list_polls import ListPolls
from prolific_async._polling.poll_results import PollResult
from prolific_async._polling.scheduler import Scheduler
from prolific_async._polling.sliced_work import CHUNK, SlicedWork
from prolific_async._polling.targets import IDLE, POLLED, SHOWN, PollTarget, WorkspaceGroup
from prolific_async.errors import ProlificError
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from prolific_async._polling.kinds import Key
    from prolific_async._polling.known_workspaces import KnownWorkspaces
    from prolific_async._polling.list_polls import Step
    from prolific_async._polling.poll_requests import PollRequests
    from prolific_async._polling.targets import Pollable
    from prolific_async._polling.wait import Wait

    Tell: TypeAlias = Callable[[Wait], object]
    Then: TypeAlias = Callable[[PollTarget, float], object]


class Poller:
    """Polls for waits, in the event loop that runs when it is made."""

    def __init__(
        self,
        requests: PollRequests,
        workspaces: KnownWorkspaces,
        *,
        list_threshold: float,
        at_once: int,
    ) -> None:
        """Begin without waits.

        Args:
            requests: Sends the requests of polls.
            workspaces: Remembers the workspaces of batches.
            list_threshold: Least number of targets for which a list is polled; inf for never, 1
                for always.
            at_once: Number of polls that may be under way at a time.

        """
        self._loop = asyncio.get_running_loop()
        self._requests = requests
        self._workspaces = workspaces
        workspaces.awaited.clear()  # ids from an event loop that was closed
        self._scheduler = Scheduler(workspaces, list_threshold)
        self._lists = ListPolls(requests, self._scheduler, at_once)
        self._at_once = at_once
        self._queue: deque[Pollable] = deque()  # entries that are no longer POLLED are skipped
        self._under_way: set[asyncio.Task[Any]] = set()
        self._work = SlicedWork(self._start_queued_polls)
        self._is_waking = False  # while due targets are collected in slices
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for = math.inf  # ``TimerHandle.when`` works in some event loops only
        # Empty: the work for all waits must not be traced and logged as that of the first caller.
        self._context = Context()

    def start(self, wait: Wait) -> asyncio.Future[None]:
        """Serve a wait until it leaves or is over; the returned future is done when it is over."""
        now = self._loop.time()
        future = self._loop.create_future()
        target = self._scheduler.targets.get(wait.key)
        if target is not None and target.can_use_newest_result(wait, now):
            try:
                wait.observe(target.result or PollResult(), now, -math.inf)
            except bugs.CALLBACK_ERRORS as error:
                bugs.end_with_bug(wait, error, now)
        if wait.outcome is None:
            wait.future = future
            # Looked up again: a callback of the wait may have ended the target.
            target = self._scheduler.targets.get(wait.key)
            target = target or PollTarget(wait.key, wait.workspace_id)
            target.add(wait)
            self._scheduler.add(target, wait, now)
            self._set_timer()
        else:
            future.set_result(None)
        return future

    def leave(self, wait: Wait) -> None:
        """Forget a wait, whether it is over or not; a target's polls end when no wait is left."""
        wait.future = None  # breaks a cycle, as the future's callbacks may refer to the wait
        target = self._scheduler.remove(wait, self._loop.time())
        if target is not None:
            self._plan(target, self._loop.time())

    async def leave_all(self, waits: Iterable[Wait]) -> None:
        """Forget waits, and return when the polls that only they needed have ended."""
        if self._loop.is_closed():  # the garbage collector closes a coroutine that waited
            return
        self._work.each(list(waits), self.leave)
        await self.until_idle()

    async def until_idle(self) -> None:
        """Return when all work in slices is done, and all cancelled polls have ended."""
        await self._work.drained()
        if ending := [task for task in self._under_way if task.cancelling()]:
            await asyncio.wait(ending)

    def poll_now(self, key: Key) -> None:
        """Make the next poll of a target due now; several calls before it lead to one poll."""
        self._scheduler.poll_now(key, self._loop.time())
        self._set_timer()

    def close(self, error: Exception) -> None:
        """End every wait with a WaitFailedError caused by ``error``, and so every poll."""
        now = self._loop.time()
        fail = methodcaller("fail", error, now)
        targets = list(self._scheduler.targets.values())
        self._work.each(targets, lambda target: self._tell_all(target, fail, now, self._plan))

    def _tell_all(self, target: PollTarget, tell: Tell, now: float, then: Then) -> None:
        """Call ``tell`` with each wait of a target, in slices if there are many, then ``then``."""
        if len(target.waits) > CHUNK:
            tell_one = partial(self._tell, target, tell, now)
            self._work.each(list(target.waits), tell_one, partial(then, target, now))
            return
        for wait in tuple(target.waits):  # copies a dict, which a callback may change
            self._tell(target, tell, now, wait)
        then(target, now)

    def _tell(self, target: PollTarget, tell: Tell, now: float, wait: Wait) -> None:
        if wait not in target.waits or wait.outcome is not None:
            return  # a callback has made the wait leave, or runs while the wait ends
        broken = False
        try:
            tell(wait)
        except bugs.CALLBACK_ERRORS as error:
            broken = True  # ends the wait in any case, so that its caller does not hang
            bugs.end_with_bug(wait, error, now)
        if broken or wait.outcome is not None:
            target.end(wait)

    def _plan(self, target: PollTarget, now: float) -> None:
        """Schedule or queue a target's next poll; cancel its poll if it has no waits left."""
        if self._scheduler.plan(target, now):
            self._queue.append(target)
        elif not target.waits:
            if target.stage:
                target.cancel_poll()
            if self._scheduler.groups.ended or not self._scheduler.targets:
                self._start_queued_polls()

    def _start_queued_polls(self) -> None:
        """Forget ended groups, set the timer and start queued polls; called after any change."""
        if self._scheduler.groups.ended:
            for group in self._scheduler.pop_ended_groups():
                group.cancel_poll()
                self._requests.forget(group.name)
        self._set_timer()
        while self._queue and len(self._under_way) < self._at_once:
            pollable = self._queue.popleft()
            if pollable.stage == POLLED and pollable.task is None:
                self._start_poll(pollable)

    def _set_timer(self) -> None:
        when = self._scheduler.next_time
        if when == self._timer_for or self._is_waking:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when != math.inf:
            self._timer = self._loop.call_at(when, self._timer_fired, when, context=self._context)
        self._timer_for = when

    def _timer_fired(self, when: float) -> None:
        self._timer, self._timer_for = None, math.inf
        now = max(self._loop.time(), when)  # a loop's timer may be a little early
        due: list[Pollable] = []
        popped = self._scheduler.pop_due(now)
        first = list(islice(popped, CHUNK))
        for pollable in first:
            if not isinstance(pollable, PollTarget) or pollable.deadline <= now:
                break
            due.append(pollable)
        if len(due) == len(first) < CHUNK and not self._work.loops:  # a few targets need no slices
            try:
                self._queue.extend(filter(None, self._scheduler.polls(due, now)))
            finally:  # a bug must not stop the timer
                self._start_queued_polls()
            return

        def take(pollable: Pollable | None) -> None:
            if pollable is not None:
                due.append(pollable)
            if isinstance(pollable, PollTarget) and pollable.deadline <= now:
                self._expire(pollable, now)

        def wake() -> None:
            self._is_waking = False
            polls = self._scheduler.polls(due, now)
            self._work.each(polls, partial(self._take_step, now))

        self._is_waking = True
        self._work.each(chain(first[len(due) :], popped), take, wake)

    def _expire(self, target: PollTarget, now: float) -> None:
        """Expire those waits of a target whose deadlines have passed."""
        polling = target.serving(now).is_sent
        cut = self._requests.cut_off(target.key, whole=target.needs_object) if polling else None
        held = target.is_held(now)

        def expire(wait: Wait) -> None:
            if wait.deadline <= now:
                wait.expire(now, cut=cut, held=held)

        self._tell_all(target, expire, now, self._plan)

    def _take_step(self, now: float, step: Step) -> None:
        """Show a result to the waits of a target, or queue a target or group for a poll."""
        if isinstance(step, tuple):
            target, result = step
            self._show(target, result, now)
        elif step is not None:
            self._queue.append(step)

    def _start_poll(self, pollable: Pollable) -> None:
        poll: Coroutine[Any, Any, Any]
        pollable.sent_at = None
        if isinstance(pollable, PollTarget):
            pollable.poll_requested = False  # this poll answers all calls of ``poll_now`` so far
            key = pollable.key
            if isinstance(key, str):
                request = self._requests.get if pollable.needs_object else self._requests.get_status
                poll = request(key, pollable)
            else:
                poll = self._requests.poll(key, pollable, whole=pollable.needs_object)
        else:
            poll = self._lists.poll(pollable)
        # In an empty context: a poll is made for all waits of a target, not for one caller.
        task = pollable.task = self._loop.create_task(poll, context=Context())
        self._under_way.add(task)
        task.add_done_callback(
            partial(self._poll_done, pollable, self._loop.time()), context=self._context
        )

    def _poll_done(self, pollable: Pollable, began: float, task: asyncio.Task[Any]) -> None:
        """Handle the result of a poll; an unsent poll counts as sent when its task was made."""
        self._under_way.discard(task)
        # Read in any case: asyncio logs exceptions that are never retrieved.
        error = None if task.cancelled() else task.exception()
        if pollable.task is task:  # else ``cancel_poll`` has cancelled it
            now = self._loop.time()
            sent_at = pollable.sent_at = began if pollable.sent_at is None else pollable.sent_at
            pollable.task = None
            pollable.stage = IDLE
            if isinstance(pollable, WorkspaceGroup):
                steps = self._lists.steps(pollable, task, now)
                self._work.each(steps, partial(self._take_step, now))
            elif error is None and not task.cancelled():
                self._lists.single_seconds += (now - sent_at - self._lists.single_seconds) / 8
                result = found = task.result()
                if isinstance(pollable.key, str):
                    is_whole = isinstance(found, Batch)
                    result = PollResult(found.status, found) if is_whole else PollResult(found)
                self._take_result(pollable, result, now)
            elif isinstance(error, Exception) and not isinstance(error, ProlificError):
                pollable.stage = SHOWN
                fail = methodcaller("fail", bugs.logged_failure(pollable.key, error), now)
                self._tell_all(pollable, fail, now, self._end_showing)
            else:
                self._take_result(pollable, self._requests.failed(pollable.key, error), now)
        self._start_queued_polls()

    def _take_result(self, target: PollTarget, result: PollResult, now: float) -> None:
        """Show a single poll's result to the waits, unless it is a check that confirms a list."""
        key = target.key
        if result.value is not None and target.workspace_id is None and isinstance(key, str):
            self._workspaces.learn(key, result.value.workspace_id)
        if target.group is None or self._lists.take_single_result(target, result, now):
            self._show(target, result, now)
        else:
            self._plan(target, now)

    def _show(self, target: PollTarget, result: PollResult, now: float) -> None:
        """Show the result of a poll to the waits of a target."""
        target.result, target.result_at = result, now
        # After a failure, the pause is not known until all waits have seen it: until then, a wait
        # that joins takes the failure, too.
        target.not_before = -math.inf if result.error is None else math.inf
        target.stage = SHOWN  # no poll begins until all waits have seen the result
        if isinstance(target.waits, dict):
            observe = methodcaller("observe", result, now, target.sent_at)
            self._tell_all(target, observe, now, self._end_showing)
            return
        sent_at: Any = target.sent_at  # never None after a poll
        for wait in target.waits:  # at most one; ``_tell_all`` would add a tenth to a poll's cost
            if wait.outcome is not None:
                continue
            broken = False
            try:
                wait.observe(result, now, sent_at)
            except bugs.CALLBACK_ERRORS as error:
                broken = True
                bugs.end_with_bug(wait, error, now)
            if broken or wait.outcome is not None:
                target.end(wait)
        self._end_showing(target, now)

    def _end_showing(self, target: PollTarget, now: float) -> None:
        if target.stage == SHOWN:
            target.stage = IDLE
        if target.not_before == math.inf:
            target.note_failure()
        self._plan(target, now)
