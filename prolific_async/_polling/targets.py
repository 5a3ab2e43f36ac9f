"""Poll targets: a batch, dataset or job with its waits, and groups of batches of one workspace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from prolific_async._http.request import PollTiming

if TYPE_CHECKING:
    from prolific_async._polling.list_checks import ListCheck
    from prolific_async._polling.poll_results import GroupResult, PollResult
    from prolific_async._polling.wait import Wait

SINGLY_SECONDS = 60.0
"""Seconds of single polls after a list failed, or for a batch that the list did not show."""
HEAVY = 100_000
"""Bytes of a list for each batch that it serves, above which single polls are cheaper."""
REFUSALS = 3
"""List polls in a row that are answered with 429 before the group is polled singly."""
IDLE, POLLED, SHOWN = range(3)
"""Stages of a poll: none, queued or under way, and its result being shown to the waits."""


@define(eq=False, repr=False, weakref_slot=False)
class _Pollable(PollTiming):
    """Base of targets and groups: the stage of the poll, and the time when the scheduler acts.

    Attributes:
        stage: Stage of its poll: IDLE, POLLED or SHOWN.
        task: The task that makes the poll, None for none; only the poller uses it.
        when: When the scheduler acts on it next, inf for never; only the scheduler sets it.
        order: Number of its newest entry in the scheduler's heap; only the scheduler sets it.

    """

    stage: int = field(default=IDLE, init=False)
    task: Any = field(default=None, init=False)
    when: float = field(default=math.inf, init=False)
    order: int = field(default=0, init=False)

    @property
    def is_sent(self) -> bool:
        """Whether the request of the poll was sent, and the poll is still under way."""
        return self.task is not None and self.sent_at is not None

    def cancel_poll(self) -> None:
        """Cancel the poll under way, if there is one."""
        task, self.task, self.stage = self.task, None, IDLE
        if task is not None:
            task.cancel()


@define(eq=False, repr=False, weakref_slot=False)
class PollTarget(_Pollable):
    """A batch, dataset or job that is polled, and the waits that share its polls.

    After a failed poll it is not polled before the shortest pause of its waits is over, even if a
    wait joins or ``poll_now`` is called meanwhile.

    Attributes:
        key: Its kind and id (``kinds.Key``), of a batch the id alone.
        workspace_id: The batch's workspace, None if unknown.
        waits: Its waits: a tuple for a single wait, as a dict would take 200 bytes more.
        poll_requested: Whether ``poll_now`` asked for a poll.
        needs_object: Whether a wait needs the whole object; then a list does not serve the target.
        deadline: The earliest deadline of its waits.
        result: Result of the newest poll, None before the first.
        result_at: When the newest result came.
        not_before: When the pause after a failed poll is over.
        is_registered: Whether it is in ``Groups.by_workspace``, itself or in a group; false for a
            new target until its first poll is due.
        group: Its group, None while it is new or alone in its workspace.
        singly_until: Until when it is polled singly because its group's list did not show it; inf
            for a dataset or job, which no list shows.

    """

    key: Any
    workspace_id: str | None = None
    waits: tuple[Wait, ...] | dict[Wait, None] = field(default=(), init=False)
    poll_requested: bool = field(default=False, init=False)
    needs_object: bool = field(default=False, init=False)
    deadline: float = field(default=math.inf, init=False)
    result: PollResult | None = field(default=None, init=False)
    result_at: float = field(default=-math.inf, init=False)
    not_before: float = field(default=-math.inf, init=False)
    is_registered: bool = field(default=False, init=False)
    group: WorkspaceGroup | None = field(default=None, init=False)
    singly_until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.singly_until = -math.inf if isinstance(self.key, str) else math.inf

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
        """Remove a wait that is over, and complete the future that its caller awaits."""
        if self.remove(wait):
            future, wait.future = wait.future, None
            if not future.done():
                future.set_result(None)

    def can_use_newest_result(self, wait: Wait, now: float) -> bool:
        """Return whether a new wait uses the newest result instead of a first poll of its own."""
        return now - self.result_at < wait.policy.initial or now < self.not_before

    def note_failure(self) -> None:
        """Begin the pause after a failed poll: until the earliest ``pause_until`` of the waits."""
        self.not_before = min((wait.pause_until for wait in self.waits), default=-math.inf)

    def fits_group(self, now: float) -> bool:
        """Return whether a poll of the group's list would serve this target."""
        return self.singly_until <= now and not self.needs_object

    def serving(self, now: float) -> Pollable:
        """Return its group if the group's poll serves this target now, else the target itself."""
        group = self.group
        if self.stage or group is None or not group.stage or not self.fits_group(now):
            return self
        return group

    def is_held(self, now: float) -> bool:
        """Return whether this target's next poll is queued, or held back by a failure or a 429."""
        serving = self.serving(now)
        if serving.stage:
            return serving.stage == POLLED and not serving.is_sent
        if now <= self.not_before:
            return True
        # Not ``is_listed``: the group may have shrunk just now.
        group = self.group
        return group is not None and now < group.held_until and self.fits_group(now)


