"""Rules of a wait, without I/O or a clock: its methods get poll results and the loop time."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from prolific_async._http.retry import capped_retry_after, may_poll_again, pauses
from prolific_async._logging import log as _log
from prolific_async._message_parts import brief
from prolific_async._polling.error_summaries import summary
from prolific_async._polling.kinds import BATCH_VERDICT, complete_wait_error, id_of, named
from prolific_async.errors import (
    NotFoundError,
    ProlificError,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prolific_async._polling.deadline import Deadline
    from prolific_async._polling.kinds import ErrorArgs, Event, Verdict
    from prolific_async._polling.poll_results import PollResult
    from prolific_async._polling.wait_listeners import WaitListeners
    from prolific_async.models import WaitStatus
    from prolific_async.policies import PollPolicy, RetryPolicy

_KEPT_EVENTS = 20
_EARLY = 0.001  # seconds by which a loop's timers may be early, as uvloop's are

_PollContext: TypeAlias = tuple[
    "WaitStatus | None", float
]  # status before it, seconds since the start


@define(eq=False, repr=False, weakref_slot=False, kw_only=True)
class Wait:
    """One wait for a batch, dataset or job, from its first poll to its outcome.

    Attributes:
        key: Kind and id of its target (``kinds.Key``), of a batch the id alone.
        workspace_id: The batch's workspace, None if unknown when the wait began.
        time: Its start and deadline.
        policy: Gaps between polls, grace periods and the number of failures to survive.
        retry: Pauses after failures, and the cap of ``Retry-After``.
        listeners: Called with its events, None for no listeners.
        verdict: What the target's statuses mean.
        not_found_until: Until when a 404 counts as pending, as the target was made only just now.
        random: Returns a number from 0 to 1, the share of the largest jitter.
        due: When the wait needs its next poll, inf for no more.
        deadline: When to call ``expire``, inf for never.
        needs_object: Whether polls must read the whole object, as one has shown an end status.
        pause_until: When the pause after a failed poll is over for this wait.
        outcome: The object that the wait returns, or its error; None while it goes on.
        polls: Number of its polls so far.
        future: The future that its caller awaits; only the poller and the target use it.

    """

    key: Any
    workspace_id: str | None = None
    time: Deadline
    policy: PollPolicy
    retry: RetryPolicy
    listeners: WaitListeners | None = None
    verdict: Verdict = BATCH_VERDICT
    not_found_until: float = -math.inf
    random: Callable[[], float] = random.random
    due: float = field(init=False)
    deadline: float = field(init=False)
    pause_until: float = field(init=False)
    needs_object: bool = field(default=False, init=False)
    outcome: Any = field(default=None, init=False)
    polls: int = field(default=0, init=False)
    future: Any = field(default=None, init=False)
    _status: WaitStatus | None = field(default=None, init=False)
    _gap: float = field(init=False)
    _failures: int = field(default=0, init=False)
    _pauses: Iterator[float] | None = field(default=None, init=False)
    _uninitialised_since: float = field(default=math.inf, init=False)
    _ending: _PollContext | None = field(default=None, init=False)  # poll that showed an end status
    _events: list[Event] | None = field(default=None, init=False)
    _known: tuple[WaitStatus | None, ...] = field(init=False)  # statuses that need no warning

    def __attrs_post_init__(self) -> None:
        self.due = self.pause_until = self.time.started
        self.deadline = self.time.at
        self._gap = self.policy.initial
        self._known = self.verdict.pending

    def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
        """Take in the result of a poll sent at ``sent``, for this wait or for others."""
        if result.error is not None:
            self.pause_until = now + self._gap
        if self.time.polls_left != math.inf and sent < self.time.started:
            return  # with a timeout of 0, a wait makes a poll of its own
        if result.status is None and result.value is not None and self._status is None:
            return  # read for other waits, after an end status that this wait has not seen
        shared = self.due == math.inf or sent < self.due - _EARLY
        if self._ending is None:
            self._take_in(result, now, sent if shared else None)
        elif not shared or result.value is not None:
            self._follow_up(self._ending, result, now)

    def expire(self, now: float, *, cut: ProlificError | None = None, held: bool = False) -> None:
        """End the wait at its deadline, or allow a last poll that a blocked loop has prevented.

        Args:
            now: The loop time, well after the deadline if the loop was blocked.
            cut: The error of a poll that was sent and is cut off now, None for no such poll.
            held: Whether a poll is queued, or held back after a failure or 429.

        """
        ending = self._ending
        polling = cut is not None
        has_failed = ending is not None and self._status in self.verdict.failed
        late = self.time.missed_last_poll(now, self.due, on_its_way=polling or held)
        if late and not has_failed:
            self.time = self.time.extended(now, polling=polling)
            self.due, self.deadline = now, self.time.at
            return
        self._ending = None
        if ending is not None:
            if has_failed:
                self._end(ending, self.verdict.failure(self._error_args(now), None))
                return
            self._emit(ending, 0.0 if polling else None)
        if cut is not None:
            self.polls += 1
            self._emit((self._status, now - self.time.started), None, cut)
        self._time_out(now)

    def fail(self, error: Exception, now: float) -> None:
        """End the wait with a WaitFailedError, whose cause is the given error."""
        ending, self._ending = self._ending, None
        event = None if ending is None else self._emit(ending, None, later=True)
        self._set(WaitFailedError(*self._error_args(now)), error, event)

    def _take_in(self, result: PollResult, now: float, shared: float | None = None) -> None:
        """Take in a result; ``shared``: when another wait's poll was sent, None for an own poll."""
        status, error = result.status, result.error
        self.polls += 1
        poll = self._status, now - self.time.started
        if status is not None:
            self._status = status
        elif result.value is not None:
            status = self._status
        if error is not None:
            self._fail_poll(poll, error, now, shared=shared is not None)
            return
        self._failures, self._pauses = 0, None
        verdict = self.verdict
        if status in verdict.terminal:
            self._take_end(poll, result, now, is_ready=status in verdict.ready)
            return
        if self._status not in verdict.unstarted:
            self._uninitialised_since = math.inf
        else:
            self._uninitialised_since = min(self._uninitialised_since, now)
            if now - self._uninitialised_since >= self.policy.uninitialised_grace:
                self._end(poll, verdict.not_started(*self._error_args(now)))
                return
        if status not in self._known:
            self._known += (status,)
            shown = "no status" if status is None else f"the unseen status {brief(status)!r}"
            _log.warning("%s shows %s, which counts as pending", named(self.key), shown)
        self._plan_poll(poll, now, last=shared is not None and self.time.replaces_last_poll(shared))

    def _take_end(
        self, poll: _PollContext, result: PollResult, now: float, *, is_ready: bool
    ) -> None:
        """End the wait, or ask for a poll that reads the object if this poll did not read it."""
        value = result.value
        job = value if result.job is None else result.job
        if is_ready and value is not None:
            self._end(poll, value)
        elif not is_ready and job is not None:
            self._end(poll, self.verdict.failure(self._error_args(now), job))
        else:
            self._ending = poll
            self.needs_object = True
            self.due = now

    def _follow_up(self, ending: _PollContext, result: PollResult, now: float) -> None:
        """Take in the result of the poll that read the object after ``ending`` showed an end."""
        self._ending = None
        verdict, value, shown = self.verdict, result.value, self._status
        status = shown if result.status is None and value is not None else result.status
        if shown in verdict.ready and value is not None and status in verdict.ready:
            self._end(ending, value)
        elif shown in verdict.failed and (result.error is not None or status in verdict.failed):
            self._end(ending, verdict.failure(self._error_args(now), value))
        else:  # the newer response wins
            self._emit(ending, 0.0)
            if self.outcome is None:  # a callback may have ended the wait
                self._take_in(result, now)

    def _fail_poll(
        self, poll: _PollContext, error: ProlificError, now: float, *, shared: bool
    ) -> None:
        early = isinstance(error, NotFoundError) and now < self.not_found_until
        if shared and self.time.polls_left == math.inf and (early or may_poll_again(error)):
            self._emit(poll, None if self.due == math.inf else max(self.due - now, 0.0), error)
            return
        if early:
            self._plan_poll(poll, now, error)
            return
        if self._pauses is None:
            self._pauses = pauses(self.retry)
        self._failures += 1
        if not may_poll_again(error) or self._failures > self.policy.max_consecutive_failures:
            self._end(poll, WaitFailedError(*self._error_args(now)), error)
            return
        asked = capped_retry_after(error, self.retry)
        self._plan_poll(poll, now, error, max(next(self._pauses), asked), asked)

    def _plan_poll(
        self,
        poll: _PollContext,
        now: float,
        error: ProlificError | None = None,
        pause: float = 0.0,
        floor: float = 0.0,
        *,
        last: bool = False,
    ) -> None:
        """Plan the next poll after the gap or pause; a last poll sooner, but after ``floor`` s."""
        policy, gap, time = self.policy, self._gap, self.time
        self.pause_until = now + (max(gap, pause) if pause else gap)
        if time.polls_left != math.inf:
            self._count_down(poll, now, error, floor)
            return
        if gap < policy.maximum:
            self._gap = policy.next_gap(gap)
        gap = policy.jittered(gap, self.random())
        if not gap >= 0:
            raise ValueError(f"{type(policy).__name__}.jittered must return 0 s or more: {gap!r}")
        due = now + (max(gap, pause) if pause else gap)
        if due > time.last_poll:
            due = max(time.last_poll, now + floor)
        if last or now >= time.last_poll or due >= time.at:
            self.due = math.inf
            self._emit(poll, None, error)
        else:
            self.due = self.pause_until = due
            self._emit(poll, due - now, error)

    def _count_down(
        self, poll: _PollContext, now: float, error: ProlificError | None, floor: float
    ) -> None:
        """Use up one of ``polls_left``; plan the next poll without a gap, or time out."""
        self.time = self.time.after_poll()
        due = now + floor
        goes_on = self.time.polls_left > 0 and due < self.deadline
        self.due = self.pause_until = due if goes_on else math.inf
        self._emit(poll, floor if goes_on else None, error)
        if not goes_on:
            self._time_out(now)

    def _emit(
        self,
        poll: _PollContext,
        next_in: float | None,
        error: ProlificError | None = None,
        *,
        later: bool = False,
    ) -> Event:
        """Store and return the event of a poll; call the listeners unless ``later`` is true."""
        event = (self._status, poll[0], self.polls, poll[1], next_in, error)
        events = self._events
        if events is None:
            self._events = [event]  # a bounded deque would take 700 bytes at once
        else:
            if (before := events[-1])[-1] is not None:  # older events keep less of their errors
                events[-1] = (*before[:-1], summary(before[-1]))
            events.append(event)
            if len(events) > _KEPT_EVENTS:
                del events[0]
        if self.listeners is not None and not later:
            self.listeners.tell(event)
        return event

    def _end(self, poll: _PollContext, outcome: object, cause: ProlificError | None = None) -> None:
        self._set(outcome, cause, self._emit(poll, None, cause, later=True))

    def _set(self, outcome: object, cause: Exception | None, event: Event | None) -> None:
        if self.outcome is None:  # a callback may have ended the wait already
            self.due, self.outcome = math.inf, outcome
            if isinstance(outcome, WaitError):
                complete_wait_error(outcome, self.key, self._events or (), cause)
        if event is not None and self.listeners is not None:
            self.listeners.tell(event)

    def _time_out(self, now: float) -> None:
        newest = self._events[-1][-1] if self._events else None
        self._set(WaitTimeoutError(*self._error_args(now)), newest, None)

    def _error_args(self, now: float) -> ErrorArgs:
        """Return the first arguments of a WaitError; its events are added later."""
        return id_of(self.key), self._status, now - self.time.started, self.polls, ()
