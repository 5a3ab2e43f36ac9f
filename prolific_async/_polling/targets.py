"""What the poller works on: the targets that waiters share, and the groups of these."""

from __future__ import annotations

import asyncio
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prolific_async._polling.list_checks import Check
    from prolific_async._polling.waiter import Waiter

APART = 60.0
"""Seconds until what was not polled as a group is tried so again."""
HEAVY = 100_000
"""Bytes of a group search for each target that it serves, above which it is too heavy."""
REFUSALS = 3
"""Refused group polls in a row after which the group is polled singly."""
QUEUED, SENT, SHOWN = 1, 2, 3
"""What a poll is: still held back somewhere, with the service, or being shown to its waiters."""


class GroupResult:
    """What a poll of a group saw, by key, or why it saw nothing."""

    def __init__(
        self,
        found: Mapping[str, Any] = MappingProxyType({}),
        size: int = 0,
        *,
        failure: str | None = None,
        refused_for: float | None = None,
        again: bool = False,
        gave_up: str | None = None,
    ) -> None:
        """Take what was found.

        Args:
            found: What was seen, by key.
            size: Bytes of the answer.
            failure: Why nothing was seen, None when it was.
            refused_for: Seconds to hold back after the service refused the poll as one too many.
            again: Whether another poll at once may show what this one did not.
            gave_up: Why it did not go on to see more, None when it saw all that it could.

        """
        self.found = found
        self.size = size
        self.failure = failure
        self.refused_for = refused_for
        self.again = again
        self.gave_up = gave_up


class Pollable:
    """What can be polled, and its poll.

    Attributes:
        when: Its time in the timetable.
        order: Which of its places there is the newest.
        busy: Whether there is a poll of it: 0, QUEUED, SENT or SHOWN.
        sent_at: When that poll was sent, or was to be sent.
        task: Makes that poll, once it is no more queued in the poller.

    """

    __slots__ = ("busy", "order", "sent_at", "task", "when")

    def __init__(self) -> None:
        self.when = math.inf
        self.order = 0
        self.busy = 0
        self.sent_at = -math.inf
        self.task: asyncio.Task[None] | None = None

    def set_out(self) -> None:
        """Note that the poll is sent, of several requests the first."""
        if self.busy != SENT:
            self.busy = SENT
            self.sent_at = asyncio.get_running_loop().time()

    def come_back(self) -> None:
        """Note that the poll is over."""
        self.busy = 0
        self.task = None

    def stop(self) -> None:
        """End the poll."""
        task = self.task
        self.come_back()
        if task is not None:
            task.cancel()


class PollTarget(Pollable):
    """A key, and who waits for it.

    After a failed poll nobody polls it for a pause, the shortest that one of those wants who wait:
    neither who comes meanwhile, nor who asks for a poll now.
    """

    __slots__ = (
        "alone_until",
        "asked",
        "group",
        "key",
        "not_before",
        "seen",
        "seen_at",
        "waiters",
        "whole",
    )

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.waiters: dict[Waiter, asyncio.Future[None]] = {}
        self.asked = False  # for a poll now
        self.whole = False  # whether the planned poll is, so that who joins need not ask the others
        self.seen: Any = None  # newest, failed or not
        self.seen_at = -math.inf
        self.not_before = -math.inf
        self.group: WorkspaceGroup | None = None
        self.alone_until = -math.inf  # as polls of its group did not show it

    def wants(self) -> tuple[float, float, bool]:
        """Return when its waiters want a poll, and to be expired, and if that poll is a whole one.

        Each is that of the most eager one.
        """
        due = deadline = math.inf
        whole = False
        for waiter in self.waiters:
            if (theirs := waiter.due) is not None and theirs < due:
                due = theirs
            if (theirs := waiter.deadline) is not None and theirs < deadline:
                deadline = theirs
            whole = whole or waiter.wants_whole
        return max(-math.inf if self.asked else due, self.not_before), deadline, whole

    def tells(self, waiter: Waiter, now: float) -> bool:
        """Tell whether a waiter that comes takes the newest poll, or its failure, as its own."""
        return now - self.seen_at < waiter.fresh or now < self.not_before

    def pause(self) -> None:
        """Hold polls back after a failed one."""
        self.not_before = min((waiter.again_at for waiter in self.waiters), default=-math.inf)

    @property
    def wants_whole(self) -> bool:
        """Whether one of its waiters wants a single, whole poll."""
        for waiter in self.waiters:  # noqa: SIM110 - any costs several times as much
            if waiter.wants_whole:
                return True
        return False

    def fits_group(self, now: float) -> bool:
        """Tell whether a poll of its group would do for it."""
        return self.alone_until <= now and not self.wants_whole

    def is_held(self, now: float) -> bool:
        """Tell whether the poll that it would see is held back."""
        busy = self.polled(now)
        if not busy and now <= self.not_before:
            return True
        if busy or self.group is None:
            return busy == QUEUED
        # Not whether its group is still polled as a group: that may have shrunk just now.
        return now < self.group.held_until and self.fits_group(now)

    def polled(self, now: float) -> int:
        """Tell how busy what makes the poll is that it will see: itself or its group."""
        if self.busy or self.group is None or not self.group.busy or not self.fits_group(now):
            return self.busy
        return self.group.busy


