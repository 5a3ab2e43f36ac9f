"""Columns of the fault matrix: the calls and polls that a fault hits, and common times."""

from __future__ import annotations

from enum import Enum
from itertools import product
from typing import TypeAlias

GAP = 10.0
"""Seconds between polls."""
SET_UP = 25.0
"""Seconds from setup to READY: the polls come at 0, 10, 20 and 30 s, and the fourth shows it."""
DEADLINE = 25.0
"""Seconds that a wait may last whose last poll is hit: polls of 0, 10, 20 and 24 s, no READY."""


class Call(Enum):
    """A single call."""

    ONCE = "get_status, hit once"
    ALWAYS = "get_status, hit each time"
    DUPLICATE_LOST = "duplicate, not applied"
    DUPLICATE_APPLIED = "duplicate, applied"
    SETUP_LOST = "setup, not applied"
    SETUP_APPLIED = "setup, applied"
    CREATE_LOST = "batches.create, not applied"
    CREATE_APPLIED = "batches.create, applied"
    DATASET_LOST = "datasets.create, not applied"
    DATASET_APPLIED = "datasets.create, applied"
    APPEND_LOST = "append, not applied"
    APPEND_APPLIED = "append, applied"
    UPLOAD_LOST = "upload, not applied"
    UPLOAD_APPLIED = "upload, applied"

    @property
    def is_applied(self) -> bool:
        """Whether the service runs the request that is hit."""
        return self.value.endswith(", applied")


class Answers(Enum):
    """A call about the answers to a batch."""

    RESPONSES = "responses"
    EXPORTS = "exports"
    EXPORT_LOST = "export, not applied"
    EXPORT_APPLIED = "export, applied"
    DELETE_LOST = "Export.delete, not applied"
    DELETE_APPLIED = "Export.delete, applied"

    @property
    def is_applied(self) -> bool:
        """Whether the service runs the request that is hit."""
        return not self.value.endswith(", not applied")


class File(Enum):
    """A file that is read: the call that asks for its link is hit, or its storage."""

    ROWS_LINK = "report.rows, the link"
    REPORT_LINK = "report.download, the link"
    ARCHIVE_LINK = "Export.download, the link"
    ROWS = "report.rows, the file"
    REPORT = "report.download, the file"
    ARCHIVE = "Export.download, the file"

    @property
    def is_link(self) -> bool:
        """Whether the call that asks for the link is hit."""
        return self.value.endswith(", the link")


READS = (Call.ONCE, Call.ALWAYS)
COPIES = (Call.DUPLICATE_LOST, Call.DUPLICATE_APPLIED, Call.SETUP_LOST, Call.SETUP_APPLIED)
FROM_NOTHING = tuple(call for call in Call if call not in (*READS, *COPIES))


class Position(Enum):
    """Which poll of a wait is hit."""

    FIRST = 1
    MIDDLE = 2
    LAST = 4


class Sharing(Enum):
    """How many waits there are, and for what."""

    ALONE = "one wait"
    TEN = "ten waits for one batch"
    GROUP = "eight batches, by their list"
    IMPORT = "one wait for an import"
    EXPORT = "one wait for an export"


Column: TypeAlias = Call | Answers | File | tuple[Position, Sharing]

COLUMNS: tuple[Column, ...] = (*Call, *Answers, *File, *product(Position, Sharing))

STREAMS = (Answers.RESPONSES, Answers.EXPORTS, File.ROWS, File.REPORT, File.ARCHIVE)
"""What is read from streams that break."""

NEVER = "—"
"""In the place of an outcome: the fault cannot hit so."""


def shown(column: Column) -> str:
    """Return the heading of a column."""
    return str((column[1] if isinstance(column, tuple) else column).value)


def title(column: Column) -> str:
    """Return the name of a column that is unique in the matrix."""
    return (
        f"{column[0].name.lower()} poll, {shown(column)}"
        if isinstance(column, tuple)
        else shown(column)
    )
