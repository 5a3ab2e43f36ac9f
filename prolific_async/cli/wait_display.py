"""Base class of the displays that follow waits: as lines, as JSON, or as a live table."""

from abc import abstractmethod
from collections.abc import Iterable

from attrs import define, field, frozen

from prolific_async.cli.display import Display
from prolific_async.errors import (
    BatchFailedError,
    BatchNotSetUpError,
    JobFailedError,
    WaitError,
    WaitTimeoutError,
)
from prolific_async.models import Batch, StatusEvent

__all__ = ["WaitDisplay", "WaitEnd", "outcome_name", "outcome_words"]


@frozen
class WaitEnd:
    """The end of a wait: the batch, and the READY batch or the error."""

    id: str
    outcome: Batch | WaitError


def outcome_name(outcome: Batch | WaitError) -> str:
    """Return the name of a wait's outcome in JSON."""
    match outcome:
        case Batch():
            return "ready"
        case BatchFailedError() | JobFailedError():
            return "failed"
        case BatchNotSetUpError():
            return "not_set_up"
        case WaitTimeoutError():
            return "timed_out"
        case _:
            return "gave_up"


def outcome_words(error: WaitError) -> str:
    """Return the name of a wait's outcome for a person."""
    return outcome_name(error).replace("_", " ")


@define(eq=False)
class WaitDisplay(Display):
    """Collects the events and ends of waits, and writes them ten times a second."""

    _news: list[StatusEvent | WaitEnd] = field(factory=list, init=False)

    def add_event(self, event: StatusEvent) -> None:
        """Add a poll; made for ``on_event``."""
        self._news.append(event)

    def add_end(self, batch_id: str, outcome: Batch | WaitError) -> None:
        """Add the end of a wait."""
        self._news.append(WaitEnd(batch_id, outcome))

    def _draw(self) -> None:
        news, self._news = self._news, []
        self._show(news)

    @abstractmethod
    def _show(self, news: Iterable[StatusEvent | WaitEnd]) -> None:
        """Write what came since the last call, perhaps nothing."""
