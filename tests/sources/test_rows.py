"""Rows become CSV or JSON lines and come back the same."""

from __future__ import annotations

import asyncio
import csv
import io
import math
import tracemalloc
from collections import OrderedDict, UserDict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prolific_async._sources import contents, csv_rows
from prolific_async._sources.source import Source
from tests.sources.reading import csv_rows as read_csv
from tests.sources.reading import json_rows as read_json
from tests.sources.reading import sent

# Every character but halves of surrogate pairs, and often those that mean something to a reader.
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    st.sampled_from('",;\r\n\t \0\x0b\x0c\x1c\x85\u2028\u2029\ufeff\\{}[]:a\x00é😀')
)
NAMES = TEXTS.filter(str.strip)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
CELLS = TEXTS | st.integers() | FLOATS | st.booleans() | st.none() | DECIMALS
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c d", "\ufeffé", '"']) | NAMES, CELLS, max_size=6),
    min_size=1,
    max_size=40,
)


def columns_of(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def as_text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def run(given_rows: Any, generation: int, **options: Any) -> bytes:
    return asyncio.run(sent(given_rows, generation, **options))


@given(ROWS.filter(any))
@example([{"a": "x"}, {"b": '"\r\n"'}, {}, {"c": '\r\n"', "a": "\r"}])
@example([{}, {"a": ""}])
@example([{"a": None}])
@example([{"a": 1}, {"a": 2, "b": 3}, {"b": 4, "a": 5}])
@example([{"a": "\ufeff"}, {"a": '""'}])
def test_rows_come_back_from_csv(rows: list[dict[str, Any]]) -> None:
    columns = columns_of(rows)
    header, *cells = read_csv(run(iter(rows), 3))
    assert header == columns
    assert cells == [[as_text(row.get(name)) for name in columns] for row in rows]


@given(ROWS)
@example([{"a": "\u2028\x85\u2029"}, {"a": Decimal("0.10"), "b": "\u2028"}])
def test_rows_come_back_from_json_lines(rows: list[dict[str, Any]]) -> None:
    found = read_json(run(iter(rows), 4))
    assert found == [
        {
            name: Decimal(repr(cell)) if isinstance(cell, float) else cell
            for name, cell in row.items()
        }
        for row in rows
    ]
    assert [list(row) for row in found] == [list(row) for row in rows]


@given(st.lists(st.tuples(st.integers(0, 30), TEXTS), min_size=1, max_size=80))
@settings(max_examples=20)
def test_columns_that_appear_late_fill_up_the_rows_before(cells: list[tuple[int, str]]) -> None:
    rows = [{f"c{number}": text} for number, text in cells]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "PIECE", 64)  # through a temporary file
        patch.setattr(csv_rows, "PIECE", 7)  # which cuts line ends apart
        header, *found = read_csv(run(rows, 3))
    assert header == columns_of(rows)
    assert found == [[row.get(name, "") for name in header] for row in rows]


@pytest.mark.parametrize("length", [131_071, 131_072, 131_073, 1_000_000])
@pytest.mark.parametrize("text", ["x", '"', "\r\n", "é", "😀"])
async def test_long_cells_are_kept(length: int, text: str) -> None:
    cell = (text * length)[:length]
    rows = [{"a": cell, "b": 1}, {"b": 2, "a": cell + "!"}]
    assert read_csv(await sent(rows, 3))[1:] == [[cell, "1"], [cell + "!", "2"]]
    assert read_json(await sent(rows, 4)) == rows
    assert csv.field_size_limit() == 131_072


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


PLAIN = [
    (np.int64(-3), -3),
    (np.uint8(3), 3),
    (np.float64(0.1), 0.1),
    (np.float32(0.5), 0.5),
    (np.True_, True),
    (np.str_("é"), "é"),
    (np.float16(0.1), 0.0999755859375),
    (np.longdouble("0.5"), 0.5),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (Fraction(1, 4), 0.25),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (True, True),
    (0.1 + 0.2, 0.1 + 0.2),
    (-0.0, -0.0),
    (1e300, 1e300),
    (10**400, 10**400),
    (UUID(int=5), str(UUID(int=5))),
]


@pytest.mark.parametrize(("cell", "plain"), PLAIN, ids=repr)
async def test_values_of_other_types_become_plain(cell: Any, plain: Any) -> None:
    rows = [{"a": "x", "b": "y"}, {"a": cell, "b": cell}]
    assert read_csv(await sent(rows, 3))[2] == [str(plain), str(plain)]
    (_, found) = read_json(await sent(rows, 4))
    kept = found["a"] if isinstance(plain, str | int) else float(found["a"])
    assert kept == plain
    assert type(kept) is type(plain)


