"""Parsing of uploaded files into rows."""

import io
from typing import BinaryIO

import pytest

from prolific_async.simulator import row_import, uploaded_rows
from prolific_async.simulator.row_import import read_upload

SCHEMA = {"strict": True, "fields": {"q": {"type": "text"}}}


def test_records_beyond_those_that_are_kept_count_as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_import, "_MAX_COMPARED", 2)
    rows = read_upload(io.BytesIO(b"q\n1\n1\n2\n3\n3\n"), "a.csv", SCHEMA)
    assert (rows.accepted, len(rows.digests), len(rows.records)) == (5, 2, 4)


def test_what_the_csv_module_refuses_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploaded_rows, "_LONGEST_CELL", 5)
    rows = read_upload(io.BytesIO(b"q\n123456\n"), "a.csv", None)
    assert rows.failure
    assert rows.failure.startswith("The file is not CSV: field larger than")


def test_only_what_is_read_from_beginning_to_end_is_read_in_slices() -> None:
    sliced = []

    def in_slices(file: BinaryIO) -> BinaryIO:
        sliced.append(file)
        return file

    file = io.BytesIO(b'{"q": 1}\n')
    assert read_upload(file, "a.JSONL", SCHEMA, in_slices).accepted == 1
    assert sliced == [file]
