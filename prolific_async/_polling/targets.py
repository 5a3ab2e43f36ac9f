"""Poll targets: a batch, dataset or job with its waits, and groups of batches of one workspace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from prolific_async._http.request import Poll

if TYPE_CHECKING:
    from prolific_async._polling.list_checks import ListCheck
    from prolific_async._polling.poll_results import GroupResult, PollResult
    from prolific_async._polling.wait import Wait

APART = 60.0
"""Seconds for which a group is polled singly, or a batch that its list did not show."""
HEAVY = 100_000
"""Bytes of a list for each batch that it serves, above which single polls are cheaper."""
REFUSALS = 3
"""Refused list polls in a row after which the group is polled singly."""
IDLE, POLLED, SHOWN = range(3)
"""Stages of a poll: none, queued or under way, and its result being shown to the waits."""


@define(eq=False, repr=False, weakref_slot=False)
class _Pollable(Poll):
    """Base of targets and groups: the stage of a poll, and the time when the next one is due.

    Attributes:
        stage: Stage of its poll: IDLE, POLLED or SHOWN.
        poll: The task that makes the poll; only the poller uses it.
        when: When it is due, inf for never; only the scheduler sets it.
        order: Tells its newest entry in the scheduler's heap from older ones; likewise.

    """

    stage: int = field(default=IDLE, init=False)
    poll: Any = field(default=None, init=False)
    when: float = field(default=math.inf, init=False)
    order: int = field(default=0, init=False)

    @property
    def is_sent(self) -> bool:
        """Whether it has a poll under way that was sent."""
        return self.poll is not None and self.sent_at is not None

    def cancel_poll(self) -> None:
        """Cancel its poll, if there is one."""
        task, self.poll, self.stage = self.poll, None, IDLE
        if task is not None:
            task.cancel()


@define(eq=False, repr=False, weakref_slot=False)
class PollTarget(_Pollable):
    """Something that is polled, such as a batch, and the waits that share its polls.

    After a failed poll it is not polled before the shortest pause of its waits is over, whoever
    joins or asks for a poll meanwhile.

    Attributes:
        key: Its kind and id (``kinds.Key``), of a batch the id alone.
        workspace_id: The batch's workspace, None if that is not known.
        waits: Its waits: a tuple for one alone, as a dict would take 200 bytes more.
        asked: Whether ``poll_now`` asked for a poll.
        whole: Whether a wait needs the whole batch, which a list is not read for.
        deadline: The first deadline of its waits.
        result: Result of the newest poll, None before the first.
        result_at: When it came.
        not_before: When the pause after a failed poll is over.
        is_placed: Whether it counts in its workspace: a newcomer does not until it is polled.
        group: Its group, None for a newcomer, and while it is alone in its workspace.
        alone_until: When its group's list, which did not show it, is tried for it again; inf for
            what no list shows.

    """

    key: Any
    workspace_id: str | None = None
    waits: tuple[Wait, ...] | dict[Wait, None] = field(default=(), init=False)
    asked: bool = field(default=False, init=False)
    whole: bool = field(default=False, init=False)
    deadline: float = field(default=math.inf, init=False)
    result: PollResult | None = field(default=None, init=False)
    result_at: float = field(default=-math.inf, init=False)
    not_before: float = field(default=-math.inf, init=False)
    is_placed: bool = field(default=False, init=False)
    group: WorkspaceGroup | None = field(default=None, init=False)
    alone_until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.alone_until = -math.inf if isinstance(self.key, str) else math.inf

    def add(self, wait: Wait) -> None:
        """Add a wait."""
        if not self.waits:
            self.waits = (wait,)
            return
        if isinstance(self.waits, tuple):
            self.waits = dict.fromkeys(self.waits)
        self.waits[wait] = None

    def remove(self, wait: Wait) -> bool:
        """Remove a wait; return whether it was there."""
        if wait not in self.waits:
            return False
        if isinstance(self.waits, tuple):
            self.waits = ()
        else:
            del self.waits[wait]
        return True

    def end(self, wait: Wait) -> None:
        """Remove a wait that is over, and let its caller go on."""
        if self.remove(wait):
            over, wait.over = wait.over, None
            if not over.done():
                over.set_result(None)

    def stands_for_first_poll(self, wait: Wait, now: float) -> bool:
        """Return whether the newest result, or the pause after it, spares a new wait its poll."""
        return now - self.result_at < wait.policy.initial or now < self.not_before

    def note_failure(self) -> None:
        """Begin the pause after a failed poll."""
        self.not_before = min((wait.again_at for wait in self.waits), default=-math.inf)

    def fits_group(self, now: float) -> bool:
        """Return whether a poll of its group's list would do for it."""
        return self.alone_until <= now and not self.whole

    def serving(self, now: float) -> Pollable:
        """Return the object to poll for this target: its group if that serves it, else itself."""
        group = self.group
        if self.stage or group is None or not group.stage or not self.fits_group(now):
            return self
        return group

    def is_held(self, now: float) -> bool:
        """Return whether a poll that it needs is held back: queued, or paused after a failure."""
        serving = self.serving(now)
        if serving.stage:
            return serving.stage == POLLED and not serving.is_sent
        if now <= self.not_before:
            return True
        # Whether the group is still polled by its list does not count: it may have shrunk just now.
        group = self.group
        return group is not None and now < group.held_until and self.fits_group(now)