@pytest.mark.parametrize(
    "digits", ["0.10", "1E+5", "-0", "123456789012345678901234567890.5", "0E-7"]
)
async def test_decimals_keep_their_digits(digits: str) -> None:
    rows = [{"a": Decimal(digits), "b": 'x"'}]
    assert read_csv(await sent(rows, 3))[1] == [digits, 'x"']
    assert await sent(rows, 4) == f'{{"a":{digits},"b":"x\\""}}\n'.encode()


LATE = datetime(2026, 1, 1, tzinfo=UTC)


class Odd(Enum):
    ONE = 1


class NAType:
    """A stand-in for pandas' NAType and NaTType."""


class NaTType(datetime):
    pass


REFUSED: list[tuple[Any, str]] = [
    (math.nan, "NaN cannot be sent; for an empty cell, give None"),
    (np.float64("nan"), "NaN cannot be sent"),
    (np.float32("inf"), "inf cannot be sent"),
    (math.inf, "inf cannot be sent"),
    (-math.inf, "-inf cannot be sent"),
    (Decimal("NaN"), "NaN cannot be sent"),
    (Decimal("sNaN"), "sNaN cannot be sent"),
    (Decimal("-Infinity"), "-Infinity cannot be sent"),
    ("ok\ud800", r"half a surrogate pair \(U\+D800\) at position 2"),
    (np.str_("\udfff"), r"half a surrogate pair \(U\+DFFF\) at position 0"),
    ([1], r"a container \(list\)"),
    ({"x": 1}, r"a container \(dict\)"),
    ((), r"a container \(tuple\)"),
    ({1}, r"a container \(set\)"),
    (iter([1]), r"a container \(list_iterator\)"),
    (np.array([1.5]), r"a container \(ndarray\)"),
    (np.array(1), r"a container \(ndarray\)"),
    (date(2026, 1, 1), r"a date or time \(date\)"),
    (LATE, r"a date or time \(datetime\)"),
    (time(1), r"a date or time \(time\)"),
    (timedelta(1), r"a date or time \(timedelta\)"),
    (np.datetime64("2026-01-01"), r"a date or time \(datetime64\)"),
    (np.timedelta64(1, "s"), r"a date or time \(timedelta64\)"),
    (b"x", "it is bytes: decode it to text"),
    (bytearray(b"x"), "it is bytearray: decode it to text"),
    (object(), r"neither text nor a number"),
    (Odd.ONE, r"neither text nor a number"),
    (1j, r"neither text nor a number"),
    (NAType(), r"a missing value \(NAType\); for an empty cell, give None"),
    (NaTType(2026, 1, 1), r"a missing value \(NaTType\)"),
    (np.datetime64("NaT", "s"), r"a missing value \(datetime64\)"),
    (np.timedelta64("NaT", "s"), r"a missing value \(timedelta64\)"),
    (np.ma.masked, r"a missing value \(MaskedConstant\)"),
    (np.complex128(1j), r"neither text nor a number"),
    (Fraction(10**400), r"neither text nor a number"),
    (10**5000, r"neither text nor a number"),
]


@pytest.mark.parametrize(("cell", "reason"), REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("generation", [3, 4])
async def test_what_cannot_be_sent_is_refused_with_its_place(
    cell: Any, reason: str, generation: int
) -> None:
    rows = [{"a": 1.5, "b": number} for number in range(40)]
    rows[37]["b"] = cell
    with pytest.raises(ValueError, match=rf"^row 37 \(counted from 0\), column 'b': .*{reason}"):
        await sent(iter(rows), generation)


async def test_texts_that_look_like_no_number_are_text() -> None:
    rows = [{"a": 1.5, "b": "nan"}, {"a": 2.5, "b": "-inf"}]
    assert read_csv(await sent(rows, 3))[1:] == [["1.5", "nan"], ["2.5", "-inf"]]
    assert [row["b"] for row in read_json(await sent(rows, 4))] == ["nan", "-inf"]


async def test_numbers_whose_sum_is_too_large_are_sent() -> None:
    cells = [1e308, None, 1e308, "x", 10**400, True, 1e308]
    found = read_csv(await sent([{"a": cell} for cell in cells], 3))[1:]
    assert found == [["1e+308"], [""], ["1e+308"], ["x"], [str(10**400)], ["True"], ["1e+308"]]


@pytest.mark.parametrize("cell", [math.nan, math.inf, -math.inf])
async def test_a_number_that_is_none_is_found_among_others(cell: float) -> None:
    cells = [1.5, None, "x", *[7.25] * 50, cell, 2, *[-math.inf] * 50]
    with pytest.raises(
        ValueError, match=r"row 53 \(counted from 0\), column 'a': -?(NaN|inf) cannot"
    ):
        await sent([{"b": 1.5, "a": cell} for cell in cells], 3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "the name of a column is empty"),
        (" \t", "the name of a column is empty"),
        (3, "must be text, not int"),
        (None, "must be text, not NoneType"),
        ("x\ud800", r"the name of the column 'x\\ud800': it has half a surrogate pair"),
    ],
)
@pytest.mark.parametrize("generation", [3, 4])
async def test_names_of_columns_are_text(name: Any, reason: str, generation: int) -> None:
    with pytest.raises(ValueError, match=rf"^row 1 \(counted from 0\): .*{reason}"):
        await sent([{"a": 1}, {name: 1}], generation)


