"""Parsing of a workspace's list in slices, compared with the json module."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import Batch, BatchStatus, DecodeError, RetryPolicy
from prolific_async._http.request import PollTiming
from prolific_async._json import text_buffer as texts
from prolific_async._json.converter import load
from prolific_async._json.decoding import decode_at
from prolific_async._polling import list_parser as reading
from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._polling.poll_requests import PollRequests
from tests.costs import LIMIT, held_by
from tests.json.test_pages import NO_LISTS

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def item(batch_id: str, status: Any = "PROCESSING", **changes: Any) -> dict[str, Any]:
    return {**ITEM, "id": batch_id, "status": status, **changes}


def body(items: Iterable[Any]) -> bytes:
    return json.dumps({"results": list(items), "meta": {"count": 0}}).encode()


class Reader:
    """Structures batches as the client does, and counts them."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, element: Any) -> Batch:
        self.ids.append(element["id"])
        return load(Batch, element, "GET", "/batches")


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
    wanted = {"pending", "ready", "error", "unseen", "nothing"}
    listing = await reading.read(body(items), wanted, reader)
    assert reader.ids == ["ready", "error"]
    assert {batch_id: result.status for batch_id, result in listing.results.items()} == {
        "pending": "PROCESSING",
        "ready": "READY",
        "error": "ERROR",
        "unseen": "SYNCING",
    }
    assert isinstance(listing.results["pending"].status, BatchStatus)
    with_batch = {batch_id for batch_id, poll in listing.results.items() if poll.value}
    assert with_batch == {"ready", "error"}
    assert listing.results["ready"].value == load(Batch, items[1], "GET", "/batches")
    assert listing.new_ids == [element["id"] for element in items]


class Body(bytes):
    """Tells when it is freed."""

    def __del__(self) -> None:
        FREED.append(len(self))


FREED: list[int] = []


async def test_the_body_is_freed_before_its_batches_are_read() -> None:
    class API:
        prefix = get = get_status = send = None

        async def list_body(self, workspace_id: str, poll: PollTiming) -> bytes:
            return Body(body([item("b1", "READY"), item("b2")]))

    freed: list[bool] = []

    class Wanted(frozenset[str]):
        def __contains__(self, key: object) -> bool:
            freed.append(bool(FREED))
            return super().__contains__(key)

    FREED.clear()
    api: Any = API()
    source = PollRequests(api, KnownWorkspaces(), RetryPolicy(), api)
    result = await source.poll_list("w1", ["b1"], Wanted({"b1", "b2"}), PollTiming())
    assert freed
    assert all(freed)
    assert set(result.found) == {"b1", "b2"}
    assert [result.size] == FREED


async def test_only_wanted_batches_of_a_large_list_cost_time() -> None:
    heavy = [{"type": "text", "content": "x" * 20_000}]
    items = [
        item(f"b{index}", "READY" if index % 2 else "PROCESSING", batch_items=heavy)
        for index in range(1000)
    ]
    whole = body(items)

    async def call() -> None:
        reader = Reader()
        listing = await reading.read(whole, {"b1", "b2", "b999"}, reader)
        assert reader.ids == ["b1", "b999"]
        assert len(listing.results) == 502

    assert await held_by(call) < LIMIT


