"""What the poller asks of those who wait."""

from __future__ import annotations

from typing import Any, Protocol


class Waiter(Protocol):
    """What the poller asks of a waiter. Times are those of the event loop."""

    @property
    def key(self) -> str:
        """What it wants polls of."""

    @property
    def due(self) -> float | None:
        """When it wants its next poll, None for no more."""

    @property
    def deadline(self) -> float | None:
        """When it is to be expired, None for never."""

    @property
    def wants_whole(self) -> bool:
        """Whether its next poll must be a single, whole one."""

    @property
    def is_over(self) -> bool:
        """Whether it needs nothing more."""

    @property
    def fresh(self) -> float:
        """Seconds for which what others saw serves as its first poll."""

    @property
    def again_at(self) -> float:
        """After a failed poll: when its key may be polled again, for all it wants."""

    def observe(self, seen: Any, now: float, sent: float) -> None:
        """Take in what a poll saw that was sent at a time, perhaps before the waiter came."""

    def expire(self, now: float, *, polling: bool, held: bool) -> None:
        """End at the deadline, or go on to a later one.

        Args:
            now: The time, which is later than the deadline where the loop was blocked.
            polling: Whether a poll was sent and has not come back.
            held: Whether a poll is held back.

        """

    def fail(self, error: Any, now: float) -> None:
        """End because nobody polls any more."""
