"""Lists of batches, read in slices: held against the json module, and counted."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async import Batch, BatchStatus, DecodeError
from prolific_async._converter import load
from prolific_async._waiting import listing as reading
from prolific_async._waiting.listing import elements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ITEM = {
    "id": "b1",
    "created_at": "2026-03-04T05:06:07Z",
    "created_by": "u1",
    "datasets": [],
    "name": "Round 1",
    "status": "READY",
    "total_task_count": 4,
    "total_instruction_count": 2,
    "workspace_id": "w1",
    "task_details": {"task_name": "Rate"},
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.builds(
    lambda before, results, after: {**before, "results": results, **after},
    st.dictionaries(st.text().filter(lambda key: key != "results"), VALUES, max_size=3),
    st.lists(VALUES, max_size=5),
    st.dictionaries(st.text().filter(lambda key: key != "results"), VALUES, max_size=3),
)
SPACES = st.text(" \t\r\n", max_size=3)


def written(value: Any, space: Callable[[], str]) -> str:
    """Write a value as JSON with white space wherever it may stand."""
    if isinstance(value, dict):
        pairs = (f"{written(key, space)}:{written(one, space)}" for key, one in value.items())
        text = f"{{{','.join(pairs) or space()}}}"
    elif isinstance(value, list):
        text = f"[{','.join(written(one, space) for one in value) or space()}]"
    else:
        text = json.dumps(value)
    return f"{space()}{text}{space()}"


def of(text: str) -> list[Any] | type[ValueError]:
    try:
        return list(elements(text))
    except ValueError:
        return ValueError


def item(batch_id: str, status: Any = "PROCESSING", **changes: Any) -> dict[str, Any]:
    return {**ITEM, "id": batch_id, "status": status, **changes}


def body(items: Iterable[Any]) -> bytes:
    return json.dumps({"results": list(items), "meta": {"count": 0}}).encode()


class Reader:
    """Reads batches as the client does, and counts them."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, element: Any) -> Batch:
        self.ids.append(element["id"])
        return load(Batch, element, "GET", "/batches")


# --- elements --------------------------------------------------------------------------------


@given(DOCUMENTS, st.data())
def test_elements_are_those_of_the_json_module(document: Any, data: st.DataObject) -> None:
    text = written(document, lambda: data.draw(SPACES))
    assert json.loads(text) == document
    assert list(elements(text)) == document["results"]


@given(DOCUMENTS)
def test_every_truncation_is_a_value_error(document: Any) -> None:
    text = json.dumps(document, indent=1)
    assert {str(of(text[:end])) for end in range(len(text))} <= {str(ValueError)}


