"""Polls under way: each is a task, and no more than a number of them run at a time."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from prolific_async._http.request import Poll
from prolific_async._json.slices import TimeSlices
from prolific_async._logging import log as _log
from prolific_async._polling.poll_results import GroupResult, PollResult, failed_poll
from prolific_async._polling.sliced_work import FEW
from prolific_async._polling.targets import IDLE, QUEUED, SENT, PollTarget, WorkspaceGroup
from prolific_async.errors import ProlificError
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine

    from prolific_async._polling.status_source import StatusSource
    from prolific_async._polling.targets import Pollable

PATIENCE = 0.5
"""Seconds that a list poll may last at least before it counts as too slow."""

Result: TypeAlias = PollResult | GroupResult | Exception | None
"""What a poll shows: an Exception stands for a bug, None for a list poll that serves no target."""


class PollTasks:
    """Runs queued polls.

    Attributes:
        queue: Targets and groups to poll; those that are not QUEUED any more are skipped.

    """

    def __init__(
        self,
        source: StatusSource,
        wanted: Container[str],
        at_once: int,
        done: Callable[[Pollable, Result, float], object],
    ) -> None:
        """Begin without polls.

        Args:
            source: Makes the requests.
            wanted: Ids of all batches whose status is of use.
            at_once: Polls that may be under way at a time.
            done: Called with what was polled, its result and the time, when a poll is done that
                was not cancelled; it starts what is queued.

        """
        self.queue: deque[Pollable] = deque()
        self._source = source
        self._wanted = wanted
        self._at_once = at_once
        self._done = done
        self._under_way: set[asyncio.Task[Any]] = set()
        self._single_seconds = 0.1  # mean duration of a single poll
        self._context = Context()

    def start_queued(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start queued polls, as many as may run."""
        while self.queue and len(self._under_way) < self._at_once:
            thing = self.queue.popleft()
            if thing.stage != QUEUED:  # it has ended
                continue
            thing.sent_at = loop.time()
            poll: Coroutine[Any, Any, Any]
            if isinstance(thing, PollTarget):
                request = self._source.get if thing.whole else self._source.get_status
                poll = request(thing.key, Poll(on_sent=partial(_note_sent, thing)))
            else:
                poll = self._poll_list(thing)
            # In an empty context: a poll is made for many waits, not for the first of them alone.
            task = thing.poll = loop.create_task(poll, context=Context())
            self._under_way.add(task)
            task.add_done_callback(partial(self._end, thing), context=self._context)

    def cancel(self, thing: Pollable) -> None:
        """Cancel the poll of a target or group, if there is one."""
        task, thing.poll = thing.poll, None
        thing.stage = IDLE
        if task is not None:
            task.cancel()

    async def cancelled(self) -> None:
        """Return when all cancelled polls have ended."""
        if ending := [task for task in self._under_way if task.cancelling()]:
            await asyncio.wait(ending)

    async def _poll_list(self, group: WorkspaceGroup) -> GroupResult | None:
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
        poll = Poll(patience, partial(_note_sent, group))
        return await self._source.poll_list(group.name, served, self._wanted, poll)

    def _end(self, thing: Pollable, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        # Asked in any case: else asyncio logs that nobody did.
        error = None if task.cancelled() else task.exception()
        loop = task.get_loop()
        if thing.poll is not task:  # it was cancelled by ``cancel``
            self.start_queued(loop)
            return
        thing.poll = None
        thing.stage = IDLE
        now = loop.time()
        result: Result
        if error is None and not task.cancelled():
            result = found = task.result()
            if isinstance(thing, PollTarget):
                self._single_seconds += (now - thing.sent_at - self._single_seconds) / 8
                is_whole = isinstance(found, Batch)
                result = PollResult(found.status, found) if is_whole else PollResult(found)
        elif isinstance(thing, PollTarget):
            result = self._failed(thing, error)
        else:
            if isinstance(error, Exception):
                _log.error("the poll of a list is broken", exc_info=error)
            reason = "the poll was broken off" if error is None else repr(error)
            result = GroupResult(failure=reason)
        self._done(thing, result, now)

    def _failed(self, target: PollTarget, error: BaseException | None) -> PollResult | Exception:
        if isinstance(error, ProlificError):
            _log.info("a poll of batch %s failed: %s", target.key, error)
            return failed_poll(error)
        if isinstance(error, Exception):
            return error
        # Cancelled by somebody, perhaps with every task there is.
        return failed_poll(self._source.lost(target.key))


def _note_sent(thing: Pollable) -> None:
    if thing.stage != SENT:  # of several requests, the first counts
        thing.stage, thing.sent_at = SENT, asyncio.get_running_loop().time()
    if isinstance(thing, PollTarget):
        thing.asked = False  # any call of ``poll_now`` so far asked for this poll