@define(eq=False, repr=False, weakref_slot=False)
class WorkspaceGroup(_Pollable):
    """The poll targets of one workspace, and whether its list is polled for them.

    It is while they are ``few`` or more and its list works: not for ``APART`` seconds after a poll
    that failed, that was refused for the ``REFUSALS``-th time in a row, or that was too heavy for
    the number of batches it served. Where ``few`` is 1, no list is too heavy.

    Attributes:
        name: The workspace's id, None for batches whose workspace is not known.
        few: Targets from which on the list is polled.
        check: Checks the list against single polls, None for no checks.
        targets: Its targets; the next one to check is the first.
        first: The target that decides when the list is polled next.
        missed: Whether a target came, or was due, while a result was being shown.
        apart_until: When the list may be polled again after a failure.
        held_until: When it may be polled again after a 429.

    """

    name: str | None
    few: float
    check: ListCheck | None = None
    targets: dict[PollTarget, None] = field(factory=dict, init=False)
    first: PollTarget | None = field(default=None, init=False)
    missed: bool = field(default=False, init=False)
    apart_until: float = field(default=-math.inf, init=False)
    held_until: float = field(default=-math.inf, init=False)
    _asked: list[PollTarget] = field(factory=list, init=False)  # for the poll under way
    _unserved: list[PollTarget] = field(factory=list, init=False)  # by the result being shown
    _refusals: int = field(default=0, init=False)
    _told: str = field(default="", init=False)

    def add(self, target: PollTarget) -> None:
        """Add a target that is in no group."""
        self.targets[target] = None
        target.group = self
        if self.stage == SHOWN:  # it came too late for that
            self.missed = True

    def is_listed(self, now: float) -> bool:
        """Return whether its list is polled for its targets."""
        return len(self.targets) >= self.few and now >= self.apart_until

    def take_apart(self, now: float) -> None:
        """Poll its targets singly for a while, or for longer if that was decided before."""
        self.apart_until = max(self.apart_until, now + APART)

    def take_result(self, result: GroupResult, now: float) -> str | None:
        """Take in a poll of the list before its targets do; return a text to log if any."""
        self.stage = SHOWN if result.found else IDLE  # while it is shown, nobody needs another
        for target in self._asked:  # a target that it did not show still needs a poll
            target.asked = target.asked or target.key not in result.found
        self._asked = []
        return self._judge(result, now)

    def serve(self, target: PollTarget, now: float) -> bool:
        """Return whether a poll of the list that is sent now serves a target."""
        if target.stage or not target.fits_group(now):
            return False
        if target.asked:
            target.asked = False
            self._asked.append(target)
        return True

    def result_of(self, target: PollTarget, result: GroupResult, now: float) -> PollResult | None:
        """Return the result of a list poll for a target, None if it shows nothing that it needs."""
        found = result.found.get(target.key)
        if found is not None:
            target.alone_until = -math.inf
        elif result.failure is None and not result.again:
            target.alone_until = now + APART
        if target.stage or target.whole:  # it has a poll of its own
            return None
        if found is None:
            self._unserved.append(target)
        else:
            target.sent_at = self.sent_at
        return found

    def end_showing(self) -> list[PollTarget]:
        """Take in that all targets have seen a result; return those to plan anew."""
        if self.stage == SHOWN:
            self.stage = IDLE
        targets = list(self.targets) if self.missed else self._unserved
        self.missed, self._unserved = False, []
        return targets

    def _judge(self, result: GroupResult, now: float) -> str | None:
        """Decide how to go on after a poll of the list; return a text to log if that changed."""
        served = len(self.targets)
        reason = result.failure
        if result.refused_for is not None:
            self._refusals += 1
            if self._refusals < REFUSALS:
                self.held_until = now + result.refused_for
                return self._news(f"are held back for {result.refused_for:.3g} s: {reason}")
        elif reason is None and self.few > 1 and result.size > HEAVY * max(served, 1):
            reason = f"{result.size} bytes for {served} are too heavy"
        self._refusals = 0
        if reason is not None:
            self.take_apart(now)
        reason = reason or result.gave_up
        if reason is None:
            return self._news("are polled as a group")
        return self._news(f"are polled singly for {APART:g} s: {reason}")

    def _news(self, text: str) -> str | None:
        told, self._told = self._told, text
        return None if text == told else f"{self.name or 'unknown'}: {len(self.targets)} {text}"


Pollable: TypeAlias = PollTarget | WorkspaceGroup
