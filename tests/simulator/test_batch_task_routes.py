"""The endpoints of tasks, groups and syncs, over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from prolific_async.simulator import AfterPolls, Immediately
from tests.simulator.dataset_world import SCHEMA, World

GROUPED = {"strict": True, "fields": {"q": {"type": "text"}, "g": {"type": "task_group_id"}}}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(setup=Immediately()) as started:
        yield started


async def ready(world: World, dataset_id: str, **fields: Any) -> str:
    """Add a batch, set it up, and return its path."""
    batch_id = world.add_batch(dataset_id=dataset_id, **fields)
    status, _ = await world.ask("POST", f"/batches/{batch_id}/setup", {"tasks_per_group": 2})
    assert status == 202
    return f"/batches/{batch_id}"


async def append(world: World, dataset_id: str, *records: Any) -> None:
    lines = "\n".join(map(json.dumps, records)).encode()
    status, result = await world.ask("POST", f"/datasets/{dataset_id}/datapoints", lines)
    assert (status, result["accepted"]) == (200, len(records))


async def sync(world: World, path: str) -> Any:
    status, started = await world.ask("POST", f"{path}/sync")
    assert status == 202
    return await world.ended(f"{path}/syncs/{started['sync_id']}")


async def test_a_sync_is_queued_then_processing_then_complete(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=3, schema=SCHEMA)
    path = await ready(world, dataset_id, instructions=1)
    await append(world, dataset_id, {"q": 1, "a": 2})
    batch = (await world.ask("GET", path))[1]
    assert (batch["total_task_count"], batch["datasets"][0]["total_datapoint_count"]) == (3, 4)
    status, started = await world.ask("POST", f"{path}/sync")
    assert (status, started) == (
        202,
        {
            "batch_id": path.rpartition("/")[2],
            "dataset_id": dataset_id,
            "sync_id": started["sync_id"],
            "created_at": started["created_at"],
            "updated_at": started["created_at"],
            "status": "queued",
        },
    )
    job = f"{path}/syncs/{started['sync_id']}"
    assert (await world.ask("GET", job))[1]["status"] == "processing"
    assert (await world.ask("GET", path))[1]["status"] == "READY"
    ended = (await world.ask("GET", job))[1]
    counts = {
        "tasks_created": 1,
        "datapoints_processed": 1,
        "groups_created": 0,
        "groups_expanded": 1,
    }
    assert ended == {**started, **counts, "status": "complete", "updated_at": ended["updated_at"]}
    batch = (await world.ask("GET", path))[1]
    assert (batch["total_task_count"], batch["total_task_groups"]) == (4, 2)
    assert await world.ask("GET", job) == (200, ended)
    assert (await world.ask("GET", f"{path}/syncs/none"))[0] == 404


async def test_what_a_sync_of_random_groups_counts(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=4, schema=SCHEMA)
    path = await ready(world, dataset_id, instructions=1)
    await append(world, dataset_id, *({"q": i, "a": 1} for i in range(3)))
    job = await sync(world, path)
    assert (job["tasks_created"], job["groups_created"], job["groups_expanded"]) == (3, 2, 0)
    job = await sync(world, path)  # nothing is left
    assert (job["status"], job["tasks_created"], job["datapoints_processed"]) == ("complete", 0, 0)
    assert (job["groups_created"], job["groups_expanded"]) == (0, 0)


async def test_what_a_sync_of_given_groups_counts(world: World) -> None:
    dataset_id = await world.create(schema=GROUPED)
    upload = await world.send(dataset_id, "rows.csv", b"q,g\n1,x\n2,y\n3,y\n")
    await world.ended(f"/datasets/{dataset_id}/imports/{upload['import_id']}")
    path = await ready(world, dataset_id, instructions=1)
    groups = (await world.ask("GET", f"{path}/task-groups"))[1]
    await append(world, dataset_id, {"q": 4, "g": "x"}, {"q": 5, "g": "z"}, {"q": 6, "g": "z"})
    job = await sync(world, path)
    assert (job["tasks_created"], job["groups_created"], job["groups_expanded"]) == (3, 1, 1)
    assert (await world.ask("GET", f"{path}/task-groups"))[1][:2] == groups


async def test_syncs_of_a_batch_come_one_after_the_other(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=2, schema=SCHEMA)
    path = await ready(world, dataset_id, instructions=1)
    await append(world, dataset_id, {"q": 1, "a": 1})
    first = (await world.ask("POST", f"{path}/sync"))[1]["sync_id"]
    second = (await world.ask("POST", f"{path}/sync"))[1]["sync_id"]
    for _ in range(3):
        assert (await world.ask("GET", f"{path}/syncs/{second}"))[1]["status"] == "queued"
    assert (await world.ended(f"{path}/syncs/{first}"))["tasks_created"] == 1
    assert (await world.ended(f"{path}/syncs/{second}"))["tasks_created"] == 0


async def test_syncs_that_are_refused(world: World) -> None:
    dataset_id = world.add_dataset(schema=SCHEMA)
    fresh = world.add_batch(dataset_id=dataset_id)
    without = world.add_batch(datapoints=None, status="READY")
    third = world.add_batch(status="READY")
    for batch_id, field in ((fresh, "status"), (without, "dataset_id"), (third, "dataset_id")):
        status, refused = await world.ask("POST", f"/batches/{batch_id}/sync")
        assert (status, list(refused["error"]["detail"])) == (400, [field])
    for path in ("/sync", "/syncs/x", "/tasks", "/task-groups"):
        method = "POST" if path == "/sync" else "GET"
        assert (await world.ask(method, f"/batches/nothing{path}"))[0] == 404


async def test_a_sync_of_a_batch_that_leaves_ready_fails(world: World) -> None:
    dataset_id = world.add_dataset(schema=SCHEMA)
    path = await ready(world, dataset_id)
    started = (await world.ask("POST", f"{path}/sync"))[1]
    world.set_status(path.rpartition("/")[2], "ERROR")
    job = await world.ended(f"{path}/syncs/{started['sync_id']}")
    assert (job["status"], job["reason"]) == ("failed", "The batch is not READY.")


async def test_a_sync_is_set_by_a_test(world: World) -> None:
    path = await ready(world, world.add_dataset(schema=SCHEMA))
    sync_id = (await world.ask("POST", f"{path}/sync"))[1]["sync_id"]
    world.set_sync(sync_id, "queued")
    for _ in range(3):
        assert (await world.ask("GET", f"{path}/syncs/{sync_id}"))[1]["status"] == "queued"
    world.set_sync(sync_id, "failed", reason="No space.")
    job = (await world.ask("GET", f"{path}/syncs/{sync_id}"))[1]
    assert (job["status"], job["reason"]) == ("failed", "No space.")
    with pytest.raises(KeyError, match="no sync 's'"):
        world.set_sync("s", "failed")


async def test_an_append_starts_syncs_where_the_batch_asks_for_them() -> None:
    async with World(setup=Immediately(), imports=AfterPolls(0)) as world:
        dataset_id = world.add_dataset(datapoints=2, schema=SCHEMA)
        auto = await ready(world, dataset_id, instructions=1, auto_sync_enabled=True)
        plain = await ready(world, dataset_id, instructions=1)
        fresh = world.add_batch(dataset_id=dataset_id, auto_sync_enabled=True)
        await append(world, dataset_id, {"q": 1, "a": 1})
        counts = [
            len(world._state.batches[path.rpartition("/")[2]].syncs) for path in (auto, plain)
        ]
        assert counts == [1, 0]
        assert not world._state.batches[fresh].syncs


async def test_an_automatic_sync_ends_by_itself() -> None:
    async with World(setup=Immediately(), imports=Immediately()) as world:
        dataset_id = world.add_dataset(datapoints=2, schema=SCHEMA)
        path = await ready(world, dataset_id, instructions=1, auto_sync_enabled=True)
        await append(world, dataset_id, {"q": 1, "a": 1})
        assert (await world.ask("GET", path))[1]["total_task_count"] == 3
        assert len((await world.ask("GET", f"{path}/tasks"))[1]) == 3


async def test_a_batch_that_is_not_ready_has_no_tasks(world: World) -> None:
    batch_id = world.add_batch()
    assert await world.ask("GET", f"/batches/{batch_id}/tasks") == (200, [])
    assert await world.ask("GET", f"/batches/{batch_id}/task-groups") == (200, [])
