"""Which values are accepted as sources, and under which file name each is sent."""

from __future__ import annotations

import io
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prolific_async._sources.source import Source
from tests.sources.reading import csv_rows, sent

CSV = b"a,b\r\n1,2\r\n"
JSONL = b'{"a": 1}\n'


async def slowly(items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


class Pandas:
    """A stand-in for a pandas DataFrame."""

    columns = ("a",)

    def to_dict(self, orient: str) -> list[Any]:
        return []

    def __iter__(self) -> Any:
        return iter(self.columns)


class Polars:
    """A stand-in for a polars DataFrame."""

    columns = ("a",)

    def to_dicts(self) -> list[Any]:
        return []

    def __iter__(self) -> Any:
        return iter(())


class Arrow:
    """A stand-in for a pyarrow Table."""

    columns = ("a",)

    def to_pylist(self) -> list[Any]:
        return []


NO_SOURCES: list[tuple[Any, str]] = [
    (Pandas(), r'pass df\..*\.to_dict\("records"\), not the Pandas itself'),
    (Polars(), r"pass its to_dicts\(\), not the Polars itself"),
    (Arrow(), r"pass its to_pylist\(\), not the Arrow itself"),
    ({"a": 1}, "for one row, pass a list of it, not the dict itself"),
    (None, "not NoneType"),
    (3, "not int"),
    (object(), "not object"),
]


@pytest.mark.parametrize(("given", "reason"), NO_SOURCES, ids=lambda value: type(value).__name__)
def test_what_is_no_source_is_told_at_once(given: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=f"^a source is a path, bytes, .*{reason}"):
        Source(given, filename="a.csv")


async def test_the_advice_for_pandas_gives_rows_with_missing_values() -> None:
    pandas = pytest.importorskip("pandas")
    df = pandas.DataFrame({"n": [1.5, None], "text": ["a", None], "kind": ["b", pandas.NA]})
    with pytest.raises(TypeError) as caught:
        Source(df, filename="a.csv")
    advice = str(caught.value).partition("pass ")[2].partition(", not the DataFrame")[0]
    readme = Path(__file__).parents[2] / "README.md"
    assert f"`{advice}`" in readme.read_text(encoding="utf-8")
    rows = csv_rows(await sent(eval(advice, {"df": df}), 3))
    assert rows == [["n", "text", "kind"], ["1.5", "a", "b"], ["", "", ""]]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("a,b\n", r"not an iterable of str \('a,b\\n'…\): pass a text file's path"),
        (3, "not an iterable of int"),
        (["a"], "not an iterable of list"),
        (None, "not an iterable of NoneType"),
    ],
)
async def test_what_is_no_source_is_told_by_its_first_item(first: Any, reason: str) -> None:
    for given in ([first], iter([first]), slowly([first])):
        with pytest.raises(TypeError, match=reason):
            await sent(given, 3, filename="a.csv")


class Point(NamedTuple):
    """A row as ``df.itertuples()`` yields it."""

    a: int


@dataclass
class Answer:
    """A row as a class of the caller's."""

    a: int


def a_row_of_sqlite3() -> sqlite3.Row:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        row: sqlite3.Row = connection.execute("select 1 as a").fetchone()
        return row


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        (Point(1), r"Point: pass \(row._asdict\(\) for row in rows\)"),
        (Answer(1), r"Answer: pass map\(dataclasses.asdict, rows\)"),
        (a_row_of_sqlite3(), r"Row: pass map\(dict, rows\)"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_how_rows_of_other_kinds_become_mappings(row: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=f"not an iterable of {advice}"):
        await sent([row], 3)
    with pytest.raises(TypeError, match=f"^row 1 .*, not {advice}"):
        await sent([{"a": 1}, row], 3)


async def test_a_text_file_is_no_source_and_a_binary_one_is() -> None:
    with pytest.raises(TypeError, match="open the file in binary mode, or pass its path"):
        await sent(io.StringIO("a,b\n1,2\n"), 3, filename="a.csv")
    assert await sent(io.BytesIO(CSV), 3, filename="a.csv") == CSV


async def test_an_open_file_is_read_in_a_thread() -> None:
    threads = set()

    class Noted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            threads.add(threading.current_thread())
            return super().read(size)

    assert await sent(Noted(CSV * 100_000), 3, filename="a.csv") == CSV * 100_000
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("buffering", [0, -1])
async def test_a_file_that_has_nothing_yet_is_not_taken_for_its_end(buffering: int) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, CSV)
    with (
        os.fdopen(reading, "rb", buffering) as file,
        os.fdopen(writing, "wb"),
        pytest.raises(ValueError, match="non-blocking and had nothing to read"),
    ):
        await sent(file, 3, filename="a.csv")


