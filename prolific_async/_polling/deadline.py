"""Deadline of a wait, and its last poll: shortly before it, or late if the loop was blocked."""

from __future__ import annotations

import math

from attrs import evolve, frozen

_LAST_POLL = 1.0  # seconds before the deadline, at most
_LAST_POLL_SHARE = 0.05  # of the timeout, for short ones
_SHARED = 1.0  # seconds before it in which another wait's poll stands for it, at most
_SHARED_SHARE = 5  # times the seconds that the last poll is before the deadline, for short ones
_PUNCTUAL = 0.1  # seconds that a busy loop may be late without counting as blocked
_LATE = 1.0  # seconds at most for a last poll that begins after the deadline


@frozen(eq=False, repr=False, weakref_slot=False)
class Deadline:
    """Start and deadline of one or more waits, the time of their last poll, and the polls left.

    After a blocked loop, or a sleep of the machine, the times of the last poll and of the deadline
    may both have passed. That poll is made all the same, and the deadline moves by a second at
    most.

    Attributes:
        started: When the wait began.
        at: When the wait is over, inf for never.
        last_poll: When the last poll is to be made, inf for never.
        polls_left: Polls that the wait may still make, inf for any number.

    """

    started: float
    at: float
    last_poll: float
    polls_left: float
    _late: float  # seconds for a last poll after the deadline, 0 once it was granted

    @classmethod
    def after(cls, now: float, timeout: float | None, request_timeout: float) -> Deadline:
        """Return the deadline of a wait that begins now.

        Args:
            now: The time.
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

    def is_last_poll(self, sent: float) -> bool:
        """Return whether another wait's poll, sent at a time, stands for the last one.

        So waits whose deadlines lie close together make one last poll and not one each.
        """
        if sent < self.last_poll - _SHARED:
            return False
        before = min(_SHARED, (self.at - self.last_poll) * _SHARED_SHARE)
        return sent >= self.last_poll - before

    def was_slept_through(self, now: float, due: float, *, on_its_way: bool) -> bool:
        """Return whether the loop was blocked over the last poll, which is then to be made late.

        A poll that is on its way is cut off at the deadline, unless that passed so long ago that
        the response may have come while nothing could read it.

        Args:
            now: The time, at or after the deadline.
            due: When the next poll was due, inf for none.
            on_its_way: Whether a poll is sent or held back.

        """
        if due == math.inf or not self._late:
            return False
        if on_its_way:
            return now - self.at > max(self.at - self.last_poll, _PUNCTUAL)
        return due <= now

    def extended(self, now: float, *, polling: bool) -> Deadline:
        """Return the deadline that lets the last poll be made now; it cannot be extended again.

        Args:
            now: The time.
            polling: Whether a poll is under way, which may show an old status and so leaves room
                for another.

        """
        at = now + self._late
        polls_left = 2 if polling and self.polls_left == math.inf else 1
        return Deadline(self.started, at, at, polls_left, 0.0)

    def after_poll(self) -> Deadline:
        """Return the deadline with one poll less left."""
        return evolve(self, polls_left=self.polls_left - 1)
