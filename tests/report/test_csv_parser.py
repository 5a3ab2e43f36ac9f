"""Records of a CSV that arrives in pieces: as the csv module reads them, without its limit."""

from __future__ import annotations

import csv
import io
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async._report import csv_parser
from prolific_async._report.csv_parser import MAX_CELL, CsvParser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HARD = ['"', '""', ",", '","', '"\r\n"', "\r\n", "\n", "\r", "\u2028", "\x0b", "\0", "🙂", "a", " "]
CELLS = st.lists(st.sampled_from(HARD), max_size=6).map("".join)
TABLES = st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=6)


def written(rows: Iterable[Iterable[str]], quoting: int = csv.QUOTE_ALL, end: str = "\r\n") -> str:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=quoting, lineterminator=end).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue()


def pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def read(text: str, size: int = sys.maxsize) -> list[list[str]]:
    records = CsvParser()
    found = []
    for piece in pieces(text, size):
        found += [record for some in records.feed(piece) for record in some]
    return found + [record for some in records.finish() for record in some]


@pytest.fixture
def small_limit() -> Iterator[int]:
    """Have the csv module refuse each cell that is longer than three characters."""
    limit = csv.field_size_limit(3)
    yield limit
    csv.field_size_limit(limit)


@pytest.mark.parametrize(
    ("quoting", "end"),
    [(csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n"), (csv.QUOTE_MINIMAL, "\r\n")],
)
@given(rows=TABLES, size=st.integers(1, 40), is_ended=st.booleans())
def test_they_come_back_as_they_were_written(
    quoting: int, end: str, rows: list[list[str]], size: int, *, is_ended: bool
) -> None:
    text = written(rows, quoting, end)
    text = text if is_ended else text.removesuffix(end)
    assert read(text, size) == rows


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
@pytest.mark.usefixtures("small_limit")
@given(rows=TABLES, size=st.integers(1, 40))
def test_they_come_back_where_the_csv_module_reads_none(
    quoting: int, rows: list[list[str]], size: int
) -> None:
    assert read(written(rows, quoting), size) == rows
    assert csv.field_size_limit() == 3  # which is the application's


LOOSE = st.text(alphabet='",\r\na', max_size=30)


@given(text=LOOSE)
def test_text_without_rules_is_read_as_by_the_csv_module(text: str) -> None:
    try:
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        with pytest.raises(ValueError, match=r"a quote is never closed|its closing quote"):
            read(text)
    else:
        assert read(text) == expected


@pytest.mark.usefixtures("small_limit")
@given(text=LOOSE, size=st.integers(1, 30))
def test_text_without_rules_is_never_read_in_another_way(text: str, size: int) -> None:
    limit = csv.field_size_limit(1000)
    try:
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        expected = None
    finally:
        csv.field_size_limit(limit)
    with suppress(ValueError):  # a quote within a cell without quotes, where a piece ended
        assert read(text, size) == expected


def test_a_long_cell_is_read() -> None:
    long = 'a "quoted", and\r\nbroken text' * 5000
    assert len(long) > csv.field_size_limit()
    rows = [["x", long], ["y", "2"]]
    assert read(written(rows), 1000) == rows


@pytest.mark.parametrize("inside", ["", '"', '","', "\n"])
def test_a_cell_that_is_too_long_is_refused(inside: str) -> None:
    fits = inside.ljust(MAX_CELL - inside.count('"'), "x")
    assert read(written([[fits, "y"]]), 100_000) == [[fits, "y"]]
    with pytest.raises(ValueError, match=rf"^column 2: longer than {MAX_CELL} characters$"):
        read(written([["y", f"{fits}x"]]), 100_000)


def test_a_record_without_end_is_refused_as_soon_as_it_is_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_parser, "MAX_RECORD", 100)
    records = CsvParser()
    assert list(records.feed('"' + "x" * 99)) == []
    with pytest.raises(ValueError, match=r"^longer than 100 characters$"):
        list(records.feed("x"))


def test_others_run_while_the_end_of_a_record_is_looked_for() -> None:
    records = CsvParser()
    text = written([["a", "b"], ["x", '"\n' * 5000]])
    steps = list(records.feed(text[:-10]))
    assert [len(some) for some in steps] == [0, 0, 1]
    assert [row for some in records.feed(text[-10:]) for row in some] == [["x", '"\n' * 5000]]


def test_others_run_while_a_long_cell_full_of_quotes_is_read() -> None:
    row = ['","' * 100_000, "x"]
    steps = list(CsvParser().feed(written([row, ["y", "z"]])))
    assert [some for some in steps if some] == [[row], [["y", "z"]]]
    assert len(steps) > 50
