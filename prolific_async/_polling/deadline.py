"""Deadline of a wait, and its last poll: shortly before, or after it if the loop was blocked."""

from __future__ import annotations

import math

from attrs import evolve, frozen

_LAST_POLL = 1.0  # seconds from the last poll to the deadline, at most
_LAST_POLL_SHARE = 0.05  # of a short timeout, instead of these seconds
_SHARED = 1.0  # seconds by which another wait's poll may be earlier and replace the last poll
_SHARED_SHARE = 5  # times the gap from the last poll to the deadline, instead, if that is shorter
_PUNCTUAL = 0.1  # seconds that a busy loop may be late without counting as blocked
_LATE = 1.0  # seconds that a last poll after the deadline may take, at most


@frozen(eq=False, repr=False, weakref_slot=False)
class Deadline:
    """Start, deadline, time of the last poll and number of polls left of one or more waits.

    If the loop was blocked, or the machine slept, until after the deadline, the last poll is still
    made: ``extended`` sets a deadline at most a second from then. All times are loop times.

    Attributes:
        started: When the wait began.
        at: When the wait times out, inf for never.
        last_poll: When the last poll is due, inf for never.
        polls_left: Number of polls that the wait may still make, inf for any number.

    """

    started: float
    at: float
    last_poll: float
    polls_left: float
    _late: float  # seconds for a last poll after the deadline, 0 once ``extended``

    @classmethod
    def after(cls, now: float, timeout: float | None, request_timeout: float) -> Deadline:
        """Return the deadline of a wait that begins now.

        Args:
            now: The loop time.
            timeout: Seconds, None for no limit, 0 for one poll within ``request_timeout``.
            request_timeout: Seconds that a poll may last.

        """
        polls_left = 1 if timeout == 0 else math.inf
        seconds = request_timeout if timeout == 0 else timeout
        late = min(request_timeout, _LATE)
        if seconds is None or seconds == math.inf:
            return cls(now, math.inf, math.inf, polls_left, late)
        at = now + seconds
        last_poll = at - min(_LAST_POLL, seconds * _LAST_POLL_SHARE)
        return cls(now, at, last_poll, polls_left, late)

    def replaces_last_poll(self, sent: float) -> bool:
        """Return whether another wait's poll, sent at the given time, replaces the last poll.

        Thus waits with nearly the same deadline share one last poll.
        """
        if sent < self.last_poll - _SHARED:
            return False
        before = min(_SHARED, (self.at - self.last_poll) * _SHARED_SHARE)
        return sent >= self.last_poll - before

    def missed_last_poll(self, now: float, due: float, *, on_its_way: bool) -> bool:
        """Return whether a blocked loop prevented the last poll, so that it must be made late.

        A poll that is sent or held back is cut off at the deadline, unless the deadline passed so
        long ago that its response may have come while the loop was blocked.

        Args:
            now: The loop time, at or after the deadline.
            due: When the next poll was due, inf for none.
            on_its_way: Whether a poll is sent or held back.

        """
        if due == math.inf or not self._late:
            return False
        if on_its_way:
            return now - self.at > max(self.at - self.last_poll, _PUNCTUAL)
        return due <= now

    def extended(self, now: float, *, polling: bool) -> Deadline:
        """Return a later deadline, with the last poll due now; it cannot be extended again.

        Args:
            now: The loop time.
            polling: Whether a poll was sent: its status may be old, so another poll may follow.

        """
        at = now + self._late
        polls_left = 2 if polling and self.polls_left == math.inf else 1
        return Deadline(self.started, at, at, polls_left, 0.0)

    def after_poll(self) -> Deadline:
        """Return the same deadline with one poll fewer left."""
        return evolve(self, polls_left=self.polls_left - 1)
