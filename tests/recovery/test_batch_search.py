"""The search for a copy: what is read of lists and of unreadable batches."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import ConnectionLostError, Copies, DecodeError
from prolific_async._api.batches import BatchesAPI
from prolific_async._api.partial_batches import PartialBatch, SourceBatch, read_partial
from prolific_async._http.responses import Response
from prolific_async._recovery.batch_search import (
    BatchSearch,
    CallStart,
    Found,
    copies_of,
    namesakes,
)
from tests.recovery.failures import AT_ONCE
from tests.samples import batch
from tests.streams import Stream
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prolific_async._http.request import Request

WIRE = batch("UNINITIALISED", "c-1").to_dict()
MADE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SOURCE = SourceBatch("b-1", "Original", "w-1")
LIST = "/api/v1/data-collection/batches"
DATE = "Wed, 04 Mar 2026 05:06:08 GMT"

# Each makes a batch unreadable.
ODD_FIELDS = [
    {"created_at": None},
    {"created_at": "yesterday"},
    {"datasets": {}},
    {"datasets": [None]},
    {"total_task_count": "3"},
    {"status": None},
    {"name": None},
    {"name": 5},
    {"id": None},
    {"workspace_id": None},
    {"task_details": []},
]


class Canned:
    """A transport with given responses in this order, in pieces of some bytes."""

    prefix = ""
    sleep = staticmethod(asyncio.sleep)

    def __init__(self, *answers: Any, size: int = 1000) -> None:
        self._given = iter(answers)
        self._size = size
        self.asked: list[str] = []

    async def send(self, request: Request, **_: Any) -> Response:
        self.asked.append(request.target)
        return Response({}, self._next())

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        self.asked.append(request.target)
        given = self._next()
        body = given if isinstance(given, bytes) else json.dumps(given).encode()

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(body), self._size):
                await asyncio.sleep(0)
                yield body[start : start + self._size]

        yield Stream(chunks(), {"Date": DATE})

    def _next(self) -> Any:
        answer = next(self._given)
        if isinstance(answer, Exception):
            raise answer
        return answer


def search_over(transport: Any) -> BatchSearch:
    return BatchSearch(BatchesAPI(transport, AT_ONCE))


def search_in(*answers: Any) -> BatchSearch:
    return search_over(Canned(*answers))


@pytest.mark.parametrize("fields", ODD_FIELDS, ids=repr)
async def test_an_unreadable_batch_is_read_in_part(fields: dict[str, Any]) -> None:
    search = search_in({"results": [WIRE | fields, WIRE]})
    expected: dict[str, Any] = {"id": "c-1", "name": "Round 1", "created_at": MADE}
    expected |= dict.fromkeys(expected.keys() & fields.keys())
    found = await search.batches_of("w-1", "Round 1")
    # A batch without a readable name is not the copy, which has one.
    odd = [] if "name" in fields else [PartialBatch(**expected)]
    assert found == [*odd, batch("UNINITIALISED", "c-1")]


@pytest.mark.parametrize("element", [None, 5, "c-1", [], [WIRE], {}, {"x": WIRE}], ids=repr)
def test_an_element_that_is_not_a_batch_is_read_as_empty(element: Any) -> None:
    assert read_partial(element) == PartialBatch(None, None, None)


async def test_every_page_is_read() -> None:
    link = {"next": {"href": "?page=2"}}
    transport = Canned({"results": [5, WIRE | {"id": 5}], "_links": link}, {"results": [WIRE]})
    found = await search_over(transport).batches_of("w-1", "Round 1")
    assert found == [PartialBatch(None, "Round 1", MADE), batch("UNINITIALISED", "c-1")]
    assert transport.asked == [f"{LIST}?workspace_id=w-1", f"{LIST}?page=2"]


async def test_a_list_with_fewer_batches_than_counted_is_refused() -> None:
    with pytest.raises(DecodeError, match="1 of 2 batches"):
        await search_in({"results": [WIRE], "meta": {"count": 2}}).batches_of("w-1", "Round 1")


async def test_only_new_batches_of_the_name_are_read() -> None:
    made = MADE.timestamp()
    transport = Canned(
        {
            "results": [
                WIRE | {"id": "other", "name": "Round 2"},
                WIRE | {"id": "old", "created_at": "2026-03-04T05:06:06Z"},
                WIRE | {"id": "new"},
                WIRE | {"id": "spaced", "name": "\tRound 1 "},
                WIRE | {"id": "undated", "created_at": None},
            ]
        }
    )
    found = await search_over(transport).batches_of("w-1", " Round 1", made)
    assert [one.id for one in found] == ["new", "spaced", "undated"]


async def test_new_batches_of_the_name_are_found_in_the_workspace_of_the_source() -> None:
    copies = [
        WIRE | {"id": "b-1"},
        WIRE | {"id": "old", "created_at": "2026-03-04T05:06:06Z"},
        WIRE,
    ]
    transport = Canned({"results": copies}, {"results": copies})
    search = search_over(transport)
    found = await search.named(SOURCE, " Round 1 ", MADE.timestamp())
    assert found == {"c-1": batch("UNINITIALISED", "c-1")}
    assert await search.named(SOURCE, "Round 2") == {}
    assert transport.asked == [f"{LIST}?workspace_id=w-1"] * 2
    transport = Canned({"results": [WIRE | {"id": None}]})
    transport.prefix = "/gateway"
    with pytest.raises(DecodeError, match="'Round 1' has no id") as caught:
        await search_over(transport).named(SOURCE, "Round 1")
    assert caught.value.path == f"/gateway{LIST}"


@pytest.mark.parametrize(("ahead", "is_sure"), [(0, True), (1, True), (1.001, False)])
def test_a_batch_of_the_future_is_not_surely_new(ahead: float, is_sure: bool) -> None:  # noqa: FBT001 - a case
    start = CallStart(None, 0, lambda: MADE.timestamp() - ahead)
    assert start.is_surely_new(batch("UNINITIALISED")) is is_sure


NO_LISTS = [
    {"message": "maintenance"},
    [],
    5,
    b"",
    b"<html>",
    b'{"results": [',
    b'{"results": [{}}',
    b'{"results": []} x',
    b'{"results": [\xff]}',
    {"results": {}},
]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("answer", NO_LISTS, ids=range(len(NO_LISTS)))
async def test_a_response_that_is_not_a_list_is_a_decode_error(answer: Any, size: int) -> None:
    with pytest.raises(DecodeError) as caught:
        await search_over(Canned(answer, size=size)).batches_of("w-1", "Round 1")
    assert (caught.value.method, caught.value.path) == ("GET", LIST)


async def test_a_list_that_breaks_off_is_read_again() -> None:
    lost = ConnectionLostError("GET", LIST, "reset")
    transport = Canned(lost, lost, {"results": [WIRE]})
    assert len(await search_over(transport).batches_of("w-1", "Round 1")) == 1
    assert len(transport.asked) == 3


async def test_many_searches_share_one_list_and_one_read_of_the_source() -> None:
    copies = [WIRE | {"id": f"c-{one}", "name": f"Copy {one}"} for one in range(100)]
    transport = Canned(WIRE, {"results": copies})
    search = search_over(transport)
    sources = await asyncio.gather(*(search.source("b-1") for _ in range(100)))
    assert {source.id for source, _ in sources} == {"c-1"}
    found = await asyncio.gather(*(search.batches_of("w-1", f"Copy {one}") for one in range(100)))
    assert [[one.id for one in each] for each in found] == [[f"c-{one}"] for one in range(100)]
    assert transport.asked == [f"{LIST}/b-1", f"{LIST}?workspace_id=w-1"]


async def test_searches_for_one_name_keep_their_own_times() -> None:
    transport = Canned({"results": [WIRE]})
    search = search_over(transport)
    made = MADE.timestamp()
    found = await asyncio.gather(
        search.batches_of("w-1", "Round 1", made + 60),
        search.batches_of("w-1", "Round 1", made),
        search.batches_of("w-1", "Round 1", made + 60),
    )
    assert found[1] == [batch("UNINITIALISED", "c-1")]
    assert len(transport.asked) == 1


async def test_an_invalid_id_is_refused_before_anything_is_sent() -> None:
    transport = Canned()
    with pytest.raises(ValueError, match="cannot be an id"):
        await search_over(transport).batches_of("", "Round 1")
    assert transport.asked == []


@pytest.mark.parametrize("fields", ODD_FIELDS, ids=repr)
async def test_only_three_fields_of_the_source_are_needed(fields: dict[str, Any]) -> None:
    search = search_in(WIRE | fields)
    if fields.keys() & {"id", "name", "workspace_id"}:
        with pytest.raises(DecodeError) as caught:
            await search.source("c-1")
        assert caught.value.path == f"{LIST}/c-1"
    else:
        source, _ = await search.source("c-1")
        assert (source.id, source.name, source.workspace_id) == ("c-1", "Round 1", "w1")


def test_namesakes_are_unique_and_without_the_source() -> None:
    whole = batch(batch_id="c-1")
    found: list[Found] = [
        PartialBatch("b-1", "Round 1", None),
        whole,
        batch(batch_id="c-2", name="Round 2"),
        PartialBatch("c-3", "\tRound 1 ", MADE),
        PartialBatch("c-4", None, MADE),
        PartialBatch(None, None, None),
        whole,
    ]
    named = namesakes(found, "Round 1", SOURCE)
    assert named == {"c-1": whole, "c-3": found[3]}
    assert copies_of(named) == Copies((whole,), ("c-3",))


def test_a_namesake_without_an_id_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="'Round 1' has no id") as caught:
        namesakes([PartialBatch(None, "Round 1", MADE)], "Round 1", SOURCE)
    assert (caught.value.method, caught.value.path) == ("GET", LIST)
    with pytest.raises(DecodeError) as caught:
        namesakes([PartialBatch(None, "Round 1", MADE)], "Round 1", SOURCE, "/gateway")
    assert caught.value.path == f"/gateway{LIST}"


# --- Batches of a workspace, with the service's clock ------------------------------------------


async def test_batches_of_a_name_come_with_the_services_clock() -> None:
    other = WIRE | {"id": "other", "name": "Round 2"}
    spaced = WIRE | {"id": "spaced", "name": " Round 1\n"}
    search = search_in({"results": [WIRE, other, spaced, WIRE | {"created_at": None, "id": "odd"}]})
    found, time = await search.named_in_workspace("w-1", " Round 1")
    assert list(found) == ["c-1", "spaced", "odd"]
    assert found["odd"] == PartialBatch("odd", "Round 1", None)
    assert time.date == MADE.timestamp() + 1
    assert 0 <= asyncio.get_running_loop().time() - time.at < 5


def test_the_clock_is_that_of_the_beginning_of_the_first_page() -> None:
    class Slow(Canned):
        @asynccontextmanager
        async def stream(self, request: Request) -> AsyncIterator[Stream]:
            await asyncio.sleep(10)
            async with super().stream(request) as stream:

                async def slowly() -> AsyncIterator[bytes]:
                    async for piece in stream:
                        await asyncio.sleep(100)
                        yield piece

                yield Stream(slowly(), stream.headers)

    async def main() -> None:
        link = {"next": {"href": "?page=2"}}
        transport = Slow({"results": [WIRE], "_links": link}, {"results": [WIRE | {"id": "c-2"}]})
        began = asyncio.get_running_loop().time()
        found, time = await search_over(transport).named_in_workspace("w-1", "Round 1")
        assert list(found) == ["c-1", "c-2"]
        assert time.at == began + 10

    run(main())


async def test_a_batch_of_the_name_without_an_id_is_an_error() -> None:
    transport = Canned({"results": [WIRE | {"id": None}]})
    transport.prefix = "/gateway"
    with pytest.raises(DecodeError, match="'Round 1' has no id") as caught:
        await search_over(transport).named_in_workspace("w-1", "Round 1")
    assert caught.value.path == f"/gateway{LIST}"
