"""What follows from a poll of a workspace's list, step by step, for the poller to do in slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from prolific_async._logging import log as _log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prolific_async._polling.poll_results import GroupResult, PollResult
    from prolific_async._polling.scheduler import Scheduler
    from prolific_async._polling.targets import Pollable, PollTarget, WorkspaceGroup

Step: TypeAlias = "tuple[PollTarget, PollResult] | Pollable | None"
"""A result to show to the waits of a target, something to poll, or nothing to do."""


def show_list(
    scheduler: Scheduler, group: WorkspaceGroup, result: GroupResult, now: float
) -> Iterator[Step]:
    """Yield the results to show and the single polls to make after a poll of a group's list."""
    targets = list(group.targets)  # those that came meanwhile, too
    if (news := group.take_result(result, now)) is not None:
        _log.info("%s", news)
    if group.name is None:
        for target in targets:
            if target.waits:
                scheduler.groups.of(target)
            yield None
    for target in targets:
        found = None
        if scheduler.targets.get(target.key) is target:  # else a callback has ended it
            found = group.result_of(target, result, now)
        yield None if found is None else (target, found)
    yield from plan_all(scheduler, group.end_showing(), now)
    if group.check is None or result.failure is not None:
        return
    if group.check.lags(result.found):
        _log.warning(
            "%s: the list shows %s in an older state than a single poll did more than a gap "
            "ago; all are polled singly from now on",
            group.name,
            group.check.key,
        )
        scheduler.groups.distrust(group)
        yield from plan_all(scheduler, list(group.targets), now)
    elif (to_check := scheduler.to_check(group, result, now)) is not None:
        yield to_check


def plan_all(scheduler: Scheduler, targets: list[PollTarget], now: float) -> Iterator[Step]:
    """Plan targets anew; yield those that are to be polled at once."""
    for target in targets:
        yield target if target.waits and scheduler.plan(target, now) else None
