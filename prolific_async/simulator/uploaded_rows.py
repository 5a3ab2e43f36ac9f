"""Parsing of uploaded CSV and JSONL, one record at a time, and the number of task groups.

Only a few records are in memory at a time, so a file of any size can be counted.
"""

import csv
import io
import itertools
import json
import threading
from collections.abc import Generator, Iterable, Iterator, Sized
from typing import IO, Any

__all__ = ["UnreadableRecord", "csv_records", "jsonl_records", "task_group_count"]

_FIELD_LIMIT = threading.Lock()
_LONGEST_CELL = 2**31 - 1  # the largest number in a C long of every platform
_ROWS_AT_ONCE = 32


class UnreadableRecord(Exception):  # noqa: N818 - a record's verdict, yielded and not raised
    """A record that cannot be parsed; `str()` gives the reason."""


def csv_records(
    file: IO[bytes],
) -> Generator[dict[str, str] | UnreadableRecord, None, None]:
    """Yield each data row of a CSV in UTF-8 as a mapping of column to cell.

    A byte order mark is skipped, and so are empty lines. A row with too many or too few cells is
    an `UnreadableRecord` [?: not documented]. Raises UnicodeDecodeError for other encodings.
    Close it before the file.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        rows = _unlimited(csv.reader(text))
        header = next(rows, [])
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                yield UnreadableRecord(f"{len(row)} cells, but the header has {len(header)}")
            else:
                yield dict(zip(header, row, strict=True))
    finally:
        text.detach()


def jsonl_records(file: Iterable[bytes]) -> Iterator[dict[str, Any] | UnreadableRecord]:
    """Yield each line's JSON object; blank lines are skipped.

    A line that is not a JSON object in UTF-8 is an `UnreadableRecord`.
    """
    for line in file:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield UnreadableRecord(f"not JSON: {error}")
            continue
        yield record if isinstance(record, dict) else UnreadableRecord("not a JSON object")


def task_group_count(tasks: int, tasks_per_group: int, groups: Sized | None) -> int:
    """Return how many groups a setup makes.

    `groups` are the values of the `META_TASK_GROUP_ID` column (V3) or of the `task_group_id`
    field (V4), which override `tasks_per_group`; None where the dataset has no such column.
    """
    if groups is not None:
        return len(groups)
    return -(-tasks // tasks_per_group)


def _unlimited(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    # The csv module's limit of 131,072 characters in a cell belongs to the whole process, so it is
    # lifted while a few rows are read only.
    while True:
        with _FIELD_LIMIT:
            limit = csv.field_size_limit(_LONGEST_CELL)
            try:
                some = list(itertools.islice(rows, _ROWS_AT_ONCE))
            finally:
                csv.field_size_limit(limit)
        if not some:
            return
        yield from some
