"""Waits as lines: for a pipe, or as JSON for a program."""

from collections.abc import Iterable, Mapping

from prolific_async.cli.board import Board, Ended, ending, in_words
from prolific_async.cli.output import complain, error_document, print_json, print_line
from prolific_async.errors import BatchFailedError, ProlificError, WaitError
from prolific_async.models import Batch, StatusEvent

__all__ = ["JsonLines", "Lines"]


class Lines(Board):
    """One line when a batch changes its status, and when a wait ends without one.

    Of polls that fail and are made again, the first of each kind is told, else a wait that finds no
    network would be silent for minutes.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        """Take how batches are called, by id; others are called by their ids."""
        super().__init__()
        self._names = names or {}
        self._told: set[type[ProlificError]] = set()

    def _show(self, news: Iterable[StatusEvent | Ended]) -> None:
        for item in news:
            name = self._names.get(item.batch_id, item.batch_id)
            if isinstance(item, StatusEvent):
                if item.status != item.previous:
                    print_line(f"{item.elapsed:.1f} s", name, item.status)
                if item.error is not None and item.next_in is not None:
                    self._tell(item.error)
            elif not isinstance(item.outcome, Batch | BatchFailedError):
                print_line(f"{item.outcome.elapsed:.1f} s", name, in_words(item.outcome))

    def _tell(self, survived: ProlificError) -> None:
        if type(survived) not in self._told:
            self._told.add(type(survived))
            complain(f"still waiting, though a poll failed: {survived}")


class JsonLines(Board):
    """One JSON document in a line for every poll, and for every end."""

    def __init__(self) -> None:
        """Start without news."""
        super().__init__()
        self._newest: dict[str, StatusEvent] = {}

    def _show(self, news: Iterable[StatusEvent | Ended]) -> None:
        for item in news:
            if isinstance(item, StatusEvent):
                self._newest[item.batch_id] = item
                print_json(_poll_document(item))
            else:
                print_json(_end_document(item, self._newest.pop(item.batch_id, None)))


def _poll_document(event: StatusEvent) -> dict[str, object]:
    return {
        "kind": "poll",
        "batch_id": event.batch_id,
        "status": event.status,
        "previous": event.previous,
        "polls": event.polls,
        "elapsed": event.elapsed,
        "next_in": event.next_in,
        "error": error_document(event.error),
    }


def _end_document(ended: Ended, newest: StatusEvent | None) -> dict[str, object]:
    end = ended.outcome
    error = end if isinstance(end, WaitError) else None
    batch = end.batch if isinstance(end, BatchFailedError) else end
    told = error or newest
    return {
        "kind": "end",
        "batch_id": ended.batch_id,
        "outcome": ending(end),
        "status": end.last_status if isinstance(end, WaitError) else end.status,
        "polls": told.polls if told else 0,
        "elapsed": told.elapsed if told else 0.0,
        "batch": batch.to_dict() if isinstance(batch, Batch) else None,
        "error": error_document(error),
    }
