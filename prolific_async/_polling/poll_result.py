"""What one poll of a batch saw."""

from __future__ import annotations

from typing import NamedTuple

from prolific_async.errors import ProlificError
from prolific_async.models import Batch, BatchStatus


class PollResult(NamedTuple):
    """What one poll saw: a status, perhaps with the whole batch, or why it saw nothing."""

    status: BatchStatus | None = None
    batch: Batch | None = None
    error: ProlificError | None = None


# Of a batch's states in their order; one with an unseen name is somewhere in the middle.
_AGES = {BatchStatus.UNINITIALISED: 0, BatchStatus.READY: 2, BatchStatus.ERROR: 2}


def is_older(one: PollResult, other: PollResult) -> bool:
    """Tell whether a poll shows an earlier state of a batch than another one."""
    if one.status is None or other.status is None:
        return False
    return _AGES.get(one.status, 1) < _AGES.get(other.status, 1)
