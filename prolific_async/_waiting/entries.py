"""What the engine works on: waiters, the entries that they share, and the groups of these."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping


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

    def observe(self, seen: Any, now: float) -> None:
        """Take in what a look saw."""

    def expire(self, now: float, *, looking: bool) -> None:
        """End at the deadline."""

    def fail(self, error: Any, now: float) -> None:
        """End because nobody looks any more."""


class GroupLook:
    """What a look at a group saw, by key, or why it saw nothing."""

    def __init__(
        self,
        found: Mapping[str, Any] = MappingProxyType({}),
        size: int = 0,
        *,
        failure: str | None = None,
        refused_for: float | None = None,
        again: bool = False,
        regroup: bool = False,
    ) -> None:
        """Take what was found.

        Args:
            found: What was seen, by key.
            size: Bytes of the answer.
            failure: Why nothing was seen, None when it was.
            refused_for: Seconds to hold back after the service refused the look as one too many.
            again: Whether another look at once may show what this one did not.
            regroup: Whether keys may belong to other groups by now.

        """
        self.found = found
        self.size = size
        self.failure = failure
        self.refused_for = refused_for
        self.again = again
        self.regroup = regroup


class Entry:
    """A key, and who waits for it."""

    __slots__ = (
        "alone_until",
        "asked",
        "busy",
        "group",
        "key",
        "seen",
        "seen_at",
        "single",
        "task",
        "waiters",
        "when",
    )

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiters: dict[Waiter, asyncio.Future[None]] = {}
        self.when = math.inf  # its place in the heap; other places are stale
        self.busy = False  # a look at it, or at its group, is queued or under way
        self.single = False  # and it is one at it alone
        self.task: asyncio.Task[None] | None = None  # a single look under way
        self.seen: Any = None
        self.seen_at = -math.inf
        self.group: Group | None = None
        self.alone_until = -math.inf
        self.asked = False  # for a look now

    def free(self) -> None:
        """Note that no look is queued or under way any more."""
        self.busy = self.single = False

    @property
    def due(self) -> float:
        """When one of its waiters wants a look."""
        if self.asked:
            return -math.inf
        first = math.inf
        for waiter in self.waiters:
            if (due := waiter.due) is not None and due < first:
                first = due
        return first

    @property
    def deadline(self) -> float:
        """When one of its waiters is to be expired."""
        first = math.inf
        for waiter in self.waiters:
            if (deadline := waiter.deadline) is not None and deadline < first:
                first = deadline
        return first

    @property
    def wants_whole(self) -> bool:
        """Whether one of its waiters wants a single, whole look."""
        for waiter in self.waiters:  # noqa: SIM110 - any costs several times as much
            if waiter.wants_whole:
                return True
        return False


class Group:
    """Entries that can be looked at as one."""

    __slots__ = (
        "apart_until",
        "busy",
        "entries",
        "held_until",
        "looked_at",
        "name",
        "refusals",
        "task",
        "told",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: dict[Entry, None] = {}
        self.busy = False
        self.task: asyncio.Task[None] | None = None
        self.looked_at = -math.inf
        self.apart_until = -math.inf
        self.held_until = -math.inf
        self.refusals = 0
        self.told = False

    def covered(self) -> list[Entry]:
        """Return the entries that a look at the group is for."""
        return [entry for entry in self.entries if entry.busy and not entry.single]