@pytest.mark.parametrize("generation", [3, 4])
async def test_rows_may_be_mappings_of_any_type(generation: int) -> None:
    frozen = OrderedDict(a=1, b="x")
    rows = [{"a": 1, "b": "x"}, frozen, UserDict(frozen), MappingProxyType(frozen)]
    one = (await sent([rows[0]], generation)).split(b"\n")[-2]
    lines = (await sent(rows, generation)).split(b"\n")
    assert lines[-5:] == [one, one, one, one, b""]
    with pytest.raises(TypeError, match=r"^row 2 \(counted from 0\): a mapping .*, not tuple"):
        await sent([rows[0], rows[0], ("a", 1)], generation)


class Lazy(dict[str, int]):
    def __missing__(self, name: str) -> int:
        self[name] = 7
        return 7


async def test_a_row_is_not_asked_for_what_it_lacks() -> None:
    lazy = Lazy(a=1, c=2)
    assert read_csv(await sent([{"a": 1, "b": 2}, lazy], 3))[2] == ["1", "", "2"]
    assert lazy == {"a": 1, "c": 2}


@pytest.mark.parametrize("generation", [3, 4])
@pytest.mark.parametrize("rows", [[], iter([]), ()])
async def test_no_row_is_an_empty_source(rows: Any, generation: int) -> None:
    with pytest.raises(ValueError, match="the source is empty"):
        await sent(rows, generation)


async def test_rows_without_any_column_are_an_empty_source_of_csv() -> None:
    with pytest.raises(ValueError, match="none of its rows has a column"):
        await sent([{}, {}], 3)


@pytest.mark.parametrize("generation", [3, 4])
async def test_rows_come_from_every_kind_of_iterable(generation: int) -> None:
    rows = [{"a": number, "b": "x"} for number in range(100)]

    async def produced() -> AsyncIterator[dict[str, Any]]:
        for row in rows:
            await asyncio.sleep(0)
            yield row

    expected = await sent(rows, generation)
    for given_rows in (tuple(rows), iter(rows), (row for row in rows), produced()):
        assert await sent(given_rows, generation) == expected


@pytest.mark.parametrize("kind", [dict, UserDict, OrderedDict])
@pytest.mark.parametrize("generation", [3, 4])
async def test_a_row_may_be_used_again_for_the_next_one(generation: int, kind: Any) -> None:
    rows = [{"a": number, "b": "x"} for number in range(100)]

    def made() -> Iterator[Any]:
        same = kind()
        for row in rows:
            same.update(row)
            yield same

    async def awaited() -> AsyncIterator[Any]:
        for row in made():
            await asyncio.sleep(0)
            yield row

    expected = await sent(rows, generation)
    assert await sent(made(), generation) == expected
    assert await sent(awaited(), generation) == expected
    same = {"a": 1, "b": "x"}
    assert await sent([same] * 3, generation) == await sent([same, same.copy(), same], generation)


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("view", [lambda buffer, size: memoryview(buffer)[:size], bytearray])
async def test_a_buffer_may_be_used_again_for_the_next_piece(size: int, view: Any) -> None:
    data = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number) for number in range(100))

    def made() -> Iterator[Any]:
        buffer = bytearray(size)
        file = io.BytesIO(data)
        while count := file.readinto(buffer):
            if view is bytearray:
                del buffer[count:]
                yield buffer
            else:
                yield view(buffer, count)

    async def awaited() -> AsyncIterator[Any]:
        for piece in made():
            await asyncio.sleep(0)
            yield piece

    assert await sent(made(), 3, filename="a.csv") == data
    assert await sent(awaited(), 3, filename="a.csv") == data


async def test_what_a_source_raises_is_not_changed() -> None:
    def produced() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await sent(produced(), 3)


@pytest.mark.slow
@pytest.mark.parametrize("generation", [3, 4])
async def test_rows_are_not_kept_in_memory(generation: int) -> None:
    count, cell = 400, "é" * 100_000  # 80 MB as CSV

    def produced() -> Iterator[dict[str, Any]]:
        for number in range(count):
            yield {"a": cell + str(number), "late" if number > 390 else "a2": number}

    async def measured() -> int:
        tracemalloc.start()
        try:
            async with Source(produced()) as source:
                payload = await source.payload(generation)
                total = 0
                async for chunk in payload.chunks():
                    total += len(chunk)
                assert total == payload.size > count * 200_000
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert await measured() < 8 << 20
