"""Display of waits as a live table, for a person at a terminal."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from attrs import define, field
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from prolific_async.cli.batch_output import cut_text, status_text
from prolific_async.cli.held_stderr import HeldStderr
from prolific_async.cli.output import printable
from prolific_async.cli.wait_display import WaitDisplay, WaitEnd, outcome_words
from prolific_async.dataset_models import Dataset
from prolific_async.errors import WaitError
from prolific_async.models import Batch, StatusEvent

__all__ = ["TableDisplay"]

_LINES_AROUND_ROWS = 2  # the header and the counts
_SHARE_OF_ERRORS = 3  # the newest errors have one line in so many, above the table
_COLUMNS_BESIDE_NAME = 44  # status, polls, elapsed and a short note; 80 columns show a whole id
_LEAST_NAME_WIDTH = 12  # columns


@define
class _Row:
    name: str
    status: str | None = None
    polls: int = 0
    began: float | None = None
    elapsed: float | None = None
    note: str = ""
    is_ready: bool = False

    def add_event(self, event: StatusEvent, now: float) -> None:
        self.status, self.polls = event.status, event.polls
        self.began = now - event.elapsed
        self.elapsed = event.elapsed if event.next_in is None else None
        survived = event.error if event.next_in is not None else None
        self.note = f"{type(survived).__name__}, retrying" if survived else ""

    def set_error(self, error: WaitError, note: str) -> None:
        self.elapsed, self.polls, self.note = error.elapsed, error.polls, note

    def set_ready(self, outcome: Batch | Dataset) -> None:
        self.is_ready = True
        if isinstance(outcome, Batch):
            self.note = f"{outcome.total_task_count} tasks"
        else:
            self.note = f"{outcome.total_datapoint_count or 0} rows"

    def hiding_rank(self) -> int:
        """Return how soon the row may be hidden: the higher, the sooner."""
        return self.is_ready + (self.elapsed is not None)

    def cells(self, now: float, name_width: int) -> tuple[Text, ...]:
        elapsed = self.elapsed
        if elapsed is None and self.began is not None:
            elapsed = now - self.began
        return (
            Text(_shortened(printable(self.name), name_width)),
            status_text(self.status),
            Text(str(self.polls)),
            Text("" if elapsed is None else f"{elapsed:.1f} s"),
            cut_text(self.note),
        )


def _shortened(name: str, width: int) -> str:
    """Return a name, cut in the middle if it is too long, as ids of one day begin alike."""
    if len(name) <= width:
        return name
    half = width // 2
    return f"{name[:half]}…{name[half + 1 - width :]}"


@define(eq=False)
class TableDisplay(WaitDisplay):
    """A table that is drawn again and again, with the number of rows of each status below it.

    Rows that do not fit the screen are hidden while waits go on, first those that are ready, then
    others whose waits have ended. The table that stays at the end has all rows.

    What is written to stderr meanwhile is printed above the table when that is drawn again.

    Args:
        names: Names by id; ids without a name are shown as they are.
        heading: Heading of the names.
        describe: Returns the text for a wait's error in the last column.
        keeps_ready: Whether the row of a READY batch or dataset stays; else it is only counted.

    """

    _names: Mapping[str, str]
    _heading: str = field(default="batch", kw_only=True)
    _describe: Callable[[WaitError], str] = field(default=outcome_words, kw_only=True)
    _keeps_ready: bool = field(default=True, kw_only=True)
    _rows: dict[str, _Row] = field(init=False)
    _removed: Counter[str | None] = field(factory=Counter, init=False)
    _is_whole: bool = field(default=False, init=False)
    _is_erased: bool = field(default=False, init=False)
    _stderr: HeldStderr = field(factory=HeldStderr, init=False)
    _lines_above: int = field(default=0, init=False)
    _console: Console = field(factory=Console, init=False)
    _live: Live = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make a row for each name."""
        self._rows = {batch_id: _Row(name) for batch_id, name in self._names.items()}
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            auto_refresh=False,
            redirect_stderr=False,  # else text for stderr goes to stdout
        )

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._stderr.hold(), self._live:
            try:
                yield
            finally:
                self._print_held_lines()
            self._is_whole = True

    def _show(self, changes: Iterable[StatusEvent | WaitEnd]) -> None:
        for item in changes:
            row = self._rows.setdefault(item.id, _Row(item.id))
            if isinstance(item, StatusEvent):
                row.add_event(item, time.monotonic())
            elif isinstance(item.outcome, WaitError):
                row.set_error(item.outcome, self._describe(item.outcome))
            else:
                row.set_ready(item.outcome)
                if not self._keeps_ready:
                    self._removed[row.status] += 1
                    del self._rows[item.id]
        self._print_held_lines()
        self._live.refresh()

    def _print_held_lines(self) -> None:
        """Print what was written to stderr where the table stands, which the next draw puts below.

        With rich alone, ``Live.console.print``, it would go to stdout.
        """
        text = self._stderr.take_lines()
        if not text:
            return
        if self._stderr.is_terminal():
            width = self._console.width
            self._lines_above += sum(-(-cell_len(line) // width) for line in text.splitlines())
            self._is_erased = True
            try:
                self._live.refresh()
            finally:
                self._is_erased = False
        self._stderr.print(text)

    def _render(self) -> RenderableType:
        if self._is_erased:
            return Group()
        if not self._rows:
            return self._counts(0)
        name_width = max(self._console.width - _COLUMNS_BESIDE_NAME, _LEAST_NAME_WIDTH)
        is_narrow = name_width == _LEAST_NAME_WIDTH
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column(self._heading, no_wrap=True)
        table.add_column("status", no_wrap=True, min_width=10)
        if not is_narrow:
            table.add_column("polls", no_wrap=True, justify="right")
        table.add_column("elapsed", no_wrap=True, justify="right", min_width=7)
        table.add_column("")  # rich shrinks only columns that may wrap; the cells are cut instead
        rows = list(self._rows.values())
        # On a narrow terminal the counts take two lines.
        above = min(self._lines_above, self._console.height // _SHARE_OF_ERRORS)
        room = max(self._console.height - _LINES_AROUND_ROWS - is_narrow - above, 0)
        hidden = 0 if self._is_whole else max(len(rows) - room, 0)
        if hidden:
            rows = sorted(rows, key=_Row.hiding_rank)[:room]
        now = time.monotonic()
        for row in rows:
            name, status, polls, *rest = row.cells(now, name_width)
            table.add_row(name, status, *([] if is_narrow else [polls]), *rest)
        return Group(table, self._counts(hidden))

    def _counts(self, hidden: int) -> Text:
        counts = Counter(row.status for row in self._rows.values()) + self._removed
        parts = [
            Text.assemble(f"{n} ", status_text(status) if status else "without a status")
            for status, n in counts.items()
        ]
        counted = Text(", ").join(parts)
        return counted.append(f" ({hidden} not shown)", "dim") if hidden else counted
