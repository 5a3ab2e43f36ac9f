"""Displays of waits as lines of text for a pipe, and as lines of JSON for a program."""

from collections.abc import Iterable, Mapping

from attrs import define, field

from prolific_async.cli.output import error_document, print_error, print_json, print_line
from prolific_async.cli.wait_display import WaitDisplay, WaitEnd, outcome_name, outcome_words
from prolific_async.dataset_models import Dataset
from prolific_async.errors import BatchFailedError, JobFailedError, ProlificError, WaitError
from prolific_async.extensions import dataset_status
from prolific_async.models import Batch, StatusEvent

__all__ = ["JsonDisplay", "TextDisplay"]


@define(eq=False)
class TextDisplay(WaitDisplay):
    """Prints a line for each change of a status, and for each outcome that no status shows.

    The first failed poll with each type of error is reported on stderr: without a network, a wait
    would otherwise be silent for minutes.

    Args:
        names: Names of batches by id; ids without a name are shown as they are.

    """

    _names: Mapping[str, str] = field(factory=dict)
    _reported: set[type[ProlificError]] = field(factory=set, init=False)

    def _show(self, changes: Iterable[StatusEvent | WaitEnd]) -> None:
        for item in changes:
            name = self._names.get(item.id, item.id)
            if isinstance(item, StatusEvent):
                if item.status != item.previous:
                    print_line(f"{item.elapsed:.1f} s", name, item.status)
                if item.error is not None and item.next_in is not None:
                    self._report(item.error)
            elif not isinstance(item.outcome, Batch | BatchFailedError | Dataset | JobFailedError):
                print_line(f"{item.outcome.elapsed:.1f} s", name, outcome_words(item.outcome))

    def _report(self, survived: ProlificError) -> None:
        if type(survived) not in self._reported:
            self._reported.add(type(survived))
            print_error(f"still waiting, though a poll failed: {survived}")


@define(eq=False)
class JsonDisplay(WaitDisplay):
    """Prints a line of JSON for each poll and for the end of each wait.

    Args:
        kind: "batch" or "dataset".

    """

    _kind: str = "batch"

    _newest: dict[str, StatusEvent] = field(factory=dict, init=False)

    def _show(self, changes: Iterable[StatusEvent | WaitEnd]) -> None:
        for item in changes:
            if isinstance(item, StatusEvent):
                self._newest[item.id] = item
                print_json(_poll_document(self._kind, item))
            else:
                print_json(_end_document(self._kind, item, self._newest.pop(item.id, None)))


def _poll_document(kind: str, event: StatusEvent) -> dict[str, object]:
    return {
        "kind": "poll",
        f"{kind}_id": event.id,
        "status": event.status,
        "previous": event.previous,
        "polls": event.polls,
        "elapsed": event.elapsed,
        "next_in": event.next_in,
        "error": error_document(event.error),
    }


def _end_document(kind: str, end: WaitEnd, newest: StatusEvent | None) -> dict[str, object]:
    outcome = end.outcome
    error = outcome if isinstance(outcome, WaitError) else None
    found: object = outcome
    if isinstance(outcome, BatchFailedError):
        found = outcome.batch
    elif isinstance(outcome, JobFailedError):
        found = outcome.job
    counted = error or newest
    return {
        "kind": "end",
        f"{kind}_id": end.id,
        "outcome": outcome_name(outcome),
        "status": _last_status(outcome),
        "polls": counted.polls if counted else 0,
        "elapsed": counted.elapsed if counted else 0.0,
        kind: found.to_dict() if isinstance(found, Batch | Dataset) else None,
        "error": error_document(error),
    }


def _last_status(outcome: Batch | Dataset | WaitError) -> str | None:
    if isinstance(outcome, WaitError):
        return outcome.last_status
    return dataset_status(outcome) if isinstance(outcome, Dataset) else outcome.status
