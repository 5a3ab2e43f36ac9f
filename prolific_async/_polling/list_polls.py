"""List polls: polls the list of a workspace group, and gives its targets their results."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, TypeAlias

from prolific_async._logging import log as _log
from prolific_async._polling.poll_results import GroupResult
from prolific_async._polling.scheduler import next_due
from prolific_async._polling.sliced_work import CHUNK
from prolific_async._polling.targets import POLLED
from prolific_async._time_slices import TimeSlices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prolific_async._polling.list_checks import ListCheck
    from prolific_async._polling.poll_requests import PollRequests
    from prolific_async._polling.poll_results import PollResult
    from prolific_async._polling.scheduler import Scheduler
    from prolific_async._polling.targets import Pollable, PollTarget, WorkspaceGroup

PATIENCE = 0.5
"""Seconds that every list poll may take, even if single polls would be much faster."""

Step: TypeAlias = "tuple[PollTarget, PollResult] | Pollable | None"
"""A result to show to the waits of a target, a target or group to poll, or nothing to do."""


class ListPolls:
    """Polls lists. What to do after a poll is yielded in steps, which the poller does in slices.

    Attributes:
        single_seconds: Mean duration of recent single polls, in seconds; the poller updates it.

    """

    def __init__(self, requests: PollRequests, scheduler: Scheduler, at_once: int) -> None:
        """Store the source of polls, the scheduler, and how many polls may run at a time."""
        self.single_seconds = 0.1
        self._requests = requests
        self._scheduler = scheduler
        self._at_once = at_once

    async def poll(self, group: WorkspaceGroup) -> GroupResult | None:
        """Poll a group's list; return None, without a request, if it would serve no target."""
        now = asyncio.get_running_loop().time()
        slices = TimeSlices()
        served: list[str] = []
        for number, target in enumerate(list(group.targets)):
            if group.serve(target, now):
                served.append(target.key)
            if number % CHUNK == 0:
                await slices.yield_if_due()
        if not served:
            return None
        patience = math.inf  # with ``list_threshold`` 1, the list is always polled, however slow
        if group.list_threshold > 1:
            singly = self.single_seconds * math.ceil(len(served) / self._at_once)
            patience = max(2 * singly, PATIENCE)
        group.time_limit = patience
        return await self._requests.poll_list(group.name, served, self._scheduler.targets, group)

    def steps(
        self, group: WorkspaceGroup, task: asyncio.Task[GroupResult | None], now: float
    ) -> Iterator[Step]:
        """Return the steps after a list poll whose task has ended."""
        if task.cancelled():  # not by the poller: perhaps the application cancels all tasks
            result: GroupResult | None = GroupResult(failure="the poll was broken off")
        elif error := task.exception():
            if isinstance(error, Exception):
                _log.error("the poll of a list is broken", exc_info=error)
            result = GroupResult(failure=repr(error))
        else:
            result = task.result()
        if result is None:  # no request was sent, but targets may have joined since
            return self._plan(list(group.targets), now)
        return self.show(group, result, now)

    def show(self, group: WorkspaceGroup, result: GroupResult, now: float) -> Iterator[Step]:
        """Return the steps after a list poll: its results to show, and the polls to make."""
        # Not in the generator, which runs later: this keeps the next list poll from starting.
        if (text := group.take_result(result, now)) is not None:
            _log.info("%s", text)
        return self._steps_after(group, result, now)

    def _steps_after(
        self, group: WorkspaceGroup, result: GroupResult, now: float
    ) -> Iterator[Step]:
        scheduler = self._scheduler
        targets = list(group.targets)  # also those that joined during the poll
        if group.name is None:
            for target in targets:
                if target.waits:
                    scheduler.groups.of(target)
                yield None
        for target in targets:
            found = None
            if scheduler.targets.get(target.key) is target:  # a callback may have ended it
                found = group.result_of(target, result, now)
            yield None if found is None else (target, found)
        yield from self._plan(group.end_showing(), now)
        if group.check is None or result.failure is not None:
            return
        if group.check.lags(result.found):
            _log.warning(
                "the list of workspace %s lags behind: it shows batch %s in an older state than an "
                "earlier single poll did; all batches there are polled singly from now on",
                group.name,
                group.check.key,
            )
            scheduler.groups.poll_singly_for_good(group)
            yield from self._plan(list(group.targets), now)
        elif group.is_listed(now):
            yield self._next_check(group, group.check, result, now)

    def _next_check(
        self, group: WorkspaceGroup, check: ListCheck, result: GroupResult, now: float
    ) -> PollTarget | None:
        """Queue the single poll that checks the list, if one is due; return its target."""
        target = check.choose(group.targets, result.found, now)
        if target is not None:
            del group.targets[target]  # moved to the end, so that each target has its turn
            group.targets[target] = None
            target.stage = POLLED
            self._scheduler.plan(target, now)
        return target

    def take_single_result(self, target: PollTarget, result: PollResult, now: float) -> bool:
        """Return whether waits need a single poll's result: not if it only confirms the list."""
        group = target.group
        if group is None or group.check is None or group.check.key != target.key:
            return True
        is_needed = group.check.take_single_result(target, result, list_is_polled=bool(group.stage))
        return is_needed or next_due(target) <= now

    def _plan(self, targets: Iterable[PollTarget], now: float) -> Iterator[Step]:
        """Plan targets anew; yield each target to poll at once, and None for any other."""
        for target in targets:
            yield target if target.waits and self._scheduler.plan(target, now) else None
