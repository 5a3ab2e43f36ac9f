"""Memory of the datasets and jobs that a client began: when, and with how many rows."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

_KEPT = 10_000


class BegunJobs:
    """The datasets and jobs that a client began, by id; the oldest are forgotten."""

    def __init__(self) -> None:
        # OrderedDict: the first key of a dict is slow to find once many before it were deleted.
        self._begun: OrderedDict[str, tuple[float, int | None]] = OrderedDict()

    def add(self, *ids: str, rows: int | None = None) -> None:
        """Note that something began just now.

        Args:
            ids: The ids that its waits may go by.
            rows: How many rows the service has to write, None if that is not known.

        """
        begun = asyncio.get_running_loop().time(), rows
        for one in ids:
            self._begun[one] = begun
            self._begun.move_to_end(one)
        while len(self._begun) > _KEPT:
            self._begun.popitem(last=False)

    def get(self, job_id: str) -> tuple[float, int | None] | None:
        """Return when something began, in loop time, and its rows; None if that is not known."""
        return self._begun.get(job_id)