@given(DOCUMENTS, st.data())
def test_whatever_json_refuses_is_a_value_error(document: Any, data: st.DataObject) -> None:
    text = json.dumps(document)
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 2))
    put = data.draw(st.text('{}[]",:.-e0 \\\nnul\ufeff\x00', max_size=2))
    text = text[:at] + put + text[at + gone :]
    try:
        expected = json.loads(text)
    except ValueError:
        assert of(text) is ValueError
        return
    # The last of several equal keys counts for the json module.
    if isinstance(expected, dict) and text.count('"results"') == 1 and "results" in expected:
        assert of(text) == (ValueError if expected["results"] is None else expected["results"]) or (
            expected["results"] is None and of(text) == []
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[]",
        "null",
        "5",
        '"results"',
        "<html>",
        "{",
        '{"results": 5}',
        '{"results": {}}',
        '{"results": "[]"}',
        '{"results": [1,]}',
        '{"results": [,1]}',
        '{"results": [1 2]}',
        '{"results": [1], }',
        '{"results": [1]} x',
        '{"results": [1]}{}',
        '{"results" [1]}',
        "{results: [1]}",
        '{"results": [' + "9" * 5000 + "]}",
        '{5: 6, "results": [1]}',
        '{[]: 6, "results": [1]}',
        '{null: 6, "results": [1]}',
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_list_of_results(text: str) -> None:
    assert of(text) is ValueError


@pytest.mark.parametrize("text", ["{}", ' { "a" : 1 } ', '{"results": null}', '{"results": [ ]}'])
def test_lists_of_nothing(text: str) -> None:
    assert of(text) == []


def test_results_further_inside_are_none() -> None:
    assert of('{"meta": {"results": [1]}, "results": [2], "x": [{"results": [3]}]}') == [2]


def test_elements_are_decoded_one_by_one() -> None:
    reading = elements('{"results": [1, {"a": 2}, oops]}')
    assert [next(reading), next(reading)] == [1, {"a": 2}]
    with pytest.raises(ValueError, match="Expecting value"):
        next(reading)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("before", ['{"results": ', '{"x": '])
def test_deep_nesting_is_an_error_that_callers_handle(before: str, opening: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        list(elements(before + opening * 200_000))


# --- read ------------------------------------------------------------------------------------


async def test_only_wanted_batches_at_their_end_are_structured() -> None:
    reader = Reader()
    items = [
        item("pending"),
        item("ready", "READY"),
        item("error", "ERROR"),
        item("others", "READY"),
        item("other error", "ERROR"),
        item("unseen", "SYNCING"),
        item("nothing", None),
    ]
    wanted = {"pending", "ready", "error", "unseen", "nothing"}.__contains__
    listing = await reading.read(body(items), wanted, reader)
    assert reader.ids == ["ready", "error"]
    assert {batch_id: look.status for batch_id, look in listing.looks.items()} == {
        "pending": "PROCESSING",
        "ready": "READY",
        "error": "ERROR",
        "unseen": "SYNCING",
        "nothing": None,
    }
    assert isinstance(listing.looks["pending"].status, BatchStatus)
    with_batch = {batch_id for batch_id, look in listing.looks.items() if look.batch}
    assert with_batch == {"ready", "error"}
    assert listing.looks["ready"].batch == load(Batch, items[1], "GET", "/batches")
    assert listing.unread == {"others", "other error"}


async def test_a_thousand_heavy_ones_cost_what_is_wanted() -> None:
    reader = Reader()
    heavy = [{"type": "text", "content": "x" * 20_000}]
    items = [
        item(f"b{index}", "READY" if index % 2 else "PROCESSING", batch_items=heavy)
        for index in range(1000)
    ]
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    whole = body(items)
    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    listing = await reading.read(whole, {"b1", "b2", "b999"}.__contains__, reader)
    ticker.cancel()
    assert reader.ids == ["b1", "b999"]
    assert len(listing.looks) == 502
    assert longest < 0.1
    assert listing.body == b""  # too big to be remembered


async def test_the_same_bytes_are_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    whole = body([item("a"), item("b", "READY"), item("c", "READY")])
    first = await reading.read(whole, {"a", "b"}.__contains__, reader)
    decoded: list[str] = []
    real = reading.elements

    def noting(text: str) -> Iterator[Any]:
        decoded.append(text)
        return real(text)

    monkeypatch.setattr(reading, "elements", noting)
    again = await reading.read(bytes(bytearray(whole)), {"a", "b"}.__contains__, reader, first)
    assert again is first
    assert (decoded, reader.ids) == ([], ["b"])
    # One that was not read is wanted now.
    later = await reading.read(whole, {"a", "c"}.__contains__, reader, again)
    batch = later.looks["c"].batch
    assert batch is not None
    assert batch.id == "c"
    assert len(decoded) == 1
    # One more byte is another list.
    await reading.read(whole + b" ", {"a", "c"}.__contains__, reader, later)
    assert len(decoded) == 2


async def test_big_lists_are_not_remembered() -> None:
    reader = Reader()
    for size, kept in ((900_000, True), (1_100_000, False)):
        whole = body([item("a", name="x" * size)])
        listing = await reading.read(whole, {"a"}.__contains__, reader)
        assert bool(listing.body) is kept
        assert set(listing.looks) == {"a"}
        again = await reading.read(whole, {"a"}.__contains__, reader, listing)
        assert (again is listing) is kept


@pytest.mark.parametrize(
    "element",
    [
        "text",
        5,
        None,
        True,
        [],
        [["id", "x"]],
        {},
        {"id": None, "status": "READY"},
        {"id": 5, "status": "READY"},
        {"status": "READY"},
        {"id": "x", "status": 5},
        {"id": "x", "status": ["READY"]},
        {"id": "x", "status": {}},
        {"id": "x", "status": False},
        {"id": "x", "status": "READY"},
        {**ITEM, "id": "x", "status": "READY", "datasets": 5},
    ],
    ids=repr,
)
async def test_malformed_elements_are_left_out(element: Any) -> None:
    whole = body([item("a", "READY"), element, item("b")])
    listing = await reading.read(whole, {"a", "b", "x"}.__contains__, Reader())
    assert set(listing.looks) == {"a", "b"}


async def test_a_reader_that_refuses_leaves_one_out() -> None:
    def refuse(element: Any) -> Batch:
        raise DecodeError(("$: no",), element, "GET", "/batches")

    listing = await reading.read(body([item("a", "READY")]), {"a"}.__contains__, refuse)
    assert (listing.looks, listing.unread) == ({}, frozenset())


async def test_no_status_and_an_empty_one_are_told_apart() -> None:
    for statuses in ((None, ""), ("", None)):
        whole = body(item(f"b{index}", status) for index, status in enumerate(statuses))
        listing = await reading.read(whole, {"b0", "b1"}.__contains__, Reader())
        assert tuple(listing.looks[f"b{index}"].status for index in range(2)) == statuses


@pytest.mark.parametrize(
    "whole",
    [b"", b"\xff\xfe", b'{"results": ["\xff"]}', b"<html>", b"[]", b'{"results": 5}'],
    ids=repr,
)
async def test_what_is_no_list_raises(whole: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is nobody's
        await reading.read(whole, {"a"}.__contains__, Reader())


async def test_every_truncation_of_a_list_raises() -> None:
    whole = body([item("a"), item("b", "READY")])
    for end in range(len(whole)):
        with pytest.raises(ValueError):  # noqa: PT011 - its text is nobody's
            await reading.read(whole[:end], {"a", "b"}.__contains__, Reader())
