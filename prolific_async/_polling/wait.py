"""The rules of one wait, without I/O and without a clock: it is told what was seen, and when.

A ``Wait`` says when it wants its next poll and whether that must read the whole batch; what makes
the polls hands each to ``observe`` and reads ``outcome``. Times are those of the event loop.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from prolific_async._api import requests
from prolific_async._http.retry import hint, may_poll_again, pauses
from prolific_async._polling.last_poll import LastPoll
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
    from collections.abc import Callable, Iterator

    from prolific_async._polling.history import Told
    from prolific_async._polling.poll_result import PollResult
    from prolific_async.models import StatusEvent
    from prolific_async.policies import PollPolicy, RetryPolicy

_EARLY = 0.001  # seconds by which a loop's timers may ring early, as uvloop's do

# By name and by identity, for the sake of the many polls that show nothing new: an enum's own
# attributes, hash and equality cost several times as much.
_UNINITIALISED, _PROCESSING, _READY, _ERROR = BatchStatus


class Wait(LastPoll):
    """One wait for one batch, from its first poll to its outcome.

    Attributes:
        key: The batch that is waited for.
        again_at: When the batch may be polled again after a failed poll, for all it wants.
        outcome: The READY batch, or the error that the wait ends with; None while it lasts.
        wants_whole: Whether the next poll must read the whole batch, as all do once a poll showed
            an end without it.
        workspace_id: The batch's workspace, None if it was not known when the wait was made.

    """

    __slots__ = (
        "_ending",
        "_failures",
        "_found_by",
        "_gap",
        "_pauses",
        "_poll",
        "_prefix",
        "_random",
        "_retry",
        "_uninitialised_since",
        "again_at",
        "outcome",
        "wants_whole",
        "workspace_id",
    )

    def __init__(
        self,
        key: str,
        *,
        poll: PollPolicy,
        retry: RetryPolicy,
        prefix: str = "",
        workspace_id: str | None = None,
        timeout: float | None,
        request_timeout: float = math.inf,
        now: float,
        made_at: float | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Start a wait.

        Args:
            key: The id of the batch to wait for.
            poll: Gaps, graces and the failure budget.
            retry: Pauses after failures, and the cap of the service's hints.
            prefix: Path of a gateway before the service's own paths, which errors name.
            workspace_id: The batch's workspace, None if it is not known.
            timeout: Seconds, None for no limit, 0 for one poll.
            request_timeout: Seconds that a poll may last.
            now: The time.
            made_at: When this client made the batch, None if it did not.
            on_event: Is told of every poll; what it raises is logged.
            random: Source of jitter, from 0 to 1.

        """
        super().__init__(key, on_event, now, timeout, request_timeout)
        self.outcome: Batch | WaitError | None = None
        self.wants_whole = False
        self.workspace_id = workspace_id
        self.again_at = now
        self._poll = poll
        self._retry = retry
        self._prefix = prefix
        self._found_by = -math.inf if made_at is None else made_at + poll.not_found_grace
        self._gap = poll.initial
        self._random = random
        self._pauses: Iterator[float] | None = None
        self._failures = 0
        self._uninitialised_since: float | None = None
        # A poll that showed an end, while the batch itself is still being read for it.
        self._ending: Told | None = None

    @property
    def fresh(self) -> float:
        """Seconds for which what another wait saw serves as its first poll."""
        return self._poll.initial

    @property
    def is_over(self) -> bool:
        """Whether it has its outcome."""
        return self.outcome is not None

    def observe(self, seen: PollResult, now: float, sent: float = math.inf) -> None:
        """Take in what a poll saw, which was sent at a time, for this wait or for others."""
        if seen.error is not None:
            self.again_at = now + self._gap
        if self._polls_left is not None and sent < self._started:
            return  # without a time-out, a wait makes a poll
        shared = self.due is None or sent < self.due - _EARLY
        if self._ending is None:
            self._take_in(seen, now, sent if shared else None)
        elif not shared or seen.batch is not None:
            self._follow_up(self._ending, seen, now)

    def _take_in(self, seen: PollResult, now: float, shared: float | None = None) -> None:
        told = self._count(seen.status, now)  # shared: when the poll was sent, if for others
        if seen.error is not None:
            self._fail_poll(told, seen.error, now, shared=shared is not None)
            return
        self._failures = 0
        self._pauses = None
        status = seen.status
        if status is _READY or status is _ERROR:
            if seen.batch is None:
                self._ending = told
                self.wants_whole = True
                self.due = now
            elif status is _READY:
                self._end(told, seen.batch)
            else:
                self._end(told, BatchFailedError(*self._story(now), seen.batch))
            return
        if self._status is _UNINITIALISED:
            if self._uninitialised_since is None:
                self._uninitialised_since = now
            if now - self._uninitialised_since >= self._poll.uninitialised_grace:
                self._end(told, BatchNotSetUpError(*self._story(now)))
                return
        else:
            self._uninitialised_since = None
        if status is not _PROCESSING and status is not _UNINITIALISED:
            self._warn(status)
        self._go_on(told, now, last=shared is not None and self._may_be_last(shared))

    def expire(self, now: float, *, polling: bool, held: bool) -> None:
        """End the wait because its time is over, or make the last poll that it has missed."""
        has_failed = self._ending is not None and self._status is _ERROR
        if not has_failed and self._missed_its_last_poll(now, on_its_way=polling or held):
            self._poll_late(now, polling=polling)
            return
        ending, self._ending = self._ending, None
        if ending is not None:
            if self._status is _ERROR:
                self._end(ending, BatchFailedError(*self._story(now)))
                return
            self._tell(ending, 0.0 if polling else None)
        if polling:
            build = requests.get_batch if self.wants_whole else requests.get_batch_status
            request = build(self.key, prefix=self._prefix)
            cut = RequestTimeoutError(request.method, request.path, "the wait's time was over")
            self._tell(self._count(None, now), None, cut)
        self._time_out(now)

    def fail(self, error: Exception, now: float) -> None:
        """End the wait because nobody will poll any more."""
        ending, self._ending = self._ending, None
        event = None if ending is None else self._note(ending, None, None)
        self._set(WaitFailedError(*self._story(now)), error)
        if event is not None:
            self._call(event)

    def result(self) -> Batch:
        """Return the READY batch of a wait that is over, or raise its error, once."""
        outcome = self.outcome
        if isinstance(outcome, Batch):
            return outcome
        assert outcome is not None  # noqa: S101 - for the type checker
        # An error holds the frames that it has passed. What these hold must not hold the error, or
        # all of it would stay until the next collection.
        self.outcome = None
        try:
            raise outcome
        finally:
            del outcome

    def _follow_up(self, ending: Told, seen: PollResult, now: float) -> None:
        """Take in the read of the whole batch that a status of READY or ERROR asked for."""
        self._ending = None
        shown = self._status
        if shown is _READY and seen.batch is not None and seen.status is _READY:
            self._end(ending, seen.batch)
        elif shown is _ERROR and (seen.error is not None or seen.status is _ERROR):
            self._end(ending, BatchFailedError(*self._story(now), seen.batch))
        else:  # the newer answer wins
            self._tell(ending, 0.0)
            if self.outcome is None:  # what that called may have ended it
                self._take_in(seen, now)

    def _fail_poll(self, told: Told, error: ProlificError, now: float, *, shared: bool) -> None:
        early = isinstance(error, NotFoundError) and now < self._found_by
        if shared and self._polls_left is None and (early or may_poll_again(error)):
            self._tell(told, None if self.due is None else max(self.due - now, 0.0), error)
            return
        if early:
            self._go_on(told, now, error)
            return
        if self._pauses is None:
            self._pauses = pauses(self._retry)
        self._failures += 1
        if not may_poll_again(error) or self._failures > self._poll.max_consecutive_failures:
            self._end(told, WaitFailedError(*self._story(now)), error)
            return
        asked = hint(error, self._retry)
        self._go_on(told, now, error, max(next(self._pauses), asked), asked)

    def _go_on(
        self,
        told: Told,
        now: float,
        error: ProlificError | None = None,
        pause: float = 0.0,
        floor: float = 0.0,
        *,
        last: bool = False,
    ) -> None:
        """Plan the next poll: after the gap, shortened for the last one, never below the floor."""
        self.again_at = now + max(self._gap, pause, floor)
        if self._polls_left is not None:
            self.due = self._due_of_few(now + floor)
            self._tell(told, None if self.due is None else floor, error)
            if self.due is None:
                self._time_out(now)
            else:
                self.again_at = self.due
            return
        poll, gap = self._poll, self._gap
        if gap < poll.maximum:
            self._gap = poll.following(gap)
        gap = poll.jittered(gap, self._random())
        if not gap >= 0:
            raise ValueError(f"{type(poll).__name__}.jittered gave no gap: {gap!r}")
        last_poll = self._last_poll()
        if error is None:
            due = now + gap
            due = min(due, last_poll)
        else:
            due = max(min(now + max(gap, pause), last_poll), now + floor)
        if last or now >= last_poll or (self.deadline is not None and due >= self.deadline):
            self.due = None
            self._tell(told, None, error)
        else:
            self.due = self.again_at = due
            self._tell(told, due - now, error)

    def _end(
        self, told: Told, outcome: Batch | WaitError, cause: ProlificError | None = None
    ) -> None:
        event = self._note(told, None, cause)
        self._set(outcome, cause)
        self._call(event)

    def _set(self, outcome: Batch | WaitError, cause: Exception | None = None) -> None:
        if self.outcome is not None:  # what on_event did has ended it before
            return
        self.due = None
        self.outcome = outcome
        if isinstance(outcome, WaitError):
            outcome.events = self._kept_events()
            outcome.failure = cause

    def _time_out(self, now: float) -> None:
        self._set(WaitTimeoutError(*self._story(now)), self._newest_error())
