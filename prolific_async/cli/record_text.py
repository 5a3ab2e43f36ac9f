"""Records as text: JSON lines, or CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from attrs import define, field

from prolific_async.cli.output import printable
from prolific_async.extensions import JsonModel

__all__ = ["CsvText", "Format", "JsonText"]

T = TypeVar("T", bound=JsonModel)

_LINE_END = "\r\n"  # with another one, Python before 3.13 does not quote a cell with "\r"


class Format(StrEnum):
    """The format in which records are written."""

    CSV = "csv"
    JSONL = "jsonl"


class JsonText(Generic[T]):
    """JSON lines: each holds a whole record, in ASCII."""

    def of(self, record: T) -> str:
        """Return the text of a record."""
        return json.dumps(record.to_dict()) + "\n"

    def rest(self) -> str:
        """Return the text after the last record: JSON lines have none."""
        return ""


@define(eq=False)
class CsvText(Generic[T]):
    """Rows of CSV, with a header before the first one.

    Args:
        rows: Returns the rows of a record, which all have the same keys: the names of the columns.
        columns: Names of the columns, for the header if there is no record.
        for_terminal: Whether control characters are escaped, as they could control a terminal.

    """

    _rows: Callable[[T], Sequence[Mapping[str, object]]]
    _columns: Sequence[str]
    _for_terminal: bool = False

    _has_header: bool = field(default=False, init=False)

    def of(self, record: T) -> str:
        """Return the rows of a record, perhaps none."""
        rows = self._rows(record)
        if not rows:
            return ""
        header = "" if self._has_header else self._line(rows[0])
        self._has_header = True
        return header + "".join(self._line(row.values()) for row in rows)

    def rest(self) -> str:
        """Return the header if there was no record."""
        return "" if self._has_header else self._line(self._columns)

    def _line(self, values: Iterable[object]) -> str:
        cells = map(_cell, values)
        if self._for_terminal:
            cells = map(printable, cells)
        text = io.StringIO()
        csv.writer(text, lineterminator=_LINE_END).writerow(cells)
        return text.getvalue().removesuffix(_LINE_END) + "\n"


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            return str(value)
