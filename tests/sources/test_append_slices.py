"""Records for ``append`` come in slices of bounded size, each with its place in the stream."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async._row_key import META_ROW_KEY
from prolific_async._sources import append_slices as slices
from prolific_async._sources.append_slices import AppendSlice
from tests.sources.reading import json_rows
from tests.sources.test_recognition import Polars


async def sliced(records: Any, key: str | None = None) -> list[AppendSlice]:
    slices.check_records(records)
    return [one async for one in slices.append_slices(records, key)]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
async def test_a_slice_has_a_thousand_records_at_most(count: int) -> None:
    records = [{"a": number, "b": "x\u2028\n"} for number in range(count)]

    async def produced() -> AsyncIterator[dict[str, Any]]:
        for record in records:
            yield record

    for source in (records, iter(records), produced()):
        found = await sliced(source)
        assert [one.count for one in found] == [
            min(1000, count - first) for first in range(0, count, 1000)
        ]
        assert [one.first for one in found] == list(range(0, count, 1000))
        assert [row for one in found for row in json_rows(one.body)] == records
        assert all(len(json_rows(one.body)) == one.count for one in found)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60))
def test_a_slice_is_as_large_as_it_may_be(lengths: list[int]) -> None:
    records = [{"a": "x" * length} for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "MAX_BYTES", 100)
        patch.setattr(slices, "MAX_RECORDS", 5)
        found = asyncio.run(sliced(records))
    assert [row for one in found for row in json_rows(one.body)] == records
    for one, following in pairwise(found):
        assert one.first + one.count == following.first
        first_line = following.body.split(b"\n")[0] + b"\n"
        assert one.count == 5 or len(one.body) + len(first_line) > 100
    assert all(one.count <= 5 and len(one.body) <= 100 for one in found)


async def test_a_slice_has_four_mebibytes_at_most() -> None:
    records = [{"a": "é" * 1_000_000}] * 5
    assert [one.count for one in await sliced(iter(records))] == [2, 2, 1]
    with pytest.raises(ValueError, match=r"row 1 \(counted from 0\): .* longer than 4194304 bytes"):
        await sliced([{"a": 1}, {"a": "x" * (4 << 20)}])


async def test_slices_before_a_fault_are_sent() -> None:
    records = [{"a": number} for number in range(1500)]
    records[1200] = {"a": [1]}  # type: ignore[dict-item] # as the test says
    stream = slices.append_slices(records, None)
    first = await anext(stream)
    assert (first.first, first.count) == (0, 1000)
    with pytest.raises(ValueError, match=r"row 1200 .*, column 'a': it is a container"):
        await anext(stream)


async def test_keys_are_unique_over_all_slices() -> None:
    records = [{"k": number} for number in range(1500)]
    found = await sliced(records, "k")
    assert [row[META_ROW_KEY] for one in found for row in json_rows(one.body)] == [
        str(number) for number in range(1500)
    ]
    records[1300] = {"k": 7}
    with pytest.raises(ValueError, match=r"row 1300 .* the key '7' is not unique"):
        await sliced(records, "k")


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ("rows.csv", "^append takes .*, not str: a file is uploaded with upload"),
        (Path("rows.csv"), "^append takes .*, not PosixPath: a file is uploaded with upload"),
        (b"bytes", "^append takes .*, not bytes: a file is uploaded with upload"),
        (io.StringIO("a"), "^append takes .*, not StringIO: a file is uploaded with upload"),
        (3, "^append takes an iterable of mappings of field names to values, not int$"),
        ({"a": 1}, "^append takes .*; for one row, pass a list of it"),
        (Polars(), "^append takes .*to_dicts"),
        ([b"x"], "row 0 .*: a mapping .*, not bytes"),
        (["x"], "row 0 .*: a mapping .*, not str"),
    ],
)
async def test_records_are_mappings(records: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        await sliced(records)
