"""Waits as a table that is drawn again and again: for a person at a terminal."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from attrs import define
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from prolific_async.cli.board import Board, Ended, in_words
from prolific_async.cli.output import literal
from prolific_async.cli.tables import cut_text, status_text
from prolific_async.errors import WaitError
from prolific_async.models import BatchStatus, StatusEvent

__all__ = ["LiveTable"]

_AROUND_ROWS = 2  # lines: the header and the counts
_REST = 44  # columns: status, polls, elapsed and a short note, so that 80 show a whole id
_SHORT = 12  # columns of a name at least, before something else gives way


@define
class _Row:
    name: str
    status: BatchStatus | None = None
    polls: int = 0
    began: float | None = None
    elapsed: float | None = None
    note: str = ""

    def see(self, event: StatusEvent, now: float) -> None:
        self.status, self.polls = event.status, event.polls
        self.began = now - event.elapsed
        self.elapsed = event.elapsed if event.next_in is None else None
        survived = event.error if event.next_in is not None else None
        self.note = f"{type(survived).__name__}, retrying" if survived else ""

    def fail(self, error: WaitError, note: str) -> None:
        self.elapsed, self.polls, self.note = error.elapsed, error.polls, note

    def rank(self) -> int:
        """Say how soon it may be left out: the higher, the sooner."""
        return (self.status is BatchStatus.READY) + (self.elapsed is not None)

    def cells(self, now: float, name_width: int) -> tuple[Text, ...]:
        elapsed = self.elapsed
        if elapsed is None and self.began is not None:
            elapsed = now - self.began
        return (
            Text(_shortened(literal(self.name), name_width)),
            status_text(self.status),
            Text(str(self.polls)),
            Text("" if elapsed is None else f"{elapsed:.1f} s"),
            cut_text(self.note),
        )


def _shortened(name: str, room: int) -> str:
    """Return a name without its middle if it is too long: ids of one day begin alike."""
    if len(name) <= room:
        return name
    half = room // 2
    return f"{name[:half]}…{name[half + 1 - room :]}"


class LiveTable(Board):
    """A table that is drawn again and again, with the counts below it.

    What does not fit the screen is left out while it runs, READY batches first, then others that
    have ended; the table that stays is whole.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        *,
        heading: str = "batch",
        note: Callable[[WaitError], str] = in_words,
        keeps_ready: bool = True,
    ) -> None:
        """Take what is shown.

        Args:
            names: How batches are called, by id; others are called by their ids.
            heading: What the names are.
            note: How a wait's error is noted.
            keeps_ready: Whether READY batches keep their rows, or are only counted.

        """
        super().__init__()
        self._rows = {batch_id: _Row(name) for batch_id, name in names.items()}
        self._heading = heading
        self._note = note
        self._keeps_ready = keeps_ready
        self._forgotten = 0
        self._is_whole = False
        self._console = Console()
        self._live = Live(get_renderable=self._render, console=self._console, auto_refresh=False)

    @contextmanager
    def _shown(self) -> Iterator[None]:
        with self._live:
            yield
            self._is_whole = True

    def _show(self, news: Iterable[StatusEvent | Ended]) -> None:
        for item in news:
            row = self._rows.setdefault(item.batch_id, _Row(item.batch_id))
            if isinstance(item, StatusEvent):
                row.see(item, time.monotonic())
            elif isinstance(item.outcome, WaitError):
                row.fail(item.outcome, self._note(item.outcome))
            elif self._keeps_ready:
                row.note = f"{item.outcome.total_task_count} tasks"
            else:
                self._forgotten += 1
                del self._rows[item.batch_id]
        self._live.refresh()

    def _render(self) -> RenderableType:
        if not self._rows:
            return self._counts(0)
        name_width = max(self._console.width - _REST, _SHORT)
        is_narrow = name_width == _SHORT
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column(self._heading, no_wrap=True)
        table.add_column("status", no_wrap=True, min_width=10)
        if not is_narrow:
            table.add_column("polls", no_wrap=True, justify="right")
        table.add_column("elapsed", no_wrap=True, justify="right", min_width=7)
        table.add_column("")  # only a column that may wrap gives way; its cells are cut instead
        rows = list(self._rows.values())
        room = self._console.height - _AROUND_ROWS - is_narrow  # where the counts take two lines
        hidden = 0 if self._is_whole else max(len(rows) - room, 0)
        if hidden:
            rows = sorted(rows, key=_Row.rank)[:room]
        now = time.monotonic()
        for row in rows:
            name, status, polls, *rest = row.cells(now, name_width)
            table.add_row(name, status, *([] if is_narrow else [polls]), *rest)
        return Group(table, self._counts(hidden))

    def _counts(self, hidden: int) -> Text:
        counts = Counter(row.status for row in self._rows.values())
        if self._forgotten:
            counts[BatchStatus.READY] += self._forgotten
        parts = [
            Text.assemble(f"{n} ", status_text(status) if status else "without a status")
            for status, n in counts.items()
        ]
        told = Text(", ").join(parts)
        return told.append(f" ({hidden} not shown)", "dim") if hidden else told