class Reader:
    """Rows with a method of the name, as those of SQLAlchemy's results."""

    def columns(self) -> list[str]:
        return ["a"]

    def __iter__(self) -> Any:
        return iter([{"a": 1}])


async def test_rows_may_know_their_columns() -> None:
    assert await sent(Reader(), 4) == b'{"a":1}\n'


@pytest.mark.parametrize("other", ["text", {"a": 1}, None])
async def test_items_are_all_of_one_kind(other: Any) -> None:
    items = [CSV, b"3,4\r\n", other]
    with pytest.raises(TypeError, match=r"item 2 \(counted from 0\) .* is \w+, though the first"):
        await sent(items, 3, filename="a.csv")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_bytes_of_every_type_are_sources(kind: Any) -> None:
    for given in (kind(CSV), [kind(CSV[:3]), kind(CSV[3:])], slowly([kind(CSV)])):
        assert await sent(given, 3, filename="a.csv") == CSV


async def test_bytes_may_lie_apart() -> None:
    apart = memoryview(bytes(byte for one in CSV for byte in (one, 0)))[::2]
    table = memoryview(CSV).cast("B", (2, len(CSV) // 2))
    for view in (apart, table):
        assert await sent(view, 3, filename="a.csv") == CSV
        assert await sent([view], 3, filename="a.csv") == CSV


async def test_a_path_of_bytes_is_no_path(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSV)
    with pytest.raises(ValueError, match="a path is given as text or as a Path, not as bytes"):
        Source(os.fsencode(path))


async def test_a_path_is_text_or_an_object(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSV)
    for given in (path, str(path)):
        async with Source(given) as source:
            payload = await source.payload(3)
            assert (payload.filename, payload.size) == ("rows.csv", len(CSV))
            assert [chunk async for chunk in payload.chunks()] == [CSV]
        async with Source(given, filename="Other.CSV") as source:
            assert (await source.payload(4)).filename == "Other.CSV"


@pytest.mark.parametrize("given", [CSV, [CSV], iter([CSV]), slowly([CSV])])
async def test_bytes_need_a_filename(given: Any) -> None:
    with pytest.raises(ValueError, match="filename is needed for a source of bytes"):
        await sent(given, 3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rows.txt", r"must end in .csv, .zip \(V3\) or .jsonl \(V4\): 'rows.txt'"),
        ("rows", "must end in"),
        (".csv", "must end in"),
        ("", "must end in"),
        ("a,b\n1,2\n", "printable characters only"),
        ("\ud800.csv", "printable characters only"),
        ("a/b.csv", "a name, not a path"),
        ("a\\b.csv", "a name, not a path"),
        (3, "must be text"),
    ],
)
def test_a_name_that_nothing_takes_is_refused_before_any_io(name: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Source(CSV, filename=name)
    with pytest.raises(ValueError, match=reason):
        Source([{"a": 1}], filename=name)


def test_a_path_is_checked_by_its_ending_before_any_io() -> None:
    with pytest.raises(ValueError, match=r"must end in .*'rows.xlsx'; text is taken for the path"):
        Source("/nowhere/rows.xlsx")
    with pytest.raises(ValueError, match=r"must end in .*: 'rows\.xlsx'$"):
        Source(Path("/nowhere/rows.xlsx"))
    with pytest.raises(ValueError, match=r"printable .*; text is taken for the path of a file"):
        Source("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"printable"):
        Source(os.fsdecode(b"/nowhere/\xff.csv"))


@pytest.mark.parametrize(
    ("name", "generation"), [("a.csv", 3), ("a.CSV", 4), ("A.Zip", 3), ("a.JSONL", 4)]
)
async def test_each_generation_takes_its_endings(name: str, generation: int) -> None:
    data = JSONL if name.endswith("JSONL") else CSV
    assert await sent(data, generation, filename=name) == data


@pytest.mark.parametrize(("name", "generation"), [("a.jsonl", 3), ("a.zip", 4)])
async def test_a_file_of_the_other_generation_is_refused(name: str, generation: int) -> None:
    with pytest.raises(ValueError, match=rf"\(V{generation}\) takes files that end in .*'{name}'"):
        await sent(JSONL, generation, filename=name)


@pytest.mark.parametrize(("generation", "ending"), [(3, ".csv"), (4, ".jsonl")])
async def test_rows_have_a_name_and_can_be_given_another(generation: int, ending: str) -> None:
    for filename in (None, f"March{ending.upper()}"):
        async with Source([{"a": 1}, {"a": 2}], filename=filename) as source:
            payload = await source.payload(generation)
            assert payload.filename == (filename or f"rows{ending}")
            assert payload.rows == 2


@pytest.mark.parametrize(("generation", "name"), [(3, "a.zip"), (4, "a.csv")])
async def test_rows_are_sent_in_one_format(generation: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"rows for this dataset are sent as rows.*'{name}'"):
        await sent([{"a": 1}], generation, filename=name)
