"""``key``: unique in every row, and sent a second time as META_ROW_KEY."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tracemalloc
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async import DatasetSchema
from prolific_async._row_key import META_ROW_KEY
from prolific_async._sources import key_rewriting
from prolific_async._sources.row_keys import RowKey
from prolific_async._sources.source import Source
from tests.sources.reading import csv_rows, json_rows, sent
from tests.sources.test_rows import NAMES, TEXTS

KEYS = st.lists(TEXTS.filter(bool), min_size=1, max_size=30, unique=True)
HIDDEN = st.sampled_from(["k", "é", '"k"\r\n'])


def run(source: Any, generation: int, **options: Any) -> bytes:
    return asyncio.run(sent(source, generation, **options))


@given(KEYS, HIDDEN, TEXTS)
def test_the_key_of_rows_is_their_second_column(keys: list[str], name: str, text: str) -> None:
    rows = [{"first": text, name: key, "last": number} for number, key in enumerate(keys)]
    found = csv_rows(run(rows, 3, key=name))
    assert found[0] == ["first", META_ROW_KEY, name, "last"]
    assert found[1:] == [[text, key, key, str(number)] for number, key in enumerate(keys)]
    assert json_rows(run(rows, 4, key=name)) == [{**row, META_ROW_KEY: row[name]} for row in rows]


@given(KEYS, TEXTS, st.integers(0, 1), st.sampled_from(["\r\n", "\n", "\r"]), st.integers(0, 1))
def test_the_key_of_a_csv_file_is_its_second_column(
    keys: list[str], text: str, place: int, end: str, quoting: Literal[0, 1]
) -> None:
    rows = [["t", "k"], *([text, key] for key in keys)]
    if place == 0:
        rows = [row[::-1] for row in rows]
    buffer = io.StringIO()
    # Python 3.11 leaves a line end unquoted that is not the line terminator.
    needed: Literal[0, 1] = quoting if end == "\r\n" else csv.QUOTE_ALL
    csv.writer(buffer, lineterminator=end, quoting=needed).writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_rewriting, "PIECE", 7)
        found = csv_rows(run(buffer.getvalue().encode(), 3, key="k", filename="x.csv"))
    second = [META_ROW_KEY, *keys]
    assert found == [[row[0], key, row[1]] for row, key in zip(rows, second, strict=True)]


@given(KEYS, TEXTS, NAMES.filter(lambda name: name not in ("k", META_ROW_KEY)), st.integers(0, 1))
def test_the_key_of_json_lines_is_added_and_all_else_stays(
    keys: list[str], text: str, other: str, is_ascii: int
) -> None:
    rows = [{other: text, "k": key, "n": 1.5} for key in keys]
    data = "\n".join(f" {json.dumps(row, ensure_ascii=bool(is_ascii))}" for row in rows).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_rewriting, "PIECE", 7)
        found = run(data, 4, key="k", filename="x.jsonl")
    assert [json.loads(line) for line in found.decode().removesuffix("\n").split("\n")] == [
        {META_ROW_KEY: row["k"], **row} for row in rows
    ]


async def test_what_a_file_has_beside_the_key_is_not_changed() -> None:
    data = b'a,k\r\n"x ""y""",1\r\n\r\n,2,more\nonly,3'
    expected = b'a,"META_ROW_KEY",k\r\n"x ""y""","1",1\r\n,"2",2,more\r\nonly,"3",3\r\n'
    assert await sent(data, 3, key="k", filename="x.csv") == expected
    lines = b'\xef\xbb\xbf{"k" : 1.50, "n":1E5}\r\n\n {"x": "{","k":"\\u00e9"}'
    assert await sent(lines, 4, key="k", filename="x.jsonl") == (
        b'{"META_ROW_KEY":"1.50","k" : 1.50, "n":1E5}\r\n'
        b' {"META_ROW_KEY":"\\u00e9","x": "{","k":"\\u00e9"}\n'
    )


async def test_rows_are_counted_when_keys_are_added() -> None:
    data = b'a,k\r\n"x\r\ny",1\r\n\r\n,2\r\n'
    async with Source(data, key="k", filename="x.csv") as source:
        assert (await source.payload(3)).rows == 2
    lines = b'{"k":1}\n\n{"k":2}\n'
    schema = DatasetSchema.of(META_ROW_KEY="metadata")
    async with Source(lines, key="k", filename="x.jsonl") as source:
        assert (await source.payload(4, schema)).rows == 2


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (5, "5"),
        (np.int64(5), "5"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        (True, "True"),
        (UUID(int=7), str(UUID(int=7))),
        (" ", " "),
    ],
)
@pytest.mark.parametrize("generation", [3, 4])
async def test_keys_are_sent_as_text(key: Any, text: str, generation: int) -> None:
    data = await sent([{"a": 1, "k": key}], generation, key="k")
    found = csv_rows(data)[1][1] if generation == 3 else json_rows(data)[0][META_ROW_KEY]
    assert found == text


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ["a", "k"])
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def as_json(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


async def refused(rows: list[dict[str, Any]], reason: str) -> None:
    """Check that rows are refused in every form."""
    for generation, given_rows, name in (
        (3, rows, None),
        (4, rows, None),
        (3, as_csv(rows), "x.csv"),
        (4, as_csv(rows), "x.csv"),
        (4, as_json(rows), "x.jsonl"),
    ):
        with pytest.raises(ValueError, match=reason):
            await sent(given_rows, generation, key="k", filename=name)


@pytest.mark.parametrize("missing", [{"a": 1}, {"a": 1, "k": None}, {"a": 1, "k": ""}])
async def test_every_row_has_a_key(missing: dict[str, Any]) -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "k": number} for number in range(30)]
    rows[20] = missing
    where = r"row 20 \(counted from 0\), column 'k': the key is missing or empty"
    await refused(rows, where)


