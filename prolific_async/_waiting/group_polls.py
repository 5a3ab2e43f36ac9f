"""Polls of a group as one: what each is for, what it shows, and how to go on after it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prolific_async._logs import log as _log
from prolific_async._waiting import bugs
from prolific_async._waiting.entries import APART, QUEUED, SHOWN, Entry, Group, GroupLook
from prolific_async._waiting.work import chunks
from prolific_async._wire.turns import Turns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from prolific_async._waiting.schedule import Schedule

PATIENCE = 0.5
"""Seconds that a group look may last at least, before it counts as too slow."""


class GroupPolls:
    """Polls groups, shows their entries what was seen, and checks that against single polls."""

    def __init__(
        self,
        look_as_one: Callable[
            [str | None, list[str], Callable[[str], bool], float, Callable[[], None]],
            Awaitable[GroupLook],
        ],
        schedule: Schedule,
        entries: Mapping[str, Entry],
        at_once: int,
        show: Callable[[Entry, Any, float, float], Iterator[None] | None],
        poll_singly: Callable[[list[Entry | Group]], None],
    ) -> None:
        """Take what polls a group, and what the engine does with single entries.

        Args:
            look_as_one: Polls a group, as in ``Engine``.
            schedule: Plans what comes next.
            entries: All that somebody waits for, by key.
            at_once: Polls under way at most.
            show: Shows an entry what a poll saw; returns the steps if its waiters are many.
            poll_singly: Starts single polls.

        """
        self._look_as_one = look_as_one
        self._schedule = schedule
        self._entries = entries
        self._at_once = at_once
        self._show = show
        self._poll_singly = poll_singly
        self._single_seconds = 0.1

    def note_single(self, seconds: float) -> None:
        """Note how long a single poll took."""
        self._single_seconds += (seconds - self._single_seconds) / 8

    async def poll(self, group: Group, loop: asyncio.AbstractEventLoop) -> None:
        """Poll a group, if it has entries for which that would do."""
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
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("the look at %s as one is broken", group.name, exc_info=error)
            look = GroupLook(failure=repr(error))
        group.come_back()
        for entry in asked:  # one that it did not show still needs a poll
            entry.asked = entry.asked or entry.key not in look.found
        group.busy = SHOWN  # those who have not seen it yet want no other look
        self._schedule.work.do(self._show_or_take_apart(group, look, loop.time()))
        self._schedule.arm()

    def is_news(self, entry: Entry, seen: Any, now: float) -> bool:
        """Tell whether a single poll is one that waiters want to see, and not a mere check."""
        group = entry.group
        if group is None or group.check is None:
            return True
        is_news = group.check.take(entry, seen, group_is_polled=bool(group.busy))
        return is_news or entry.wants()[0] <= now

    async def _served(self, group: Group, now: float) -> tuple[list[Entry], list[str]]:
        """Return the entries that a poll of a group is for, and their keys."""
        turns = Turns()
        served: list[Entry] = []
        keys: list[str] = []
        for some in chunks(list(group.entries)):
            fit = [one for one in some if not one.busy and one.fits_group(now)]
            served += fit
            keys += [one.key for one in fit]
            await turns.give()
        return served, keys

    def _show_or_take_apart(self, group: Group, look: GroupLook, now: float) -> Iterator[None]:
        try:
            yield from self._show_group(group, look, now)
        except bugs.BUGS as error:  # in no task, which nobody cancels
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
            self._poll_singly([entry])

    def _patience(self, group: Group, served: int) -> float:
        """Return the seconds in which single looks would have served as many, generously."""
        if group.few <= 1:
            return math.inf
        singly = self._single_seconds * math.ceil(served / self._at_once)
        return max(2 * singly, PATIENCE)