@define(eq=False, repr=False, weakref_slot=False)
class WorkspaceGroup(_Pollable):
    """The poll targets of one workspace, and whether its list is polled for them.

    The list is polled while there are at least ``list_threshold`` targets, but not for
    ``SINGLY_SECONDS`` after a list poll that failed, that was the ``REFUSALS``-th 429 in a row, or
    whose response was too large for the number of targets. With ``list_threshold`` 1, no response
    is too large.

    Attributes:
        name: The workspace's id, None for batches whose workspace is not known.
        list_threshold: Least number of targets for which the list is polled.
        check: Checks the list against single polls, None for no checks.
        targets: Its targets; the first is the next to be checked.
        due_target: The target that decides when the list is polled next.
        must_replan: Whether all targets must be planned anew after the result is shown, as a target
            joined or became due meanwhile.
        singly_until: Until when all targets are polled singly.
        held_until: When the list may be polled again after a 429.

    """

    name: str | None
    list_threshold: float
    check: ListCheck | None = None
    targets: dict[PollTarget, None] = field(factory=dict, init=False)
    due_target: PollTarget | None = field(default=None, init=False)
    must_replan: bool = field(default=False, init=False)
    singly_until: float = field(default=-math.inf, init=False)
    held_until: float = field(default=-math.inf, init=False)
    _requested: list[PollTarget] = field(factory=list, init=False)  # for the poll under way
    _unserved: list[PollTarget] = field(factory=list, init=False)  # missing from the result shown
    _refusals: int = field(default=0, init=False)
    _told: str = field(default="", init=False)

    def add(self, target: PollTarget) -> None:
        """Add a target that is in no group."""
        self.targets[target] = None
        target.group = self
        if self.stage == SHOWN:  # too late for the result being shown
            self.must_replan = True

    def is_listed(self, now: float) -> bool:
        """Return whether the targets are polled by their workspace's list, not singly."""
        return len(self.targets) >= self.list_threshold and now >= self.singly_until

    def poll_singly(self, now: float) -> None:
        """Poll its targets singly for ``SINGLY_SECONDS``, or longer if already decided."""
        self.singly_until = max(self.singly_until, now + SINGLY_SECONDS)

    def take_result(self, result: GroupResult, now: float) -> str | None:
        """Take in the result of a list poll; return a text to log, None for none."""
        self.stage = SHOWN if result.found else IDLE  # no poll begins while a result is shown
        for target in self._requested:  # a target missing from the list still needs a poll
            target.poll_requested = target.poll_requested or target.key not in result.found
        self._requested = []
        return self._judge(result, now)

    def serve(self, target: PollTarget, now: float) -> bool:
        """Return whether a list poll sent now serves a target; if so, clear ``poll_requested``."""
        if target.stage or not target.fits_group(now):
            return False
        if target.poll_requested:
            target.poll_requested = False
            self._requested.append(target)
        return True

    def result_of(self, target: PollTarget, result: GroupResult, now: float) -> PollResult | None:
        """Return a target's result from a list poll, None if missing or not needed."""
        found = result.found.get(target.key)
        if found is not None:
            target.singly_until = -math.inf
        elif result.failure is None and not result.again:
            target.singly_until = now + SINGLY_SECONDS
        if target.stage or target.needs_object:  # the target is polled singly
            return None
        if found is None:
            self._unserved.append(target)
        else:
            target.sent_at = self.sent_at
        return found

    def end_showing(self) -> list[PollTarget]:
        """Mark the result as seen by all waits; return the targets to plan anew."""
        if self.stage == SHOWN:
            self.stage = IDLE
        targets = list(self.targets) if self.must_replan else self._unserved
        self.must_replan, self._unserved = False, []
        return targets

    def _judge(self, result: GroupResult, now: float) -> str | None:
        """Decide how the targets are polled from now on; return a text to log if that changed."""
        served = len(self.targets)
        reason = result.failure
        if result.refused_for is not None:
            self._refusals += 1
            if self._refusals < REFUSALS:
                self.held_until = now + result.refused_for
                return self._text_if_changed(
                    f"are not polled for {result.refused_for:.3g} s: {reason}"
                )
        elif reason is None and self.list_threshold > 1 and result.size > HEAVY * max(served, 1):
            reason = f"the list has {result.size} bytes, too many for {served} batches"
        self._refusals = 0
        if reason is not None:
            self.poll_singly(now)
        reason = reason or result.gave_up
        if reason is None:
            return self._text_if_changed("are polled as a group")
        return self._text_if_changed(f"are polled singly for {SINGLY_SECONDS:g} s: {reason}")

    def _text_if_changed(self, text: str) -> str | None:
        told, self._told = self._told, text
        where = f"workspace {self.name}" if self.name else "unknown workspaces"
        return None if text == told else f"batches of {where} ({len(self.targets)}) {text}"


Pollable: TypeAlias = PollTarget | WorkspaceGroup
