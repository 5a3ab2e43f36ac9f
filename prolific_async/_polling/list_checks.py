"""Checks a workspace's list against single polls, as a list may lag behind the batches.

While a workspace is polled by its list, one of its batches is polled singly as well: half a minute
after the first list, then once a minute, each batch in turn. When two list polls in a row after
that poll show the batch in an older state, all its batches are polled singly from then on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define

from prolific_async._polling.poll_results import PollResult, is_older

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prolific_async._polling.targets import PollTarget

EVERY = 60.0
"""Seconds between the checks of a group."""
_FIRST = EVERY / 2  # seconds to the first check, so that a wait of one minute gets one
_LATE = 2  # list polls in a row that show an older state before the list counts as lagging


@define(eq=False, repr=False)
class ListCheck:
    """The check of one group's list.

    Attributes:
        key: Id of the batch that is polled singly, or was found in a newer state than the list
            shows; None between checks.

    """

    key: str | None = None
    _due: float = math.inf
    _seen: PollResult | None = None
    _older: int = 0

    def choose(
        self, targets: Iterable[PollTarget], found: Mapping[str, PollResult], now: float
    ) -> PollTarget | None:
        """Return the target to poll singly as a check after a list poll, None for no check."""
        if self._due == math.inf:
            self._due = now + _FIRST
        if now < self._due:
            return None
        for target in targets:
            if (
                target.key in found
                and target.waits
                and not target.stage
                and not target.needs_object
            ):
                self._due = now + EVERY
                self.key, self._seen = target.key, None
                return target
        return None

    def take_single_result(
        self, target: PollTarget, result: PollResult, *, list_is_polled: bool
    ) -> bool:
        """Take in a single poll's result; return whether the target's waits need to see it.

        A list poll that is already under way may be older than the result, so it is not compared.
        """
        if target.key != self.key or self._seen is not None:
            return True
        if result.error is not None or not is_older(target.result or PollResult(), result):
            self.key = None
            return False
        self._seen = result
        self._older = -1 if list_is_polled else 0
        return True

    def lags(self, found: Mapping[str, PollResult]) -> bool:
        """Take in a list poll; return whether it is the second in a row to show an older state."""
        if self._seen is None or self.key is None:
            return False
        shown = found.get(self.key)
        if self._older >= 0 and (shown is None or not is_older(shown, self._seen)):
            self.key = self._seen = None
            return False
        self._older += 1
        return self._older == _LATE
