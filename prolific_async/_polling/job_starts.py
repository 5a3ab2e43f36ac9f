"""Memory of the datasets and jobs that a client began: start times and numbers of rows."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

_KEPT = 10_000


class JobStarts:
    """Start times and numbers of rows of datasets and jobs, by id; the oldest are forgotten."""

    def __init__(self) -> None:
        # In a plain dict, the first key is slow to find after many keys before it were deleted.
        self._starts: OrderedDict[str, tuple[float, int | None]] = OrderedDict()

    def add(self, *ids: str, rows: int | None = None) -> None:
        """Note that a dataset or job began just now.

        Args:
            ids: All ids under which ``get`` finds it.
            rows: Number of rows that the service has to write, None if unknown.

        """
        start = asyncio.get_running_loop().time(), rows
        for one in ids:
            self._starts[one] = start
            self._starts.move_to_end(one)
        while len(self._starts) > _KEPT:
            self._starts.popitem(last=False)

    def get(self, job_id: str) -> tuple[float, int | None] | None:
        """Return the start (loop time) and number of rows of a dataset or job; None if unknown."""
        return self._starts.get(job_id)
