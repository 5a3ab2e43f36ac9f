"""Kinds of poll targets: the requests of their polls, and the statuses that end a wait.

Datasets, imports, schema migrations, syncs and exports are values of ``Kind``. Batches have no
such value: the poller handles them itself, as a workspace's list shows many at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from attrs import field, frozen

from prolific_async.errors import BatchFailedError, BatchNotSetUpError, WaitError
from prolific_async.models import BatchStatus, StatusEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prolific_async._http.request import Request
    from prolific_async.errors import ProlificError
    from prolific_async.models import WaitStatus

ErrorArgs: TypeAlias = "tuple[str, Any, float, int, tuple[()]]"
"""The first arguments of a WaitError: id, status, seconds, polls, and events (set later)."""


# Fields of a StatusEvent, without kind and id: few events are read, and a tuple costs a tenth.
Event: TypeAlias = (
    "tuple[WaitStatus | None, WaitStatus | None, int, float, float | None, ProlificError | None]"
)


@frozen(eq=False, repr=False, kw_only=True)
class Verdict:
    """The meaning of a kind's statuses for a wait. Any other status counts as pending.

    Attributes:
        ready: Statuses that end a wait with success.
        failed: Statuses that end a wait with an error.
        pending: Statuses with which a wait goes on without a warning.
        failure: Makes the error for a ``failed`` status from its first arguments and the object
            that a poll read, None if no poll could read it.
        unstarted: Statuses of work that nobody has started. A wait ends with an error when they
            last for ``uninitialised_grace``.
        not_started: Makes the error for an ``unstarted`` status from its first arguments.
        terminal: ``ready`` and ``failed`` together.

    """

    ready: tuple[WaitStatus, ...]
    failed: tuple[WaitStatus, ...]
    pending: tuple[WaitStatus, ...]
    failure: Callable[[ErrorArgs, Any], WaitError]
    unstarted: tuple[WaitStatus, ...] = ()
    not_started: Callable[..., WaitError] = WaitError
    terminal: tuple[WaitStatus, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "terminal", self.ready + self.failed)


@frozen(eq=False, repr=False, kw_only=True)
class Kind:
    """A kind of poll targets other than batches.

    Attributes:
        name: Its name, as in ``StatusEvent.kind``: "dataset", "import" …
        get_status: Builds the request of a poll from a key and the path prefix of a gateway. Its
            response is a status, which may be None, or an object for ``status_of``.
        get: Builds the request for the object that a wait returns, sent after a poll that showed
            success, or a failure without details; None if every poll reads this object.
        status_of: Returns the status of an object from a response, None if it has none.
        verdict: What its statuses mean for a wait.

    """

    name: str
    get_status: Callable[[TargetKey, str], Request]
    get: Callable[[TargetKey, str], Request] | None = None
    status_of: Callable[[Any], WaitStatus | None]
    verdict: Verdict


class TargetKey(NamedTuple):
    """Key of a poll target that is a dataset or job.

    Attributes:
        kind: Its kind.
        id: Its id; a target of another kind may have the same id.
        parent_id: Id of the dataset or batch that it belongs to, None if its requests need none.

    """

    kind: Kind
    id: str
    parent_id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind.name} {self.id}"


Key: TypeAlias = str | TargetKey
"""Key of a poll target. A batch's key is just its id, to save memory and to look it up in lists."""


def id_of(key: Key) -> str:
    """Return the id of the batch, dataset or job with a key."""
    return key if isinstance(key, str) else key.id


def status_event(key: Key, event: Event) -> StatusEvent:
    """Return the ``StatusEvent`` for the tuple that a wait keeps for each poll."""
    if isinstance(key, str):
        return StatusEvent(key, *event)
    return StatusEvent(None, *event, key.kind.name, key.id)


def complete_wait_error(
    error: WaitError, key: Key, events: Iterable[Event], cause: Exception | None
) -> None:
    """Set ``kind``, ``events`` and ``failure`` of a wait's error."""
    error.events = tuple(status_event(key, event) for event in events)
    error.failure = cause
    if not isinstance(key, str):
        error.kind = key.kind.name


def named(key: Key) -> str:
    """Return the kind and the id of a key as text, such as "batch 018f…"."""
    return f"batch {key}" if isinstance(key, str) else str(key)


BATCH_VERDICT = Verdict(
    ready=(BatchStatus.READY,),
    failed=(BatchStatus.ERROR,),
    pending=(BatchStatus.PROCESSING, BatchStatus.UNINITIALISED),
    failure=lambda args, batch: BatchFailedError(*args, batch),
    unstarted=(BatchStatus.UNINITIALISED,),
    not_started=BatchNotSetUpError,
)
