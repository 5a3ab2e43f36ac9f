"""The rules of one wait, without I/O and without a clock: it is told what was seen, and when.

A ``Wait`` says when it wants its next look and whether that must read the whole batch; what makes
the looks hands each to ``observe`` and reads ``outcome``. Times are those of the event loop.
"""

from __future__ import annotations

import logging
import math
import random
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from attrs import evolve, frozen

from prolific_async import _protocol
from prolific_async._retry import hint, look_again, pauses
from prolific_async.errors import (
    BatchFailedError,
    BatchNotSetUpError,
    NotFoundError,
    ProlificError,
    RequestTimeoutError,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.models import Batch, BatchStatus

if TYPE_CHECKING:
    from prolific_async.policies import PollPolicy, RetryPolicy

_log = logging.getLogger("prolific_async")

_KEPT_EVENTS = 20
_LAST_LOOK = 1.0  # seconds before the deadline, at most
_LAST_LOOK_SHARE = 0.05  # of the time-out, for the short ones

_TERMINAL = (BatchStatus.READY, BatchStatus.ERROR)


@frozen
class StatusEvent:
    """One look of a wait.

    Attributes:
        batch_id: The batch that was looked at.
        status: The newest status known, None when there is none yet; a look that fails, or that
            the service answers without a status, leaves it as it was.
        previous: The newest status known before this look.
        polls: Looks of this wait so far, this one included.
        elapsed: Seconds from the start of the wait to this look's answer.
        next_in: Seconds from then to this wait's next look, None when this was the last.
        error: Why the look failed, survived or fatal; None when it did not.

    """

    batch_id: str
    status: BatchStatus | None
    previous: BatchStatus | None
    polls: int
    elapsed: float
    next_in: float | None
    error: ProlificError | None = None


class Look(NamedTuple):
    """What one look saw: a status, perhaps with the whole batch, or why it saw nothing."""

    status: BatchStatus | None = None
    batch: Batch | None = None
    error: ProlificError | None = None


class Wait:
    """One wait for one batch, from its first look to its outcome.

    Attributes:
        batch_id: The batch that is waited for.
        deadline: When the wait is over whatever it does, None for never.
        due: When it wants its next look, None when it wants no more.
        wants_batch: Whether that look must read the whole batch and not just its status.
        outcome: The READY batch, or the error that the wait ends with; None while it lasts.

    """

    def __init__(
        self,
        batch_id: str,
        *,
        poll: PollPolicy,
        retry: RetryPolicy,
        timeout: float | None,
        now: float,
        made_at: float | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Start a wait.

        Args:
            batch_id: The batch to wait for.
            poll: Gaps, graces and the failure budget.
            retry: Pauses after failures, and the cap of the service's hints.
            timeout: Seconds, None for no limit, 0 for one look.
            now: The time.
            made_at: When this client made the batch, None if it did not.
            rng: Source of jitter.

        """
        self.batch_id = batch_id
        # A wait of one look is bounded by that look's own request_timeout.
        self.deadline = now + timeout if timeout else None
        self.due: float | None = now
        self.outcome: Batch | WaitError | None = None
        self._one_look = timeout == 0
        self._last_look = (
            now + timeout - min(_LAST_LOOK, timeout * _LAST_LOOK_SHARE) if timeout else math.inf
        )
        self._poll = poll
        self._retry = retry
        self._started = now
        self._found_by = -math.inf if made_at is None else made_at + poll.not_found_grace
        self._gaps = poll.gaps(rng or random.Random())  # noqa: S311 - jitter, not a secret
        self._pauses = pauses(retry)
        self._status: BatchStatus | None = None
        self._polls = 0
        self._failures = 0
        self._uninitialised_since: float | None = None
        self._warned: set[BatchStatus | None] = set()
        self._events: deque[StatusEvent] = deque(maxlen=_KEPT_EVENTS)
        self._by_get = False
        # A look that showed an end, while the batch itself is still being read for it.
        self._ending: StatusEvent | None = None

    @property
    def wants_batch(self) -> bool:
        """Whether the next look must read the whole batch."""
        return self._by_get or self._ending is not None

    def observe(self, look: Look, now: float) -> list[StatusEvent]:
        """Take in what a look saw and return the events to tell: none, one or two."""
        if self._ending is not None:
            return self._follow_up(self._ending, look, now)
        event = self._counted(look, now)
        if look.error is not None:
            return [self._failed(event, look.error, now)]
        self._failures = 0
        if look.status in _TERMINAL:
            if look.batch is None:
                self._ending = event
                self.due = now
                return []
            return [self._end(event, self._terminal(look, now))]
        if self._status is BatchStatus.UNINITIALISED:
            if self._uninitialised_since is None:
                self._uninitialised_since = now
            if now - self._uninitialised_since >= self._poll.uninitialised_grace:
                return [self._end(event, BatchNotSetUpError(*self._story(now)))]
        else:
            self._uninitialised_since = None
        self._warn_unless_known(look.status)
        return [self._go_on(event, now)]

    def expire(self, now: float, *, looking: bool) -> list[StatusEvent]:
        """End the wait because its time is over, perhaps in the middle of a look."""
        ending, self._ending = self._ending, None
        events: list[StatusEvent] = []
        if ending is not None:
            if ending.status is BatchStatus.ERROR:
                return [self._end(ending, BatchFailedError(*self._story(now)))]
            events.append(self._told(ending, 0.0))
        if looking:
            request = _protocol.look(self.batch_id, whole=self._by_get or ending is not None)
            cut = RequestTimeoutError(request.method, request.path, "the wait's time was over")
            events.append(self._told(self._counted(Look(error=cut), now), None))
        self._time_out(now)
        return events

    def fail(self, error: ProlificError, now: float) -> None:
        """End the wait because nobody will look any more."""
        self._set(WaitFailedError(*self._story(now)), error)

    def _follow_up(self, ending: StatusEvent, look: Look, now: float) -> list[StatusEvent]:
        """Take in the read of the whole batch that a status of READY or ERROR asked for."""
        self._ending = None
        if ending.status is BatchStatus.ERROR:
            return [self._end(ending, BatchFailedError(*self._story(now), look.batch))]
        if look.batch is not None and look.status is BatchStatus.READY:
            return [self._end(ending, look.batch)]
        self._by_get = True
        return [self._told(ending, 0.0), *self.observe(look, now)]

    def _counted(self, look: Look, now: float) -> StatusEvent:
        self._polls += 1
        previous = self._status
        if look.status is not None:
            self._status = look.status
        return StatusEvent(
            self.batch_id,
            self._status,
            previous,
            self._polls,
            now - self._started,
            None,
            look.error,
        )

    def _terminal(self, look: Look, now: float) -> Batch | WaitError:
        if look.status is BatchStatus.READY and look.batch is not None:
            return look.batch
        return BatchFailedError(*self._story(now), look.batch)

    def _failed(self, event: StatusEvent, error: ProlificError, now: float) -> StatusEvent:
        if isinstance(error, NotFoundError) and now < self._found_by:
            return self._go_on(event, now)
        if self._failures == 0:
            self._pauses = pauses(self._retry)
            next(self._pauses)
        self._failures += 1
        if not look_again(error) or self._failures > self._poll.max_consecutive_failures:
            return self._end(event, WaitFailedError(*self._story(now)), error)
        return self._go_on(event, now, self._pauses.send(error), hint(error, self._retry))

    def _go_on(
        self, event: StatusEvent, now: float, pause: float = 0.0, floor: float = 0.0
    ) -> StatusEvent:
        """Plan the next look: after the gap, shortened for the last one, never below the floor."""
        gap = max(next(self._gaps), pause)
        due = max(min(now + gap, self._last_look), now + floor)
        if self._one_look:
            self.due = None
            event = self._told(event, None)
            self._time_out(now)
            return event
        over = now >= self._last_look or (self.deadline is not None and due >= self.deadline)
        self.due = None if over else due
        return self._told(event, None if over else due - now)

    def _end(
        self, event: StatusEvent, outcome: Batch | WaitError, cause: ProlificError | None = None
    ) -> StatusEvent:
        event = self._told(event, None)
        self._set(outcome, cause)
        return event

    def _set(self, outcome: Batch | WaitError, cause: ProlificError | None = None) -> None:
        self.due = None
        self.outcome = outcome
        if isinstance(outcome, WaitError):
            outcome.events = tuple(self._events)
            outcome.__cause__ = cause

    def _time_out(self, now: float) -> None:
        newest = self._events[-1].error if self._events else None
        self._set(WaitTimeoutError(*self._story(now)), newest)

    def _told(self, event: StatusEvent, next_in: float | None) -> StatusEvent:
        event = evolve(event, next_in=next_in)
        self._events.append(event)
        return event

    def _story(self, now: float) -> tuple[str, BatchStatus | None, float, int, tuple[()]]:
        """Return what every WaitError tells; the events are added when it is settled."""
        return self.batch_id, self._status, now - self._started, self._polls, ()

    def _warn_unless_known(self, status: BatchStatus | None) -> None:
        if status in BatchStatus.__members__.values() or status in self._warned:
            return
        self._warned.add(status)
        shown = "no status" if status is None else f"the unseen status {status!r}"
        _log.warning("batch %s shows %s, which counts as pending", self.batch_id, shown)
