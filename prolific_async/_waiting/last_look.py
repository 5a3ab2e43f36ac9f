"""The deadline of a wait, and its last look: shortly before it, or late if the loop was blocked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prolific_async._waiting.history import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async.models import StatusEvent

_LAST_LOOK = 1.0  # seconds before the deadline, at most
_LAST_LOOK_SHARE = 0.05  # of the time-out, for the short ones
_PUNCTUAL = 0.1  # seconds that a busy loop may be late without counting as blocked
_LATE = 1.0  # seconds at most for a last look that begins after the deadline


class LastLook(History):
    """The part of a wait that keeps its time.

    After a blocked loop, or a sleep of the machine, the times of the last look and of the deadline
    may both have passed. That look is made all the same, and the deadline moves by a second at
    most.

    Attributes:
        deadline: When the wait is over whatever it does, None for never.
        due: When it wants its next look, None when it wants no more.

    """

    __slots__ = ("_late", "_looks_left", "deadline", "due")

    def __init__(
        self,
        key: str,
        on_event: Callable[[StatusEvent], object] | None,
        now: float,
        timeout: float | None,
        request_timeout: float,
    ) -> None:
        super().__init__(key, on_event, now)
        # Looks that it may still make, None for any number.
        self._looks_left = 1 if timeout == 0 else None
        if timeout == 0:
            timeout = request_timeout
        self.deadline = None if timeout is None or timeout == math.inf else now + timeout
        self.due: float | None = now
        self._late = min(request_timeout, _LATE)

    def _last_look(self) -> float:
        """Return when to look once more before the deadline."""
        if self.deadline is None:
            return math.inf
        timeout = self.deadline - self._started
        return self.deadline - min(_LAST_LOOK, timeout * _LAST_LOOK_SHARE)

    def _missed_its_last_look(self, now: float, *, on_its_way: bool) -> bool:
        """Tell whether the loop was blocked over the last look, which is then to be made late.

        A look that is on its way, sent or held back, is cut at the deadline as in any wait, unless
        the deadline passed so long ago that its answer may have come while nothing could read it.
        """
        if self.deadline is None or self.due is None or not self._late:
            return False
        if on_its_way:
            return now - self.deadline > max(self.deadline - self._last_look(), _PUNCTUAL)
        return self.due <= now

    def _look_late(self, now: float, *, looking: bool) -> None:
        """Have the last look made after the deadline, once."""
        # One that is on its way may show an old status, so it leaves room for another.
        self._looks_left = 2 if looking and self._looks_left is None else 1
        self.due = now
        self.deadline = now + self._late
        self._late = 0.0

    def _due_of_few(self, due: float) -> float | None:
        """Count a look of the few that are left; return when the next one is due, if there is."""
        assert self._looks_left is not None  # noqa: S101 - for the type checker
        self._looks_left -= 1
        if not self._looks_left or (self.deadline is not None and due >= self.deadline):
            return None
        return due
