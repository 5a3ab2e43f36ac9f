"""Kinds of poll targets: how each kind is polled, and which of its statuses end a wait, and how.

Batches are one kind; datasets, imports, schema migrations, syncs and exports are others. A kind is
a value with the requests of its polls and with a verdict; the poller knows no kind but batches,
whose lists serve many.
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

Story: TypeAlias = "tuple[str, Any, float, int, tuple[()]]"
"""The first arguments of a WaitError: id, status, seconds, polls, and its events, added later."""


# A StatusEvent without its kind and id: a plain tuple costs a tenth of one, and mostly nobody asks.
Event: TypeAlias = (
    "tuple[WaitStatus | None, WaitStatus | None, int, float, float | None, ProlificError | None]"
)


@frozen(eq=False, repr=False, kw_only=True)
class Verdict:
    """The meaning of a kind's statuses for a wait. Any other status counts as pending.

    Attributes:
        ready: Statuses that end a wait well.
        failed: Statuses that end it with an error.
        pending: Statuses with which it goes on without a warning.
        failure: Makes that error of a story, the status being its second part, and of what a poll
            has read; None if nothing could be read.
        unstarted: Statuses of what nobody has started, which end a wait with ``not_started`` when
            they stay for ``uninitialised_grace``.
        not_started: Makes that error of a story.
        ends: Both kinds of statuses that end a wait.

    """

    ready: tuple[WaitStatus, ...]
    failed: tuple[WaitStatus, ...]
    pending: tuple[WaitStatus, ...]
    failure: Callable[[Story, Any], WaitError]
    unstarted: tuple[WaitStatus, ...] = ()
    not_started: Callable[..., WaitError] = WaitError
    ends: tuple[WaitStatus, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "ends", self.ready + self.failed)


@frozen(eq=False, repr=False, kw_only=True)
class Kind:
    """A kind of poll targets other than batches.

    Attributes:
        name: Its name, as in ``StatusEvent.kind``: "dataset", "import" …
        get_status: Builds the request of a poll, of a key and the path of a gateway. It reads a
            status, which may be None, or a value that ``status_of`` knows.
        get: Builds the request of what a wait returns, which is made when a poll has shown that it
            is ready, or has read nothing of how it failed; None where the polls read that.
        status_of: Returns the status of a value that was read, None if it has none.
        verdict: What its statuses mean.

    """

    name: str
    get_status: Callable[[TargetKey, str], Request]
    get: Callable[[TargetKey, str], Request] | None = None
    status_of: Callable[[Any], WaitStatus | None]
    verdict: Verdict


class TargetKey(NamedTuple):
    """What is polled, where that is no batch.

    Attributes:
        kind: Its kind.
        id: Its id, which another kind may have as well.
        parent_id: The id of what it belongs to, if its requests need that: the dataset of an
            import, the batch of a sync.

    """

    kind: Kind
    id: str
    parent_id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind.name} {self.id}"


Key: TypeAlias = str | TargetKey
"""Of a batch the id alone, as there may be many thousands, and lists find them by it."""


def id_of(key: Key) -> str:
    """Return the id of the batch, dataset or job of a key."""
    return key if isinstance(key, str) else key.id


def status_event(key: Key, event: Event) -> StatusEvent:
    """Return the ``StatusEvent`` of a poll from the record that a wait keeps of it."""
    if isinstance(key, str):
        return StatusEvent(key, *event)
    return StatusEvent(None, *event, key.kind.name, key.id)


def complete(error: WaitError, key: Key, events: Iterable[Event], cause: Exception | None) -> None:
    """Set the kind, the events and the cause of a wait's error."""
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
    failure=lambda story, batch: BatchFailedError(*story, batch),
    unstarted=(BatchStatus.UNINITIALISED,),
    not_started=BatchNotSetUpError,
)
