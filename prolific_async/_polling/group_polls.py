"""Polls of a group as one: what each is for, what it shows, and how to go on after it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prolific_async._json.slices import TimeSlices
from prolific_async._logging import log as _log
from prolific_async._polling import bugs
from prolific_async._polling.sliced_work import chunks
from prolific_async._polling.targets import (
    APART,
    QUEUED,
    SHOWN,
    GroupResult,
    PollTarget,
    WorkspaceGroup,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from prolific_async._polling.schedule import Schedule

PATIENCE = 0.5
"""Seconds that a group poll may last at least, before it counts as too slow."""


class GroupPolls:
    """Polls groups, shows their targets what was seen, and checks that against single polls."""

    def __init__(
        self,
        poll_group: Callable[
            [str | None, list[str], Callable[[str], bool], float, Callable[[], None]],
            Awaitable[GroupResult],
        ],
        schedule: Schedule,
        targets: Mapping[str, PollTarget],
        at_once: int,
        show: Callable[[PollTarget, Any, float, float], Iterator[None] | None],
        poll_singly: Callable[[list[PollTarget | WorkspaceGroup]], None],
    ) -> None:
        """Take what polls a group, and what the poller does with single targets.

        Args:
            poll_group: Polls a group, as in ``Poller``.
            schedule: Plans what comes next.
            targets: All that somebody waits for, by key.
            at_once: Polls under way at most.
            show: Shows an target what a poll saw; returns the steps if its waiters are many.
            poll_singly: Starts single polls.

        """
        self._poll_group = poll_group
        self._schedule = schedule
        self._targets = targets
        self._at_once = at_once
        self._show = show
        self._poll_singly = poll_singly
        self._single_seconds = 0.1

    def note_single(self, seconds: float) -> None:
        """Note how long a single poll took."""
        self._single_seconds += (seconds - self._single_seconds) / 8

    async def poll(self, group: WorkspaceGroup, loop: asyncio.AbstractEventLoop) -> None:
        """Poll a group, if it has targets for which that would do."""
        try:
            served, keys = await self._served(group, loop.time())
        except Exception as error:  # noqa: BLE001 - a bug, which must not become a hang
            self._schedule.take_apart(group, error, loop.time())
            self._schedule.arm()
            return
        if not served:
            group.come_back()
            self._schedule.plan_all(group, loop.time())  # who came meanwhile
            self._schedule.arm()
            return
        asked = [target for target in served if target.asked]
        for target in asked:
            target.asked = False
        try:
            poll = await self._poll_group(
                group.name,
                keys,
                self._targets.__contains__,
                self._patience(group, len(keys)),
                group.set_out,
            )
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("the poll of %s as one is broken", group.name, exc_info=error)
            poll = GroupResult(failure=repr(error))
        group.come_back()
        for target in asked:  # one that it did not show still needs a poll
            target.asked = target.asked or target.key not in poll.found
        group.busy = SHOWN  # those who have not seen it yet want no other poll
        self._schedule.work.do(self._show_or_take_apart(group, poll, loop.time()))
        self._schedule.arm()

    def is_news(self, target: PollTarget, seen: Any, now: float) -> bool:
        """Tell whether a single poll is one that waiters want to see, and not a mere check."""
        group = target.group
        if group is None or group.check is None:
            return True
        is_news = group.check.take(target, seen, group_is_polled=bool(group.busy))
        return is_news or target.wants()[0] <= now

    async def _served(
        self, group: WorkspaceGroup, now: float
    ) -> tuple[list[PollTarget], list[str]]:
        """Return the targets that a poll of a group is for, and their keys."""
        slices = TimeSlices()
        served: list[PollTarget] = []
        keys: list[str] = []
        for some in chunks(list(group.targets)):
            fit = [one for one in some if not one.busy and one.fits_group(now)]
            served += fit
            keys += [one.key for one in fit]
            await slices.yield_if_due()
        return served, keys

    def _show_or_take_apart(
        self, group: WorkspaceGroup, poll: GroupResult, now: float
    ) -> Iterator[None]:
        try:
            yield from self._show_group(group, poll, now)
        except bugs.BUGS as error:  # in no task, which nobody cancels
            self._schedule.take_apart(group, error, now)

    def _show_group(  # noqa: C901, PLR0912 - one loop over all, which is hot
        self, group: WorkspaceGroup, poll: GroupResult, now: float
    ) -> Iterator[None]:
        """Let a group see what a poll of it saw, and decide how to go on with it."""
        targets = list(group.targets)  # those that came meanwhile, too
        news = group.judge(poll, len(targets), now)
        if news is not None:
            _log.info("%s: %d %s", group.name or "unknown", len(targets), news)
        if not poll.found:
            group.busy = 0
        if group.name is None:
            yield from self._schedule.group_all(targets)
        unseen: list[PollTarget] = []
        for some in chunks(targets):
            for target in some:
                if self._targets.get(target.key) is not target:  # ended by what a waiter did
                    continue
                seen = poll.found.get(target.key)
                if seen is not None:
                    target.alone_until = -math.inf
                elif poll.failure is None and not poll.again:
                    target.alone_until = now + APART
                if target.busy or target.wants_whole:  # it has a poll of its own
                    continue
                if seen is None:
                    unseen.append(target)
                elif (steps := self._show(target, seen, now, group.sent_at)) is not None:
                    yield from steps
            yield
        if group.busy == SHOWN:
            group.busy = 0
        if group.missed:
            unseen = list(group.targets)
        group.missed = False
        yield from self._schedule.planning(unseen, now)
        self._check(group, poll, now)

    def _check(self, group: WorkspaceGroup, poll: GroupResult, now: float) -> None:
        """Check a poll of a group against a single poll, once a minute."""
        if group.check is None or poll.failure is not None:
            return
        if (key := group.check.lags(poll.found)) is not None:
            _log.warning(
                "%s: the list shows %s in an older state than a single poll did more than a gap "
                "ago; all are polled singly from now on",
                group.name,
                key,
            )
            self._schedule.distrust(group, now)
        elif (target := group.to_check(poll, now)) is not None:
            target.busy = QUEUED
            self._schedule.plan(target, now)
            self._poll_singly([target])

    def _patience(self, group: WorkspaceGroup, served: int) -> float:
        """Return the seconds in which single polls would have served as many, generously."""
        if group.few <= 1:
            return math.inf
        singly = self._single_seconds * math.ceil(served / self._at_once)
        return max(2 * singly, PATIENCE)