class WorkspaceGroup(Pollable):
    """Targets that can be polled as a group, and whether they are.

    They are while they are ``few`` or more, and a poll of them as one works: not for ``APART``
    seconds after one that failed, that was refused for the ``REFUSALS``-th time in a row, or that
    was too heavy for what it served, which none is where ``few`` is 1.
    """

    __slots__ = (
        "apart_until",
        "check",
        "few",
        "first",
        "held_until",
        "missed",
        "name",
        "refusals",
        "targets",
        "told",
    )

    def __init__(self, name: str | None, few: float, check: Check | None = None) -> None:
        """Take the name, None for the group of those of which nothing is known."""
        super().__init__()
        self.name = name
        self.few = few
        self.check = check
        self.targets: dict[PollTarget, None] = {}
        self.first: PollTarget | None = None  # whose time its place is
        self.missed = False  # somebody came, or its time did, while a poll of it was shown
        self.apart_until = -math.inf
        self.held_until = -math.inf  # after a refusal
        self.refusals = 0
        self.told = ""

    def is_one(self, now: float) -> bool:
        """Tell whether its targets are polled as a group."""
        return len(self.targets) >= self.few and now >= self.apart_until

    def take_apart(self, now: float) -> None:
        """Have its targets polled singly for a while, or for longer if that was decided before."""
        self.apart_until = max(self.apart_until, now + APART)

    def to_check(self, poll: GroupResult, now: float) -> PollTarget | None:
        """Return the target to poll singly after a poll of the group, if a check is due."""
        if self.check is None or not self.is_one(now):
            return None
        target = self.check.choose(self.targets, poll.found, now)
        if target is not None:
            del self.targets[target]  # to the end, so that each has its turn
            self.targets[target] = None
        return target

    def is_due(self, now: float) -> bool:
        """Tell whether the poll that it was placed for is still wanted."""
        first = self.first
        if first not in self.targets or first.busy or not first.fits_group(now):
            return False
        return first.wants()[0] <= now

    def judge(self, poll: GroupResult, served: int, now: float) -> str | None:
        """Decide how to go on after a poll, and return what is news about that."""
        reason = poll.failure
        if poll.refused_for is not None:
            self.refusals += 1
            if self.refusals < REFUSALS:
                self.held_until = now + poll.refused_for
                return self._news(f"are held back for {poll.refused_for:.3g} s: {reason}")
        elif reason is None and self.few > 1 and poll.size > HEAVY * max(served, 1):
            reason = f"{poll.size} bytes for {served} are too heavy"
        self.refusals = 0
        if reason is not None:
            self.take_apart(now)
        reason = reason or poll.gave_up
        if reason is None:
            return self._news("are polled as a group")
        return self._news(f"are polled singly for {APART:g} s: {reason}")

    def _news(self, text: str) -> str | None:
        told, self.told = self.told, text
        return None if text == told else text
