"""What is read of batches that cannot be read whole."""

from datetime import UTC, datetime
from typing import Any

import pytest

from prolific_async import Batch, DecodeError
from prolific_async._http.answers import Answer
from prolific_async._http.endpoints import Request
from prolific_async._posts.search import (
    Found,
    OddBatch,
    Search,
    Source,
    candidates_of,
    namesakes,
    odd_batch,
)
from prolific_async._wire.converter import load
from tests.samples import batch

WIRE = batch("UNINITIALISED", "c-1").to_dict()
MADE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SOURCE = Source("b-1", "Original", "w-1")
LIST = "/api/v1/data-collection/batches"

# Each makes a batch odd.
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


def search_in(*answers: Any) -> Search:
    given = iter(answers)

    async def get(request: Request) -> Answer:
        return Answer({}, next(given))

    def read(request: Request, data: Any) -> Batch:
        return load(Batch, data, request.method, request.path)

    return Search(get, read)


@pytest.mark.parametrize("fields", ODD_FIELDS, ids=repr)
async def test_an_odd_batch_is_read_as_far_as_it_can_be(fields: dict[str, Any]) -> None:
    search = search_in({"results": [WIRE | fields, WIRE]})
    expected: dict[str, Any] = {"id": "c-1", "name": "Round 1", "created_at": MADE}
    expected |= dict.fromkeys(expected.keys() & fields.keys())
    assert await search.batches_of("w-1") == [OddBatch(**expected), batch("UNINITIALISED", "c-1")]


@pytest.mark.parametrize("element", [None, 5, "c-1", [], [WIRE], {}, {"x": WIRE}], ids=repr)
def test_of_what_is_no_batch_nothing_is_read(element: Any) -> None:
    assert odd_batch(element) == OddBatch(None, None, None)


async def test_every_page_is_read() -> None:
    link = {"next": {"href": "?page=2"}}
    search = search_in({"results": [5], "_links": link}, {"results": [WIRE]})
    assert await search.batches_of("w-1") == [odd_batch(5), batch("UNINITIALISED", "c-1")]


async def test_an_answer_that_is_no_list_shows_nothing() -> None:
    with pytest.raises(DecodeError, match="maintenance"):
        await search_in({"message": "maintenance"}).batches_of("w-1")


@pytest.mark.parametrize("fields", ODD_FIELDS, ids=repr)
async def test_of_the_source_only_three_fields_are_needed(fields: dict[str, Any]) -> None:
    search = search_in(WIRE | fields)
    if fields.keys() & {"id", "name", "workspace_id"}:
        with pytest.raises(DecodeError) as caught:
            await search.source("c-1")
        assert caught.value.path == f"{LIST}/c-1"
    else:
        source, _ = await search.source("c-1")
        assert (source.id, source.name, source.workspace_id) == ("c-1", "Round 1", "w1")


def test_namesakes_are_each_there_once_and_without_the_source() -> None:
    whole = batch(batch_id="c-1")
    found: list[Found] = [
        OddBatch("b-1", "Round 1", None),
        whole,
        batch(batch_id="c-2", name="Round 2"),
        OddBatch("c-3", "\tRound 1 ", MADE),
        OddBatch("c-4", None, MADE),
        OddBatch(None, None, None),
        whole,
    ]
    named = namesakes(found, "Round 1", SOURCE)
    assert named == {"c-1": whole, "c-3": found[3]}
    assert candidates_of(named) == ((whole,), ("c-3",))


def test_a_namesake_without_an_id_is_a_fault_of_the_list() -> None:
    with pytest.raises(DecodeError, match="'Round 1' has no id") as caught:
        namesakes([OddBatch(None, "Round 1", MADE)], "Round 1", SOURCE)
    assert (caught.value.method, caught.value.path) == ("GET", LIST)
    with pytest.raises(DecodeError) as caught:
        namesakes([OddBatch(None, "Round 1", MADE)], "Round 1", SOURCE, "/gateway")
    assert caught.value.path == f"/gateway{LIST}"