class Decoder:
    """Counts what the json module decodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        real = decode_at

        def noting(text: str, at: int) -> tuple[Any, int]:
            value, end = real(text, at)
            self.texts.append(text[at:end])
            return value, end

        monkeypatch.setattr(texts, "decode_at", noting)

    def ids(self) -> list[str]:
        """Return the ids of the batches that were decoded since the last call."""
        decoded = [json.loads(text) for text in self.texts]
        self.texts.clear()
        return [one["id"] for one in decoded if isinstance(one, dict) and "id" in one]


@pytest.mark.parametrize("space", [None, 1])
async def test_only_changed_batches_are_decoded_again(
    monkeypatch: pytest.MonkeyPatch, space: int | None
) -> None:
    decoder = Decoder(monkeypatch)
    wanted = {"a", "b", "c", "new", "last"}
    memory = None

    async def decoded(items: list[Any]) -> list[str]:
        nonlocal memory
        whole = json.dumps({"results": items, "meta": {"count": 0}}, indent=space).encode()
        listing = await reading.read(whole, wanted, Reader(), memory)
        memory = listing.memory
        fresh = await reading.read(whole, wanted, Reader())
        assert listing.results == fresh.results
        ids = decoder.ids()
        return ids[: len(ids) - len(items)]

    a, b, c = item("a"), item("b"), item("c")
    assert await decoded([a, b, c]) == ["a", "b", "c"]
    assert await decoded([a, b, c]) == []
    assert await decoded([a, b | {"name": "Changed"}, c]) == ["b"]
    assert await decoded([a, b, c]) == ["b"]
    assert await decoded([item("new"), a, b, c]) == ["new"]
    assert await decoded([a, b, c, item("last")]) == [
        "a",
        "last",
    ]  # batches that were forgotten are decoded again
    assert await decoded([a, c]) == ["c"]
    assert await decoded([c, a, b]) == ["c", "a", "b"]
    assert await decoded([]) == []
    assert await decoded([a]) == ["a"]


async def test_an_ended_batch_is_decoded_as_long_as_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = Decoder(monkeypatch)
    whole = body([item("a", "READY"), item("b", "ERROR"), item("c", "READY")])
    wanted: set[str] = set()
    listing = await reading.read(whole, wanted, Reader())
    assert (listing.results, listing.new_ids) == ({}, ["a", "b", "c"])
    decoder.ids()
    wanted.add("b")
    for _ in range(2):
        listing = await reading.read(whole, wanted, Reader(), listing.memory)
        assert decoder.ids() == ["b"]
        assert {key: poll.status for key, poll in listing.results.items()} == {"b": "ERROR"}
        assert listing.new_ids == []
    wanted.clear()
    listing = await reading.read(whole, wanted, Reader(), listing.memory)
    assert decoder.ids() == []
    assert listing.results == {}


async def test_a_list_that_is_the_same_as_before_is_not_read_unless_it_shows_a_wanted_end() -> None:
    whole = body([item("a", "READY"), item("b"), item("c")])
    first = await reading.read(whole, set(), Reader())
    again = await reading.read(whole, set(), Reader(), first.memory)
    assert again.memory is first.memory
    assert (again.results, again.new_ids, again.size) == (first.results, [], len(whole))
    wanted = await reading.read(whole, {"a"}, Reader(), first.memory)
    assert set(wanted.results) == {"a", "b", "c"}


@pytest.mark.parametrize("states", [("READY", "PROCESSING"), ("PROCESSING", "READY")], ids=str)
async def test_a_batch_that_is_shown_twice_counts_as_ended_at_each_read(
    states: tuple[str, str],
) -> None:
    whole = body([item("a", state) for state in states] + [item("b")])
    unwanted = await reading.read(whole, set(), Reader())
    assert set(unwanted.results) == {"b"}
    memory = unwanted.memory
    for _ in range(3):
        listing = await reading.read(whole, {"a"}, Reader(), memory)
        assert listing.results["a"].status == "READY"
        assert listing.results["b"].status == "PROCESSING"
        memory = listing.memory


@pytest.mark.parametrize("states", [(None, "PROCESSING"), ("PROCESSING", None)], ids=str)
async def test_a_batch_that_is_shown_with_and_without_a_status_counts_as_not_shown(
    states: tuple[str | None, str | None],
) -> None:
    whole = body(item("a", state) for state in states)
    listing = await reading.read(whole, {"a"}, Reader())
    assert not listing.results
    assert not (await reading.read(whole, {"a"}, Reader(), listing.memory)).results


async def test_results_take_little_memory() -> None:
    listing = await reading.read(body([item("a"), item("b")]), set(), Reader())
    assert listing.results["a"] is listing.results["b"]
    assert listing.results is listing.memory.pending


async def test_a_second_list_reports_only_new_batches() -> None:
    wanted = {"a", "b"}
    first = await reading.read(body([item("a")]), wanted, Reader())
    again = await reading.read(body([item("b"), item("a")]), wanted, Reader(), first.memory)
    assert (first.new_ids, again.new_ids) == (["a"], ["b"])


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
    listing = await reading.read(whole, {"a", "b", "x"}, Reader())
    assert set(listing.results) == {"a", "b"}


async def test_a_batch_that_cannot_be_read_is_left_out() -> None:
    def refuse(element: Any) -> Batch:
        raise DecodeError(("$: no",), element, "GET", "/batches")

    listing = await reading.read(body([item("a", "READY")]), {"a"}, refuse)
    assert listing.results == {}


async def test_a_batch_without_a_status_has_no_result_but_is_known() -> None:
    bare = item("bare")
    del bare["status"]
    whole = body([item("null", None), bare, item("empty", ""), item("a")])
    wanted = {"null", "bare", "empty", "a"}
    memory = None
    for news in (["null", "bare", "empty", "a"], []):
        listing = await reading.read(whole, wanted, Reader(), memory)
        assert {key: poll.status for key, poll in listing.results.items()} == {
            "empty": "",
            "a": "PROCESSING",
        }
        assert listing.new_ids == news
        memory = listing.memory


@pytest.mark.parametrize(
    "whole",
    [
        b"",
        b"\xff\xfe",
        b'{"results": ["\xff"]}',
        b"<html>",
        b"[]",
        b'{"results": 5}',
        *(json.dumps(one).encode() for one in NO_LISTS),
    ],
)
async def test_a_body_that_is_not_a_list_is_a_value_error(whole: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is nobody's
        await reading.read(whole, {"a"}, Reader())


@pytest.mark.parametrize(
    "whole", [b"{}", b'{"results": null}', b'{"meta": {"count": 0}, "_links": {}}'], ids=repr
)
async def test_an_empty_list_shows_nothing(whole: bytes) -> None:
    assert await shown(whole) == {}


async def test_every_truncation_of_a_list_is_a_value_error() -> None:
    whole = body([item("a"), item("b", "READY")])
    for end in range(len(whole)):
        with pytest.raises(ValueError):  # noqa: PT011 - its text is nobody's
            await reading.read(whole[:end], {"a", "b"}, Reader())


LISTED = b'{"results": [' + json.dumps(item("a", "READY")).encode()[:-1] + b', "news": %s}]}'


async def shown(whole: bytes) -> dict[str, Any] | None:
    try:
        listing = await reading.read(whole, {"a"}, Reader())
    except ValueError:
        return None
    return {batch_id: result.status for batch_id, result in listing.results.items()}


async def test_a_byte_order_mark_is_ignored() -> None:
    assert await shown(b"\xef\xbb\xbf" + LISTED % b"1") == {"a": "READY"}


@pytest.mark.parametrize("news", [b"NaN", b"1e999", b"[" * 100_000 + b"]" * 100_000])
async def test_invalid_batches_are_left_out(news: bytes) -> None:
    # A batch that came so cannot be pickled, or not be written as JSON again.
    assert not await shown(LISTED % news)


async def test_a_list_with_two_results_is_refused() -> None:
    assert await shown(b'{"results": [], ' + (LISTED % b"1")[1:]) is None


@pytest.mark.parametrize("mark", ["x", "é", "€", "\U0001f600"])
async def test_a_character_may_be_split_between_slices(mark: str) -> None:
    for shift in range(4):
        named = json.dumps(
            {"results": [item("a", name="." * shift + mark * 600_000)]}, ensure_ascii=False
        )
        whole = named.encode()
        assert await shown(whole) == {"a": "PROCESSING"}
