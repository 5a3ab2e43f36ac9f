"""What the engine asks of those who wait."""

from __future__ import annotations

from typing import Any, Protocol


class Waiter(Protocol):
    """What the engine asks of a waiter. Times are those of the event loop."""

    @property
    def key(self) -> str:
        """What it wants looks at."""

    @property
    def due(self) -> float | None:
        """When it wants its next look, None for no more."""

    @property
    def deadline(self) -> float | None:
        """When it is to be expired, None for never."""

    @property
    def wants_whole(self) -> bool:
        """Whether its next look must be a single, whole one."""

    @property
    def is_over(self) -> bool:
        """Whether it needs nothing more."""

    @property
    def fresh(self) -> float:
        """Seconds for which what others saw serves as its first look."""

    @property
    def again_at(self) -> float:
        """After a failed poll: when its key may be polled again, for all it wants."""

    def observe(self, seen: Any, now: float, sent: float) -> None:
        """Take in what a poll saw that was sent at a time, perhaps before the waiter came."""

    def expire(self, now: float, *, looking: bool, held: bool) -> None:
        """End at the deadline, or go on to a later one.

        Args:
            now: The time, which is later than the deadline where the loop was blocked.
            looking: Whether a look was sent and has not come back.
            held: Whether a look is held back.

        """

    def fail(self, error: Any, now: float) -> None:
        """End because nobody looks any more."""
