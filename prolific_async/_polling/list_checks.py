"""Checks a workspace's list against single polls, as a list may lag behind the batches.

While a workspace is polled by its list, one of its batches is polled singly as well: half a minute
after the first list, then once a minute, each batch in turn. When the list shows an older state
than that poll did, and still shows it one gap later, the workspace is polled singly from then on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prolific_async._polling.targets import PollTarget

EVERY = 60.0
"""Seconds between the checks of a group."""
_FIRST = EVERY / 2  # so that waits of a minute have one
_LATE = 2  # group polls in a row, a gap between them, that show an older state


class Check:
    """The checks of one group: which target is due, and what became of the last one."""

    __slots__ = ("_due", "_is_older", "_key", "_older", "_seen")

    def __init__(self, is_older: Callable[[Any, Any], bool]) -> None:
        """Take what tells whether the first of two results shows an older state than the second."""
        self._is_older = is_older
        self._due = math.inf
        self._key: str | None = None  # of the target that is polled singly, or was seen newer
        self._seen: Any = None
        self._older = 0

    def choose(
        self, targets: Iterable[PollTarget], found: Mapping[str, Any], now: float
    ) -> PollTarget | None:
        """Return the target to poll singly after a group poll, if a check is due."""
        if self._due == math.inf:
            self._due = now + _FIRST
        if now < self._due:
            return None
        for target in targets:
            if (
                target.key in found
                and target.waiters
                and not target.busy
                and not target.wants_whole
            ):
                self._due = now + EVERY
                self._key, self._seen, self._older = target.key, None, 0
                return target
        return None

    def take(self, target: PollTarget, seen: Any, *, group_is_polled: bool) -> bool:
        """Take the result of a single poll; tell whether that is news to the target.

        A group poll under way may have been answered before, and so proves nothing.
        """
        if target.key != self._key or self._seen is not None:
            return True
        if seen.error is not None or not self._is_older(target.seen, seen):
            self._key = None
            return False
        self._seen = seen
        self._older = -1 if group_is_polled else 0
        return True

    def lags(self, found: Mapping[str, Any]) -> str | None:
        """Return the key of which a group poll shows an older state for longer than a gap."""
        if self._seen is None or self._key is None:
            return None
        shown = found.get(self._key)
        if self._older >= 0 and (shown is None or not self._is_older(shown, self._seen)):
            self._key = self._seen = None
            return None
        self._older += 1
        return self._key if self._older == _LATE else None
