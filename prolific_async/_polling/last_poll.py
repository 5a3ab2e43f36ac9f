"""The deadline of a wait, and its last poll: shortly before it, or late if the loop was blocked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prolific_async._polling.history import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async.models import StatusEvent

_LAST_POLL = 1.0  # seconds before the deadline, at most
_LAST_POLLS_SHARE = 0.05  # of the time-out, for the short ones
_SHARED = 1.0  # seconds before it in which another wait's poll stands for it, at most
_SHARED_SHARE = 0.25  # of the time-out, for the short ones
_PUNCTUAL = 0.1  # seconds that a busy loop may be late without counting as blocked
_LATE = 1.0  # seconds at most for a last poll that begins after the deadline


class LastPoll(History):
    """The part of a wait that keeps its time.

    After a blocked loop, or a sleep of the machine, the times of the last poll and of the deadline
    may both have passed. That poll is made all the same, and the deadline moves by a second at
    most.

    Attributes:
        deadline: When the wait is over whatever it does, None for never.
        due: When it wants its next poll, None when it wants no more.

    """

    __slots__ = ("_late", "_polls_left", "deadline", "due")

    def __init__(
        self,
        key: str,
        on_event: Callable[[StatusEvent], object] | None,
        now: float,
        timeout: float | None,
        request_timeout: float,
    ) -> None:
        super().__init__(key, on_event, now)
        # Polls that it may still make, None for any number.
        self._polls_left = 1 if timeout == 0 else None
        if timeout == 0:
            timeout = request_timeout
        self.deadline = None if timeout is None or timeout == math.inf else now + timeout
        self.due: float | None = now
        self._late = min(request_timeout, _LATE)

    def _last_poll(self) -> float:
        """Return when to poll once more before the deadline."""
        if self.deadline is None:
            return math.inf
        timeout = self.deadline - self._started
        return self.deadline - min(_LAST_POLL, timeout * _LAST_POLLS_SHARE)

    def _may_be_last(self, sent: float) -> bool:
        """Tell whether a poll sent for others stands for the last one.

        So waits whose deadlines lie close together make one last poll and not one each.
        """
        if self.deadline is None:
            return False
        timeout = self.deadline - self._started
        return sent >= self._last_poll() - min(_SHARED, timeout * _SHARED_SHARE)

    def _missed_its_last_poll(self, now: float, *, on_its_way: bool) -> bool:
        """Tell whether the loop was blocked over the last poll, which is then to be made late.

        A poll that is on its way, sent or held back, is cut at the deadline as in any wait, unless
        the deadline passed so long ago that its answer may have come while nothing could read it.
        """
        if self.deadline is None or self.due is None or not self._late:
            return False
        if on_its_way:
            return now - self.deadline > max(self.deadline - self._last_poll(), _PUNCTUAL)
        return self.due <= now

    def _poll_late(self, now: float, *, polling: bool) -> None:
        """Have the last poll made after the deadline, once."""
        # One that is on its way may show an old status, so it leaves room for another.
        self._polls_left = 2 if polling and self._polls_left is None else 1
        self.due = now
        self.deadline = now + self._late
        self._late = 0.0

    def _due_of_few(self, due: float) -> float | None:
        """Count a poll of the few that are left; return when the next one is due, if there is."""
        assert self._polls_left is not None  # noqa: S101 - for the type checker
        self._polls_left -= 1
        if not self._polls_left or (self.deadline is not None and due >= self.deadline):
            return None
        return due
