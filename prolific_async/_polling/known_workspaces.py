"""Memory of the workspaces that batches belong to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_GENERATION = 1024
"""Batches of a generation; the generation before the previous one is forgotten.

With more, entries scattered among the memory of decoded lists would keep megabytes from being
freed.
"""


class KnownWorkspaces:
    """Remembers the workspaces of one or two thousand batches, and of all batches in ``awaited``.

    The batches form two generations, of which the older one is dropped as a whole: dropping one
    batch at a time is slow, as finding a dict's first key skips all deleted entries.

    Attributes:
        awaited: Ids of batches that are never forgotten; the scheduler adds the targets whose
            workspace is not known yet.

    """

    def __init__(self) -> None:
        self.awaited: set[str] = set()
        self._newer: dict[str, str] = {}
        self._older: dict[str, str] = {}
        self._most = _GENERATION  # batches in the newer generation

    def learn(self, batch_id: str, workspace_id: str) -> None:
        """Remember a batch's workspace."""
        self._newer[batch_id] = sys.intern(workspace_id)  # one string for all its batches
        if len(self._newer) >= self._most:
            self._age()

    def learn_all(self, batch_ids: Iterable[str], workspace_id: str) -> None:
        """Remember the workspace of many batches."""
        for batch_id in batch_ids:
            self.learn(batch_id, workspace_id)

    def of(self, batch_id: str) -> str | None:
        """Return the id of a batch's workspace, None if unknown."""
        return self._newer.get(batch_id) or self._older.get(batch_id)

    def shrink(self) -> None:
        """Forget all batches that are not awaited, if more than two generations are kept."""
        if len(self._newer) + len(self._older) > 2 * _GENERATION:
            self._older |= self._newer
            self._newer = {}
            self._age()

    def _age(self) -> None:
        """Begin a new generation, and drop the older one except the batches in ``awaited``."""
        kept = {
            batch_id: workspace_id
            for batch_id, workspace_id in self._older.items()
            if batch_id not in self._newer and batch_id in self.awaited
        }
        self._older, self._newer = self._newer, kept
        # Grows with the batches kept, so that each batch is copied only a few times.
        self._most = max(_GENERATION, 2 * len(kept))
