"""The endpoints that create and change batches, over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from prolific_async.simulator import Immediately
from tests.simulator.dataset_world import DETAILS, LAYOUT, SCHEMA, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(setup=Immediately()) as started:
        yield started


def required(world: World) -> dict[str, Any]:
    return {"name": "B", "workspace_id": world.workspace_id, "task_details": DETAILS}


async def test_a_batch_of_the_required_fields_has_defaults_for_the_others(world: World) -> None:
    status, batch = await world.ask("POST", "/batches", required(world))
    assert status == 201
    assert batch == {
        "id": batch["id"],
        "created_at": batch["created_at"],
        "created_by": batch["created_by"],
        "datasets": [],
        "name": "B",
        "status": "UNINITIALISED",
        "total_task_count": 0,
        "total_instruction_count": 0,
        "workspace_id": world.workspace_id,
        "task_details": DETAILS,
        "auto_sync_enabled": False,
        "total_task_groups": 0,
    }
    shown = (await world.ask("GET", f"/batches/{batch['id']}"))[1]
    assert shown == {**batch, "batch_items": None, "schema_version": 3}
    listed = (await world.ask("GET", f"/batches?workspace_id={world.workspace_id}"))[1]
    assert listed["results"] == [shown]


async def test_a_batch_with_everything(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)  # it need not be ready
    body = {
        **required(world),
        "dataset_id": dataset_id,
        "batch_items": LAYOUT,
        "auto_sync_enabled": True,
    }
    body["task_details"] = {**DETAILS, "unknown": 1}  # ignored, without a word
    status, batch = await world.ask("POST", "/batches", body)
    assert (status, batch["auto_sync_enabled"], batch["task_details"]) == (201, True, DETAILS)
    assert batch["datasets"] == [{"id": dataset_id, "total_datapoint_count": 0}]
    assert batch["total_instruction_count"] == 1
    (page,) = batch["batch_items"]
    nodes = [page, *page["rows"], *(row["columns"][0] for row in page["rows"])]
    nodes += [column["items"][0] for column in nodes[3:]]
    assert len({node["id"] for node in nodes}) == 7
    assert (await world.ask("GET", f"/batches/{batch['id']}"))[1]["schema_version"] == 4


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"name": None}, 400, "name"),
        ({"name": 1}, 400, "name"),
        ({"task_details": None}, 400, "task_details"),
        ({"task_details": "x"}, 400, "task_details"),
        ({"task_details": {"task_name": "n"}}, 400, "task_details"),
        ({"task_details": {**DETAILS, "task_steps": None}}, 400, "task_details"),
        ({"auto_sync_enabled": "yes"}, 400, "auto_sync_enabled"),
        ({"dataset_id": "nothing"}, 400, "dataset_id"),
        ({"dataset_id": 1}, 400, "dataset_id"),
        ({"workspace_id": "nowhere"}, 404, None),
        ({"workspace_id": ["x"]}, 404, None),
    ],
)
async def test_what_create_refuses(
    world: World, fields: Any, status: int, field: str | None
) -> None:
    heard, refused = await world.ask("POST", "/batches", {**required(world), **fields})
    assert heard == status
    if field is not None:
        assert list(refused["error"]["detail"]) == [field]
    assert dict(world.batches) == {}


async def test_a_dataset_of_another_workspace_is_refused(world: World) -> None:
    other = world.add_dataset(workspace_id=world.add_workspace())
    body = {**required(world), "dataset_id": other}
    assert (await world.ask("POST", "/batches", body))[0] == 400


async def test_a_bad_layout_is_422_in_a_form_of_its_own(world: World) -> None:
    body = {**required(world), "batch_items": LAYOUT}
    assert await world.ask("POST", "/batches", body) == (
        422,
        {
            "type": "INVALID_BATCH_ITEMS",
            "message": "The layout is not valid.",
            "issues": [
                {
                    "page": 0,
                    "row": 0,
                    "column": 0,
                    "item": 0,
                    "type": "invalid",
                    "field": "field",
                    "message": "The batch has no dataset with a schema.",
                }
            ],
        },
    )
    assert dict(world.batches) == {}
    batch_id = world.add_batch(datapoints=None)
    status, refused = await world.ask("PATCH", f"/batches/{batch_id}", {"batch_items": LAYOUT})
    assert (status, refused["type"]) == (422, "INVALID_BATCH_ITEMS")
    (seen, _) = world.requests
    assert seen.status == 422


async def test_only_what_is_given_changes(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=3, schema=SCHEMA)
    batch_id = world.add_batch(datapoints=None)
    path = f"/batches/{batch_id}"
    before = (await world.ask("GET", path))[1]
    changes: list[tuple[str, Any, dict[str, Any]]] = [
        ("name", "New", {}),
        ("task_details", DETAILS, {}),
        ("auto_sync_enabled", True, {}),
    ]
    for key, value, more in changes:
        status, batch = await world.ask("PATCH", path, {key: value})
        before |= {key: value, **more}
        assert (status, batch) == (200, before)
    assert await world.ask("PATCH", path, {}) == (200, before)
    batch = (await world.ask("PATCH", path, {"dataset_id": dataset_id}))[1]
    assert batch["datasets"][0]["id"] == dataset_id
    assert await world.ask("GET", path) == (200, batch)
    batch = (await world.ask("PATCH", path, {"dataset_id": None}))[1]
    assert (batch["datasets"], batch["schema_version"]) == ([], 3)


async def test_a_refused_change_changes_nothing(world: World) -> None:
    batch_id = world.add_batch()
    path = f"/batches/{batch_id}"
    before = await world.ask("GET", path)
    for body in ({"name": "New", "dataset_id": "no"}, {"name": "New", "batch_items": [{}]}):
        assert (await world.ask("PATCH", path, body))[0] in (400, 422)
    for key in ("name", "task_details", "auto_sync_enabled"):
        assert (await world.ask("PATCH", path, {key: None}))[0] == 400
    assert (await world.ask("PATCH", path, b"[]"))[0] == 400
    assert (await world.ask("PATCH", path))[0] == 400
    assert await world.ask("GET", path) == before
    assert (await world.ask("PATCH", "/batches/nothing", {}))[0] == 404


async def test_ids_of_nodes_stay_and_those_left_out_are_removed(world: World) -> None:
    text = {"type": "rich_text", "content": "x"}
    pages = [{"rows": [{"columns": [{"items": [text, text]}]}]}] * 2
    batch = (await world.ask("POST", "/batches", {**required(world), "batch_items": pages}))[1]
    path, pages = f"/batches/{batch['id']}", batch["batch_items"]
    same = (await world.ask("PATCH", path, {"batch_items": pages}))[1]
    assert same["batch_items"] == pages
    twice = (await world.ask("PATCH", path, {"batch_items": [pages[0], pages[0]]}))[1]
    assert twice["batch_items"][0] == pages[0]
    assert twice["batch_items"][1]["id"] not in (pages[0]["id"], pages[1]["id"])
    # The second page was removed, so that its ids are unknown now.
    back = (await world.ask("PATCH", path, {"batch_items": pages}))[1]
    assert back["batch_items"][0] == pages[0]
    assert back["batch_items"][1]["id"] != pages[1]["id"]
    cleared = (await world.ask("PATCH", path, {"batch_items": None}))[1]
    assert (cleared["batch_items"], cleared["total_instruction_count"]) == (None, 0)


async def test_a_copy_has_the_layout_and_not_the_dataset(world: World) -> None:
    dataset_id = world.add_dataset(schema=SCHEMA)
    body = {**required(world), "dataset_id": dataset_id, "batch_items": LAYOUT}
    batch = (await world.ask("POST", "/batches", body))[1]
    path = f"/batches/{batch['id']}/duplicate"
    status, copy = await world.ask("POST", path, {"upload_new_dataset": True})
    assert (status, copy["datasets"]) == (201, [])
    assert copy["batch_items"] == batch["batch_items"]
    other = await world.create(schema=SCHEMA)
    changed = (await world.ask("PATCH", f"/batches/{copy['id']}", {"dataset_id": other}))[1]
    assert changed["datasets"][0]["id"] == other
