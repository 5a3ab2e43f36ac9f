"""Output of batches: a table of many, or every field of one.

On a pipe, and on a terminal too narrow for a table, cells are separated by tabs.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prolific_async.cli.output import is_terminal, print_line, printable
from prolific_async.models import Batch, BatchStatus
from prolific_async.statuses import JobStatus

__all__ = ["cut_text", "has_room", "print_batch", "print_batches", "status_text"]

_NARROW = 72  # columns; with fewer, an id and a status leave no room for a name
_WIDE = 100  # columns; from here on, the date fits beside a readable name

_STYLES: Mapping[str, str] = {
    BatchStatus.UNINITIALISED: "dim",
    BatchStatus.PROCESSING: "yellow",
    BatchStatus.READY: "green",
    BatchStatus.ERROR: "bold red",
    JobStatus.UNINITIALISED: "dim",
    JobStatus.QUEUED: "dim",
    JobStatus.PROCESSING: "yellow",
    JobStatus.PENDING_SCHEMA: "yellow",
    JobStatus.COMPLETE: "green",
    JobStatus.PARTIAL: "bold yellow",
    JobStatus.FAILED: "bold red",
}


def status_text(status: str | None) -> Text:
    """Return a status as coloured text: magenta if unknown, a dim "-" for None."""
    if status is None:
        return Text("-", "dim")
    return Text(printable(status), _STYLES.get(status, "magenta"))


def cut_text(text: object) -> Text:
    """Return text that is cut if its column is too narrow."""
    return Text(printable(text), no_wrap=True, overflow="ellipsis")


def print_batches(batches: Sequence[Batch]) -> None:
    """Print a line for each batch."""
    if not has_room():
        for batch in batches:
            created = f"{batch.created_at:%Y-%m-%dT%H:%M:%SZ}"
            print_line(batch.id, batch.name, batch.status, batch.total_task_count, created)
        return
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("id", no_wrap=True)
    table.add_column("name")  # rich shrinks only columns that may wrap; the cells are cut instead
    table.add_column("status", no_wrap=True)
    table.add_column("tasks", no_wrap=True, justify="right")
    if console.width >= _WIDE:
        table.add_column("created (UTC)", no_wrap=True)
    for batch in batches:
        cells = (
            Text(printable(batch.id)),
            cut_text(batch.name),
            status_text(batch.status),
            Text(str(batch.total_task_count)),
            Text(f"{batch.created_at:%Y-%m-%d %H:%M}"),
        )
        table.add_row(*cells[: len(table.columns)])
    console.print(table)


def print_batch(batch: Batch) -> None:
    """Print a line for each field of a batch."""
    fields = list(_fields(batch.to_dict()))
    if not has_room():
        for key, value in fields:
            print_line(key, value)
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for key, value in fields:
        shown = status_text(value) if key == "status" else Text(printable(value))
        grid.add_row(Text(printable(key)), shown)
    Console().print(grid)


def has_room() -> bool:
    """Return whether stdout is a terminal that is wide enough for a table."""
    return is_terminal() and Console().width >= _NARROW


def _fields(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in document.items():
        yield from _field(f"{prefix}{key}", value)


def _field(key: str, value: Any) -> Iterable[tuple[str, str]]:
    match value:
        case Mapping():
            return _fields(value, f"{key}.")
        case list() if key == "datasets":
            return [pair for n, item in enumerate(value) for pair in _fields(item, f"{key}[{n}].")]
        case list():
            return [(key, f"{len(value)} (see --json)")]
        case str():
            return [(key, value)]
        case _:
            return [(key, json.dumps(value))]
