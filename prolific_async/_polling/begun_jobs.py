"""What a client knows of the datasets and jobs that it began, for its waits for them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import NamedTuple

_KEPT = 10_000


class Begun(NamedTuple):
    """The beginning of a dataset or a job.

    Attributes:
        at: When the client began it, in loop time.
        rows: How many rows the service has to write, None if that is not known.

    """

    at: float
    rows: int | None


class BegunJobs:
    """The datasets and jobs that a client began, by id; the oldest are forgotten."""

    def __init__(self) -> None:
        # OrderedDict: the first key of a dict is slow to find once many before it were deleted.
        self._begun: OrderedDict[str, Begun] = OrderedDict()

    def add(self, *ids: str, rows: int | None = None) -> None:
        """Note that something began just now, under each of its ids."""
        begun = Begun(asyncio.get_running_loop().time(), rows)
        for one in ids:
            self._begun[one] = begun
            self._begun.move_to_end(one)
        while len(self._begun) > _KEPT:
            self._begun.popitem(last=False)

    def get(self, job_id: str) -> Begun | None:
        """Return the beginning of a dataset or a job, None if that is not known."""
        return self._begun.get(job_id)