async def test_no_two_rows_have_the_same_key() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "k": f"n{number}"} for number in range(30)]
    rows[20]["k"] = "n3"
    await refused(rows, r"row 20 .*, column 'k': the key 'n3' is not unique, an earlier row has it")


@pytest.mark.parametrize("generation", [3, 4])
async def test_the_same_text_is_the_same_key(generation: int) -> None:
    with pytest.raises(ValueError, match="the key '5' is not unique"):
        await sent([{"k": 5}, {"k": "5"}], generation, key="k")


@pytest.mark.parametrize("cell", [[1], float("nan"), "x\ud800", b"x"])
@pytest.mark.parametrize("generation", [3, 4])
async def test_a_key_that_cannot_be_sent_is_refused(cell: Any, generation: int) -> None:
    with pytest.raises(ValueError, match=r"row 1 \(counted from 0\), column 'k': "):
        await sent([{"a": 1, "k": 1}, {"a": 1, "k": cell}], generation, key="k")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"k":[1]}', "column 'k': a key is text or a number, not list"),
        (b'{"k":true}', "column 'k': a key is text or a number, not bool"),
        (b'{"k":"\\ud800"}', "column 'k': the key has half a surrogate pair"),
        (b"[1]", "a JSON object is needed"),
        (b"{}", "column 'k': the key is missing"),
        (b'{"k":', "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
async def test_lines_without_a_usable_key_are_refused(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^row 1 \(counted from 0\).*{reason}"):
        await sent(b'{"k":1}\n' + line, 4, key="k", filename="x.jsonl")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a,b\r\n1,2\r\n", "the CSV has no column 'k' for key, only 'a', 'b'"),
        (b'k\n"1"2\n', r"row 0 \(counted from 0\): not valid CSV"),
        (b'k\n1\n"2\n3\n', r"row 1 \(counted from 0\): not valid CSV"),
        (b"k\n1\n\xe9\n", r"not UTF-8 \(see its byte 4\)"),
    ],
)
async def test_a_csv_without_a_usable_key_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        await sent(data, 3, key="k", filename="x.csv")


@pytest.mark.parametrize("end", [b"\xff\n", b"\xc3"])
async def test_all_of_a_file_is_checked_when_keys_are_added(
    end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prolific_async._sources.text_checks.CHECKED_FIRST", 8)
    data = b"k,b\n" + b"".join(b"%d,2\n" % number for number in range(9)) + b"10," + end
    with pytest.raises(ValueError, match=r"not UTF-8 \(see its byte 43\)"):
        await sent(data, 3, key="k", filename="x.csv")


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
async def test_the_longest_row_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prolific_async._sources.csv_splitter.MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(key_rewriting, "PIECE", 64)
    row = b'k\n"%b"\n' if name == "x.csv" else b'{"k":1}\n{"k":"%b"}\n'
    assert await sent(row % (b"x" * 900), 4, key="k", filename=name)
    with pytest.raises(ValueError, match=r"row [01] .* longer than 1000 bytes"):
        await sent(row % (b"x" * 1100), 4, key="k", filename=name)


async def test_a_source_that_has_the_column_already_is_refused() -> None:
    rows = [{"a": 1, "k": 1}, {"k": 2, META_ROW_KEY: 3}]
    for generation in (3, 4):
        with pytest.raises(ValueError, match=r"row 1 .* has META_ROW_KEY already: leave out key"):
            await sent(rows, generation, key="k")
    with pytest.raises(ValueError, match="has META_ROW_KEY already"):
        await sent(b"k,META_ROW_KEY\n1,2\n", 3, key="k", filename="x.csv")
    with pytest.raises(ValueError, match=r"row 1 .* has META_ROW_KEY already"):
        await sent(as_json(rows), 4, key="k", filename="x.jsonl")


@pytest.mark.parametrize("key", [META_ROW_KEY, "", " ", 3, b"k"])
def test_a_key_is_the_name_of_a_column(key: Any) -> None:
    with pytest.raises(ValueError, match=r"META_ROW_KEY already|key must be the name"):
        Source([{"a": 1}], key=key)


def test_a_zip_is_sent_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"a \.zip is sent as it is"):
        Source("rows.zip", key="k")


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        (None, "no schema"),
        (DatasetSchema.of(k="text"), "none"),
        (DatasetSchema.of(META_ROW_KEY="text"), "'text'"),
    ],
)
async def test_a_schema_has_a_field_for_keys(schema: DatasetSchema | None, found: str) -> None:
    async with Source([{"k": 1}], key="k") as source:
        with pytest.raises(ValueError, match=rf"'META_ROW_KEY' of .* 'metadata'; it has {found}"):
            await source.payload(4, schema)


def test_a_hundred_bytes_a_row_are_enough_to_find_all_keys() -> None:
    key = RowKey("k")
    tracemalloc.start()
    for row in range(100_000):
        key.add(row, f"sample-{row:0100}")
    size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size <= peak < 100 * 100_000
    with pytest.raises(ValueError, match=r"row 100000 .* not unique"):
        key.add(100_000, f"sample-{99_999:0100}")
