"""Base class of the displays that follow waits: as lines, as JSON, or as a live table."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from prolific_async.cli.display import Display
from prolific_async.dataset_models import Dataset
from prolific_async.errors import (
    BatchFailedError,
    BatchNotSetUpError,
    JobFailedError,
    NothingUploadedError,
    PartialImportError,
    SchemaNeededError,
    WaitError,
    WaitTimeoutError,
)
from prolific_async.models import Batch, StatusEvent

__all__ = ["OUTCOMES", "WaitDisplay", "WaitEnd", "outcome_name", "outcome_words"]


@frozen
class WaitEnd:
    """The end of a wait: the id of its batch or dataset, and the result or the error."""

    id: str
    outcome: Batch | Dataset | WaitError


OUTCOMES: Mapping[type[WaitError], str] = {  # the first class that matches decides
    PartialImportError: "partial",
    BatchFailedError: "failed",
    JobFailedError: "failed",
    BatchNotSetUpError: "not_set_up",
    NothingUploadedError: "nothing_uploaded",
    SchemaNeededError: "schema_needed",
    WaitTimeoutError: "timed_out",
    WaitError: "gave_up",
}


def outcome_name(outcome: object) -> str:
    """Return the name of a wait's outcome in JSON, such as "timed_out"."""
    return next((name for kind, name in OUTCOMES.items() if isinstance(outcome, kind)), "ready")


def outcome_words(outcome: object) -> str:
    """Return the name of a wait's outcome for a person, such as "timed out"."""
    return outcome_name(outcome).replace("_", " ")


@define(eq=False)
class WaitDisplay(Display):
    """Collects the events and ends of waits, and writes them ten times a second."""

    _changes: list[StatusEvent | WaitEnd] = field(factory=list, init=False)

    def add_event(self, event: StatusEvent) -> None:
        """Add a poll; to be passed as ``on_event``."""
        self._changes.append(event)

    def add_end(self, awaited_id: str, outcome: Batch | Dataset | WaitError) -> None:
        """Add the end of a wait."""
        self._changes.append(WaitEnd(awaited_id, outcome))

    def _draw(self) -> None:
        changes, self._changes = self._changes, []
        self._show(changes)

    @abstractmethod
    def _show(self, changes: Iterable[StatusEvent | WaitEnd]) -> None:
        """Write the events and ends since the last call, perhaps none."""
