"""Workspaces of batches, as far as they are known."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_GENERATION = 1024
"""Batches that are learnt before those from before the last such number are forgotten.

More would keep megabytes from being given back: they lie scattered among what lists were read into.
"""


class Workspaces:
    """Remembers one or two thousand batches, and all whose workspace a poll target still needs.

    In two generations, of which the older one is dropped as a whole: to drop one batch for each
    that is learnt would have a dict walk over ever more deleted ones.

    Attributes:
        awaited: Ids that are not forgotten; the scheduler keeps those of its targets here whose
            group is not known.

    """

    def __init__(self) -> None:
        self.awaited: set[str] = set()
        self._newer: dict[str, str] = {}
        self._older: dict[str, str] = {}
        self._most = _GENERATION  # batches in the newer generation

    def learn(self, batch_id: str, workspace_id: str) -> None:
        """Remember a batch's workspace."""
        self._newer[batch_id] = sys.intern(workspace_id)  # the same one for all its batches
        if len(self._newer) >= self._most:
            self._age()

    def learn_all(self, batch_ids: Iterable[str], workspace_id: str) -> None:
        """Remember the workspace of many batches."""
        for batch_id in batch_ids:
            self.learn(batch_id, workspace_id)

    def of(self, batch_id: str) -> str | None:
        """Return a batch's workspace, None if it is unknown."""
        return self._newer.get(batch_id) or self._older.get(batch_id)

    def shrink(self) -> None:
        """Forget most of a larger number of batches, once they are not awaited any more."""
        if len(self._newer) + len(self._older) > 2 * _GENERATION:
            self._older |= self._newer
            self._newer = {}
            self._age()

    def _age(self) -> None:
        """Begin a new generation with the batches of the older one that are still waited for."""
        kept = {
            batch_id: workspace_id
            for batch_id, workspace_id in self._older.items()
            if batch_id not in self._newer and batch_id in self.awaited
        }
        self._older, self._newer = self._newer, kept
        # In proportion, so that each batch that is kept is gone through a few times only.
        self._most = max(_GENERATION, 2 * len(kept))
