"""Displays of transfers and of the waits after them: bars for a person, lines for a log.

They are written to stderr, so that stdout has only the result.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field
from rich.console import Console, RenderableType
from rich.filesize import pick_unit_and_suffix
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from prolific_async.cli.batch_output import cut_text, status_text
from prolific_async.cli.display import Display
from prolific_async.cli.output import is_error_terminal, print_error, print_line
from prolific_async.cli.stdin import is_typed
from prolific_async.job_models import Progress
from prolific_async.models import StatusEvent
from prolific_async.statuses import DatasetStatus, JobStatus

__all__ = ["ProgressDisplay", "progress_display"]

_LINE_GAP = 10.0  # seconds between two lines of one step
_WIDEST_BAR, _NARROWEST_BAR = 40, 8  # columns
_DONE = (DatasetStatus.READY, JobStatus.COMPLETE, JobStatus.PARTIAL)
_BYTES = ["bytes", "kB", "MB", "GB", "TB"]
_BESIDE_BAR = 44  # columns: the step, the amount, the time, and the space between them


@define(eq=False)
class _Step:
    """A step of the work: a transfer, which has a progress, or a wait, which has statuses."""

    name: str
    began: float
    progress: Progress | None = None
    event: StatusEvent | None = None
    ended: float | None = None

    def elapsed(self, now: float) -> float:
        return (self.ended or now) - self.began

    def amount(self) -> Text:
        """Return how much is done, or the status of a wait."""
        if self.event is not None:
            survived = self.event.error if self.event.next_in is not None else None
            if survived is not None:
                return cut_text(f"{type(survived).__name__}, retrying")
            return status_text(self.event.status)
        return cut_text("" if self.progress is None else amount_of(self.progress))


def amount_of(progress: Progress) -> str:
    """Return the amount that is done, the total if it is known, and the unit."""
    done, total = progress.done, progress.total
    if progress.unit == "bytes":
        unit, name = pick_unit_and_suffix(max(done, total or 0), _BYTES, 1000)
        digits = 0 if unit == 1 else 1
        of_total = "" if total is None else f"/{total / unit:.{digits}f}"
        return f"{done / unit:.{digits}f}{of_total} {name}"
    if total is None:
        return f"{done:,} {progress.unit.removesuffix('s') if done == 1 else progress.unit}"
    return f"{done:,}/{total:,} {progress.unit}"


@define(eq=False)
class ProgressDisplay(Display):
    """Collects the progress of transfers and the events of waits, in one step for each kind."""

    _steps: dict[str, _Step] = field(factory=dict, init=False)

    def add_progress(self, progress: Progress) -> None:
        """Add the progress of a transfer; to be passed as ``on_progress``."""
        step = self._step(progress.step, progress.elapsed)
        step.progress = progress

    def add_event(self, event: StatusEvent) -> None:
        """Add a poll of a wait; to be passed as ``on_event``."""
        # The import into a dataset without a schema shows as the dataset's status.
        name = "import" if event.kind == "dataset" else event.kind
        step = self._step(name, event.elapsed)
        step.event = event

    def _step(self, name: str, elapsed: float) -> _Step:
        if name not in self._steps:
            now = time.monotonic()
            self._end_steps(now)
            self._steps[name] = _Step(name, now - elapsed)
        return self._steps[name]

    def _end_steps(self, now: float) -> None:
        for step in self._steps.values():
            step.ended = step.ended or now


@define(eq=False)
class BarDisplay(ProgressDisplay):
    """A bar for each step, which stays when the step has ended."""

    _console: Console = field(factory=lambda: Console(stderr=True), init=False)
    _live: Live = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Prepare the part of the terminal that is redrawn."""
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,  # else text for stdout goes to stderr
        )

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._live:
            try:
                yield
            finally:
                self._end_steps(time.monotonic())

    def _draw(self) -> None:
        self._live.refresh()

    def _render(self) -> RenderableType:
        now = time.monotonic()
        room = self._console.width - _BESIDE_BAR
        bar_width = min(_WIDEST_BAR, max(_NARROWEST_BAR, room))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column()  # rich shrinks only columns that may wrap; the cells are cut instead
        grid.add_column(no_wrap=True, justify="right")
        for step in self._steps.values():
            elapsed = Text(f"{step.elapsed(now):.1f} s")
            grid.add_row(Text(step.name), _bar(step, bar_width, now), step.amount(), elapsed)
        return grid


def _bar(step: _Step, width: int, now: float) -> ProgressBar:
    if step.progress is not None and step.progress.total:
        return ProgressBar(step.progress.total, step.progress.done, width)
    if step.ended is None:
        return ProgressBar(None, width=width, pulse=True, animation_time=now)
    # A wait that was given up, or has found a failure, is not shown as done.
    is_done = step.event is None or step.event.status in _DONE
    return ProgressBar(1, int(is_done), width)


@define(eq=False)
class LineDisplay(ProgressDisplay):
    """A line for each change of a status, and for a transfer at its end and every ten seconds."""

    _written: dict[str, tuple[float, object]] = field(factory=dict, init=False)
    _reported: set[type[Exception]] = field(factory=set, init=False)

    @contextmanager
    def _open(self) -> Iterator[None]:
        yield
        self._end_steps(time.monotonic())
        self._draw()

    def _draw(self) -> None:
        for step in self._steps.values():
            if step.progress is not None:
                self._draw_progress(step, step.progress)
            if step.event is not None:
                self._draw_event(step.name, step.event)

    def _draw_progress(self, step: _Step, progress: Progress) -> None:
        # The step's elapsed seconds when its last line was printed; 0 before the first line.
        when, shown = self._written.get(step.name, (0.0, None))
        is_due = progress.elapsed - when >= _LINE_GAP or step.ended is not None
        if is_due and progress is not shown:
            self._written[step.name] = progress.elapsed, progress
            print_line(f"{progress.elapsed:.1f} s", step.name, amount_of(progress), err=True)

    def _draw_event(self, name: str, event: StatusEvent) -> None:
        _, shown = self._written.get(name, (0.0, None))
        if event.status != shown:
            self._written[name] = event.elapsed, event.status
            print_line(f"{event.elapsed:.1f} s", name, event.status, err=True)
        survived = event.error if event.next_in is not None else None
        if survived is not None and type(survived) not in self._reported:
            self._reported.add(type(survived))
            print_error(f"still waiting, though a poll failed: {survived}")


@define(eq=False)
class NoDisplay(ProgressDisplay):
    """Shows nothing, for a program that reads JSON and no progress."""

    def _draw(self) -> None:
        pass


def progress_display(
    *, as_json: bool, reads_stdin: bool = False, is_piped: bool = False
) -> ProgressDisplay:
    """Return the display that suits stderr: bars, lines, or none.

    Args:
        as_json: Whether JSON was asked for.
        reads_stdin: Whether the command reads standard input.
        is_piped: Whether stdout goes to another program, which may write to the same terminal.

    """
    # Typed text, or output of another program on the same terminal, would break up a bar.
    if is_error_terminal() and not (is_piped or (reads_stdin and is_typed())):
        return BarDisplay()
    return NoDisplay() if as_json else LineDisplay()
