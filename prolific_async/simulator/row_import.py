"""Parsing of uploaded files and appended records into `ImportedRows`, and checks of each record.

Sources: "Working with Datasets" and "Appending data to a dataset" of docs.prolific.com for the
types of file, the `META_TASK_GROUP_ID` column, identical records and the errors.
"""

import contextlib
import csv
import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, cast

from prolific_async.simulator.dataset_models import ImportedRows
from prolific_async.simulator.uploaded_rows import UnreadableRecord, csv_records, jsonl_records

__all__ = [
    "CONTENT_TYPES",
    "GROUP_COLUMN",
    "check_records",
    "group_field",
    "missing_field",
    "read_upload",
    "suffix",
]

# By generation and suffix. The type for JSONL is not documented [?].
CONTENT_TYPES: Mapping[int, Mapping[str, str]] = {
    3: {".csv": "text/csv", ".zip": "application/zip"},
    4: {".csv": "text/csv", ".jsonl": "application/x-ndjson"},
}
GROUP_COLUMN = "META_TASK_GROUP_ID"
_MAX_ERRORS = 100  # the list "may be shorter" than the count
_MAX_COMPARED = 500_000  # records; it is about 50 MB
_encode = json.JSONEncoder(sort_keys=True).encode


def suffix(filename: str) -> str:
    """Return a file's suffix in lower case, with its dot; empty if it has none."""
    _, dot, end = filename.rpartition(".")
    return (dot + end).lower()


def group_field(schema: Mapping[str, Any]) -> str | None:
    """Return the key of the field whose values group the records, or None."""
    fields: Mapping[str, Mapping[str, Any]] = schema["fields"]
    grouping = (key for key, field in fields.items() if field["type"] == "task_group_id")
    return next(grouping, None)


def missing_field(schema: Mapping[str, Any], has: frozenset[str]) -> str | None:
    """Return the first field of a strict schema that is not in `has`, the fields of a record."""
    fields: Mapping[str, Any] = schema["fields"]
    if not schema["strict"] or fields.keys() <= has:
        return None
    return next(key for key in fields if key not in has)


def read_upload(
    file: BinaryIO,
    filename: str,
    schema: Mapping[str, Any] | None,
    in_slices: Callable[[BinaryIO], BinaryIO] = lambda file: file,
) -> ImportedRows:
    """Read a file of version 4, or of version 3 where `schema` is None.

    A file without records, or one that is not UTF-8, fails as a whole, and so does a file of
    version 3 with a row that cannot be read. A ZIP counts the rows of its CSV files. [?: all of
    this is assumed]

    Args:
        file: The file, at its beginning.
        filename: Its suffix tells the format.
        schema: The dataset's schema; None for version 3.
        in_slices: Wraps each file that is read from end to end: the file, or those in a ZIP.
    """
    try:
        if suffix(filename) == ".zip":
            rows = _read_zip(file, in_slices)
        elif suffix(filename) == ".jsonl":
            rows = check_records(jsonl_records(in_slices(file)), schema, first=0)
        else:
            rows = _read_csv(in_slices(file), schema)
    except UnicodeDecodeError:
        return ImportedRows(failure="The file is not UTF-8.")
    except csv.Error as error:
        return ImportedRows(failure=f"The file is not CSV: {error}.")
    # The last two: an unknown compression, and encryption.
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return ImportedRows(failure="The file is not a ZIP archive that can be read.")
    if rows.failure is None and not rows.accepted + rows.rejected:
        rows.failure = "The file has no records."
    return rows


def check_records(
    records: Iterable[Mapping[str, Any] | UnreadableRecord],
    schema: Mapping[str, Any] | None,
    *,
    first: int,
    into: ImportedRows | None = None,
) -> ImportedRows:
    """Check, count and keep records.

    With a strict schema a record that misses a field is rejected; null counts as missing, and a
    list or an object is no value of a field. Other keys are ignored [?]. Identical records count
    once, as far as the first 500,000 different ones are concerned: the others are not compared.

    Args:
        records: Parsed records.
        schema: None for version 3.
        first: The index of the first record in `errors`.
        into: Rows to which they are added; new ones if left out.
    """
    rows = ImportedRows() if into is None else into
    grouping = GROUP_COLUMN if schema is None else group_field(schema)
    for index, record in enumerate(records, first):
        problem = _problem(record, schema)
        if problem is None:
            _accept(rows, record, grouping, compares=schema is not None)
        elif schema is None:
            rows.failure = f"Row {index + 1}: {problem[1]}."
            return rows
        else:
            rows.rejected += 1
            if len(rows.errors) < _MAX_ERRORS:
                field, reason = problem
                rows.errors.append({"record_index": index, "field": field, "reason": reason})
    return rows


def _problem(
    record: Mapping[str, Any] | UnreadableRecord, schema: Mapping[str, Any] | None
) -> tuple[str, str] | None:
    if isinstance(record, UnreadableRecord):
        return "_raw", str(record)
    if schema is None:
        return None
    for key in schema["fields"]:
        if isinstance(record.get(key), list | dict):
            return key, "not text, a number, true or false"
    missing = missing_field(schema, _fields(record))
    return None if missing is None else (missing, "missing")


def _accept(rows: ImportedRows, record: Any, grouping: str | None, *, compares: bool) -> None:
    rows.accepted += 1
    if compares:
        if not _is_new(rows, record):
            return
        rows.keys[_fields(record)] += 1
    rows.records.add(record)
    if record.get(grouping) is not None:
        rows.groups = Counter() if rows.groups is None else rows.groups
        rows.groups[str(record[grouping])] += 1


def _is_new(rows: ImportedRows, record: Mapping[str, Any]) -> bool:
    if len(rows.digests) >= _MAX_COMPARED:
        return True
    digest = hashlib.blake2b(_encode(record).encode(), digest_size=16).digest()
    if digest in rows.digests:
        return False
    rows.digests[digest] = None
    return True


def _fields(record: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys of a record whose values are not null."""
    if None in record.values():
        return frozenset(key for key, value in record.items() if value is not None)
    return frozenset(record)


def _read_csv(
    file: BinaryIO, schema: Mapping[str, Any] | None, into: ImportedRows | None = None
) -> ImportedRows:
    with contextlib.closing(csv_records(file)) as records:
        return check_records(records, schema, first=0, into=into)


def _read_zip(file: BinaryIO, in_slices: Callable[[BinaryIO], BinaryIO]) -> ImportedRows:
    total = ImportedRows()
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if suffix(name) != ".csv":
                continue
            with archive.open(name) as member:
                _read_csv(in_slices(cast("BinaryIO", member)), None, total)
            if total.failure is not None:
                break
    return total
