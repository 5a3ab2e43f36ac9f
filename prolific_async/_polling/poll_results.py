"""Results of polls: of one batch, dataset or job, and of a workspace's list."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import field, frozen

from prolific_async._message_parts import brief
from prolific_async._polling.error_summaries import NEWEST, bounded
from prolific_async._tracebacks import without_frames
from prolific_async.errors import ProlificError
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from prolific_async.models import WaitStatus


class PollResult(NamedTuple):
    """Result of a poll of one target: a status, perhaps with the object that was read, or an error.

    Attributes:
        status: The status, None if the poll showed none.
        value: The object that the wait returns, such as the whole batch; None if the poll did not
            read it. Without a status, it confirms the status that an earlier poll showed.
        error: Why the poll failed, None if it succeeded.
        job: Another object that the poll read, for the error of a wait that fails; None for none.

    """

    status: WaitStatus | None = None
    value: Any = None
    error: ProlificError | None = None
    job: Any = None


@frozen(kw_only=True)
class GroupResult:
    """Result of a poll of a workspace's list, or of a search for the workspaces of batches.

    Attributes:
        found: Results by batch id.
        size: Bytes of the response's body.
        failure: Why the poll failed, None if it succeeded.
        refused_for: Seconds to pause after a 429, None after any other response.
        again: Whether an immediate second poll may find batches that this poll did not find.
        gave_up: Why a search found no list that shows several of the batches, None otherwise.

    """

    found: Mapping[str, PollResult] = field(default=MappingProxyType({}))
    size: int = 0
    failure: str | None = None
    refused_for: float | None = None
    again: bool = False
    gave_up: str | None = None


def failed_poll(error: ProlificError) -> PollResult:
    """Return the result of a poll that failed, without the frames and large bodies of its error."""
    return PollResult(error=without_frames(bounded(error, NEWEST)))


def failed_list(error: ProlificError | ValueError) -> GroupResult:
    """Return the result of a list poll that failed."""
    reason = (
        str(error)
        if isinstance(error, ProlificError)
        else f"the response is no list of batches ({error})"
    )
    return GroupResult(failure=brief(reason))


# Order of a batch's statuses; every other status counts as 1.
_AGES: dict[WaitStatus, int] = {
    BatchStatus.UNINITIALISED: 0,
    BatchStatus.READY: 2,
    BatchStatus.ERROR: 2,
}


def is_older(one: PollResult, other: PollResult) -> bool:
    """Return whether a result shows an earlier state of a batch than another result."""
    if one.status is None or other.status is None:
        return False
    return _AGES.get(one.status, 1) < _AGES.get(other.status, 1)
