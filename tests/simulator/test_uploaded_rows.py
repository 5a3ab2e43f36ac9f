"""Parsing of uploaded CSV and JSONL."""

import csv
import io

import pytest

from prolific_async.simulator.uploaded_rows import (
    UnreadableRecord,
    csv_records,
    jsonl_records,
    task_group_count,
)


def test_csv_cells_keep_quotes_and_line_ends() -> None:
    raw = '\ufeffa,b\r\n"1\n2","say ""x"""\r\n\r\né,'.encode()
    assert list(csv_records(io.BytesIO(raw))) == [
        {"a": "1\n2", "b": 'say "x"'},
        {"a": "é", "b": ""},
    ]


def test_a_csv_row_of_another_width_is_unreadable_and_the_next_is_read() -> None:
    first, second = csv_records(io.BytesIO(b"a,b\n1\n2,3\n"))
    assert isinstance(first, UnreadableRecord)
    assert second == {"a": "2", "b": "3"}


@pytest.mark.parametrize("raw", [b"", b"a,b", b"a,b\r\n"])
def test_a_csv_without_rows(raw: bytes) -> None:
    assert list(csv_records(io.BytesIO(raw))) == []


def test_a_csv_of_another_encoding_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        list(csv_records(io.BytesIO("a\né".encode("latin-1"))))


def test_a_cell_above_the_csv_modules_limit_is_read_and_the_limit_kept() -> None:
    limit = csv.field_size_limit()
    cell = "x" * (limit + 1)
    records = csv_records(io.BytesIO(f"a\n{cell}\n1".encode()))
    assert next(records) == {"a": cell}
    assert csv.field_size_limit() == limit


def test_the_file_stays_open() -> None:
    file = io.BytesIO(b"a\n1")
    list(csv_records(file))
    assert not file.closed


def test_jsonl_skips_blank_lines() -> None:
    assert list(jsonl_records(io.BytesIO(b'{"a": 1}\n\n \r\n{"a": "2"}'))) == [{"a": 1}, {"a": "2"}]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"null", b'{"a": "\xff"}', b"[" * 200_000])
def test_an_unreadable_line_does_not_end_the_reading(line: bytes) -> None:
    first, second = jsonl_records(io.BytesIO(line + b'\n{"a": 1}'))
    assert isinstance(first, UnreadableRecord)
    assert second == {"a": 1}


@pytest.mark.parametrize(
    ("tasks", "per_group", "ids", "groups"),
    [(0, 1, None, 0), (5, 1, None, 5), (5, 2, None, 3), (6, 2, None, 3), (6, 2, {"x", "y"}, 2)],
)
def test_task_groups(tasks: int, per_group: int, ids: set[str] | None, groups: int) -> None:
    assert task_group_count(tasks, per_group, ids) == groups
