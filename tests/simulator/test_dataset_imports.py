"""Imports of uploaded files: how long they take, and how they end."""

import asyncio
import io
import json
import threading
import zipfile
from collections.abc import AsyncIterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from prolific_async.simulator import (
    AfterPolls,
    AfterSeconds,
    Immediately,
    OmittedBody,
    RowsPerSecond,
    import_reader,
)
from tests.conftest import HANGS
from tests.simulator.dataset_world import SCHEMA, World

GROUPED = {"strict": True, "fields": {"q": {"type": "text"}, "g": {"type": "task_group_id"}}}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(setup=Immediately()) as started:
        yield started


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


# --- version 3 ----------------------------------------------------------------------------------


async def test_version_3_goes_from_uninitialised_to_ready(world: World) -> None:
    dataset_id = await world.create()
    status = f"/datasets/{dataset_id}/status"
    assert await world.ask("GET", status) == (200, {"status": "UNINITIALISED"})
    upload = await world.send(dataset_id, "rows.csv", b"q,META_TASK_GROUP_ID\n1,x\n2,x\n3,y\n")
    assert "import_id" not in upload
    assert await world.ask("GET", status) == (200, {"status": "PROCESSING"})
    assert await world.ask("GET", status) == (200, {"status": "READY"})
    document = (await world.ask("GET", f"/datasets/{dataset_id}"))[1]
    assert (document["total_datapoint_count"], document["filename"]) == (3, "rows.csv")
    assert document["has_predetermined_grouping_id"] is True


@pytest.mark.parametrize(
    ("filename", "content", "rows"),
    [
        ("a.csv", b"a\r\n1\r\n\r\n2", 2),
        ("a.csv", b'\xef\xbb\xbfa,b\n"1\n2","x""y"\n', 1),
        ("a.csv", b"a\n1\n1\n", 2),  # version 3 keeps identical rows
        ("a.zip", zipped({"a.csv": b"a\n1\n2\n", "b/c.CSV": b"b\n3\n", "1.png": b"x"}), 3),
        ("a.zip", zipped({"a.csv": b"META_TASK_GROUP_ID\n1\n2\n", "b.csv": b"b\n3\n"}), 3),
        ("a.csv", b"", None),
        ("a.csv", b"a,b\n", None),
        ("a.csv", b"a,b\n1,2\n1\n", None),
        ("a.csv", "a\né".encode("latin-1"), None),
        ("a.zip", b"no archive", None),
        ("a.zip", zipped({"a.csv": b"a\n1\n" * 50})[:-30], None),
        ("a.zip", zipped({"1.png": b"x"}), None),
        ("a.zip", zipped({"a.csv": b"a,b\n1\n"}), None),
    ],
    ids=count(),  # an archive holds the time at which it was made
)
async def test_what_files_of_version_3_hold(
    world: World, filename: str, content: bytes, rows: int | None
) -> None:
    dataset_id = await world.create()
    await world.send(dataset_id, filename, content)
    document = await world.ended(f"/datasets/{dataset_id}")
    assert document["status"] == ("ERROR" if rows is None else "READY")
    assert document["total_datapoint_count"] == (rows or 0)


async def test_after_an_error_another_file_may_be_sent(world: World) -> None:
    dataset_id = await world.create()
    await world.send(dataset_id, "a.csv", b"a,b\n1\n")
    assert (await world.ended(f"/datasets/{dataset_id}"))["status"] == "ERROR"
    await world.send(dataset_id, "b.csv", b"a\n1\n")
    document = await world.ended(f"/datasets/{dataset_id}")
    assert (document["status"], document["filename"]) == ("READY", "b.csv")


async def test_the_status_that_a_test_sets_lasts_until_the_next_upload(world: World) -> None:
    dataset_id = await world.create()
    await world.send(dataset_id, "a.csv", b"a\n1\n")
    world.set_dataset_status(dataset_id, "ODD")
    for _ in range(3):
        assert (await world.ask("GET", f"/datasets/{dataset_id}"))[1]["status"] == "ODD"
    await world.send(dataset_id, "a.csv", b"a\n1\n")
    assert (await world.ended(f"/datasets/{dataset_id}"))["status"] == "READY"


# --- version 4 ----------------------------------------------------------------------------------


async def test_an_import_of_version_4_is_partial_with_zero_based_errors(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    content = b'{"q": 1, "a": 2}\n\n{"q": 3}\nno\n{"q": [], "a": 1}\n{"q": null, "a": 1}\n'
    upload = await world.send(dataset_id, "rows.jsonl", content)
    path = f"/datasets/{dataset_id}/imports/{upload['import_id']}"
    assert (await world.ask("GET", path))[1]["status"] == "processing"
    assert (await world.ask("POST", f"/datasets/{dataset_id}/datapoints", b"{}"))[0] == 409
    job = (await world.ask("GET", path))[1]
    assert (job["status"], job["accepted_count"], job["rejected_count"]) == ("partial", 1, 4)
    errors = [(each["record_index"], each["field"]) for each in job["errors"]]
    assert errors == [(1, "a"), (2, "_raw"), (3, "q"), (4, "q")]
    assert (await world.ask("POST", f"/datasets/{dataset_id}/datapoints", b"{}"))[0] == 200


async def test_identical_records_are_accepted_and_kept_once(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    first = await world.send(dataset_id, "a.csv", b"q,a\n1,2\n1,2\n3,4\n")
    second = await world.send(dataset_id, "b.jsonl", b'{"a": "4", "q": "3"}\n{"q": 5, "a": 6}')
    for upload, accepted in ((first, 3), (second, 2)):
        job = await world.ended(f"/datasets/{dataset_id}/imports/{upload['import_id']}")
        assert (job["status"], job["accepted_count"]) == ("complete", accepted)
    document = (await world.ask("GET", f"/datasets/{dataset_id}"))[1]
    assert document["total_datapoint_count"] == 3
    newest_first = [job["import_id"] for job in document["imports"]]
    assert newest_first == [second["import_id"], first["import_id"]]


async def test_the_list_of_errors_is_shorter_than_their_count(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    upload = await world.send(dataset_id, "a.csv", b"q\n" + b"1\n" * 150)
    job = await world.ended(f"/datasets/{dataset_id}/imports/{upload['import_id']}")
    assert (job["rejected_count"], len(job["errors"])) == (150, 100)
    assert (job["status"], job["accepted_count"]) == ("partial", 0)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
async def test_a_file_without_records_fails(world: World, content: bytes) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    upload = await world.send(dataset_id, "a.jsonl", content)
    job = await world.ended(f"/datasets/{dataset_id}/imports/{upload['import_id']}")
    assert (job["status"], job["reason"]) == ("failed", "The file has no records.")


async def test_uploads_wait_for_the_first_schema_and_go_on(world: World) -> None:
    dataset_id = await world.create(schema=None)
    uploads = [await world.send(dataset_id, f"{i}.csv", b"q,a\n1,%d\n" % i) for i in range(2)]
    paths = [f"/datasets/{dataset_id}/imports/{each['import_id']}" for each in uploads]
    for path in paths * 2:
        assert (await world.ask("GET", path))[1]["status"] == "pending_schema"
    status, document = await world.ask("PATCH", f"/datasets/{dataset_id}", {"schema": SCHEMA})
    assert (status, "migration_job_id" in document) == (200, False)
    assert [job["status"] for job in document["imports"]] == ["processing"] * 2
    for path in paths:
        assert (await world.ended(path))["status"] == "complete"
    assert world.datasets[dataset_id].total_datapoint_count == 2


async def test_files_that_wait_for_a_schema_are_closed_with_the_simulator() -> None:
    async with World() as world:
        dataset_id = await world.create(schema=None)
        await world.send(dataset_id, "a.csv", b"q,a\n1,2\n")
        (job,) = world._state.datasets[dataset_id].imports.values()
        assert job.parked
        assert not job.parked.closed
    assert job.parked.closed


async def test_the_same_file_twice_over_one_url_is_one_import(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    upload = await world.send(dataset_id, "a.csv", b"q,a\n1,2\n")
    assert await world.put(upload, b"q,a\n1,2\n") == 200
    await world.ended(f"/datasets/{dataset_id}/imports/{upload['import_id']}")
    assert await world.put(upload, b"q,a\n1,2\n") == 200
    document = (await world.ask("GET", f"/datasets/{dataset_id}"))[1]
    assert [job["status"] for job in document["imports"]] == ["complete"]
    assert document["total_datapoint_count"] == 1


async def test_a_url_that_expired_leaves_its_import_uninitialised() -> None:
    async with World(url_lifetime=0) as world:
        dataset_id = await world.create(schema=SCHEMA)
        path = f"/datasets/{dataset_id}/upload-url/a.csv"
        upload = (await world.ask("GET", path))[1]
        assert await world.put(upload, b"q,a\n1,2\n") == 403
        job = (await world.ask("GET", f"/datasets/{dataset_id}/imports/{upload['import_id']}"))[1]
        assert job["status"] == "uninitialised"
        assert (await world.ask("GET", path))[1]["import_id"] != upload["import_id"]


# --- how long they take ---------------------------------------------------------------------


@pytest.mark.parametrize(("polls", "shown"), [(0, 0), (1, 1), (3, 3)])
async def test_polls_of_the_import_or_the_dataset_end_it(polls: int, shown: int) -> None:
    async with World(imports=AfterPolls(polls)) as world:
        dataset_id = await world.create(schema=SCHEMA)
        upload = await world.send(dataset_id, "a.csv", b"q,a\n1,2\n")
        path = f"/datasets/{dataset_id}/imports/{upload['import_id']}"
        for _ in range(shown):
            assert world.datasets[dataset_id].imports == ((upload["import_id"], "processing"),)
            assert (await world.ask("GET", path))[1]["status"] == "processing"
        job = (await world.ask("GET", f"/datasets/{dataset_id}"))[1]["imports"][0]
        assert job["status"] == "complete"


async def test_an_import_takes_some_seconds() -> None:
    async with World(imports=AfterSeconds(0.03)) as world:
        dataset_id = await world.create()
        await world.send(dataset_id, "a.csv", b"q\n1\n")
        assert world.datasets[dataset_id].status == "PROCESSING"
        await asyncio.sleep(0.04)
        assert world.datasets[dataset_id].status == "READY"


async def test_an_import_ends_at_once() -> None:
    async with World(imports=Immediately()) as world:
        dataset_id = await world.create()
        await world.send(dataset_id, "a.csv", b"q\n1\n")
        assert (await world.ask("GET", f"/datasets/{dataset_id}"))[1]["status"] == "READY"


async def test_an_import_takes_a_time_that_grows_with_its_rows() -> None:
    async with World(imports=RowsPerSecond(1000)) as world:
        few, many = await world.create(), await world.create()
        await world.send(many, "rows.csv", b"q\n" + b"1\n" * 20_000)
        await world.send(few, "rows.csv", b"q\n" + b"1\n" * 10)
        await asyncio.sleep(0.015)
        assert world.datasets[few].status == "READY"
        assert world.datasets[many].status == "PROCESSING"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Hold the reading of large files after their first slice until this is set."""
    event = threading.Event()
    monkeypatch.setattr(import_reader, "time", SimpleNamespace(sleep=lambda _: event.wait(HANGS)))
    return event


async def test_a_large_file_is_imported_while_others_are_served(held: threading.Event) -> None:
    content = b"q,a\n" + b"".join(b"question %d,answer\n" % i for i in range(20_000))
    async with World(imports=Immediately()) as world:
        dataset_id = await world.create()
        await world.send(dataset_id, "rows.csv", content)
        for _ in range(3):
            status, document = await world.ask("GET", f"/datasets/{dataset_id}/status")
            assert (status, document["status"]) == (200, "PROCESSING")
        held.set()
        await world.ended(f"/datasets/{dataset_id}/status")
        assert world.datasets[dataset_id].status == "READY"
        assert world.datasets[dataset_id].total_datapoint_count == 20_000
        (put,) = (seen for seen in world.requests if seen.method == "PUT")
        assert put.body == OmittedBody(len(content))


def test_a_large_file_is_dropped_when_the_simulator_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = 0

    async def upload() -> None:
        async with World(imports=Immediately()) as world:
            ends = world._datasets._reader._stopped

            def pause(_: float) -> None:
                nonlocal pauses
                pauses += 1
                assert ends.wait(HANGS)

            monkeypatch.setattr(import_reader, "time", SimpleNamespace(sleep=pause))
            dataset_id = await world.create(schema=SCHEMA)
            await world.send(dataset_id, "rows.csv", b"q,a\n" + b"1,x\n" * 1_000_000)
            assert world.datasets[dataset_id].imports[0][1] == "processing"

    asyncio.run(upload())
    assert pauses <= 1  # none if it ended before the first slice was read


# --- groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "rows", "groups"),
    [
        (None, b"q\n1\n2\n3\n", 2),
        (None, b"q,META_TASK_GROUP_ID\n1,x\n2,y\n3,x\n4,z\n", 3),
        (GROUPED, b"q,g\n1,x\n2,x\n3,y\n", 2),
        (GROUPED, b"q,g\n1,x\n1,x\n", 1),
        (SCHEMA, b"q,a,META_TASK_GROUP_ID\n1,2,x\n3,4,x\n", 1),  # of version 3 only
    ],
)
async def test_task_groups(world: World, schema: Any, rows: bytes, groups: int) -> None:
    fields = {} if schema is None else {"schema": schema}
    dataset_id = await world.create(**fields)
    await world.send(dataset_id, "rows.csv", rows)
    for _ in range(2):
        await world.ask("GET", f"/datasets/{dataset_id}")
    batch_id = world.add_batch(datapoints=None)
    body = {"dataset_id": dataset_id, "tasks_per_group": 2}
    assert (await world.ask("POST", f"/batches/{batch_id}/setup", body))[0] == 202
    batch = (await world.ask("GET", f"/batches/{batch_id}"))[1]
    datapoints = world.datasets[dataset_id].total_datapoint_count
    assert (batch["status"], batch["total_task_count"]) == ("READY", datapoints)
    assert batch["total_task_groups"] == groups
    assert len((await world.ask("GET", f"/batches/{batch_id}/tasks"))[1]) == datapoints
    ids = (await world.ask("GET", f"/batches/{batch_id}/task-groups"))[1]
    assert len(set(ids)) == len(ids) == groups


async def test_a_batch_is_set_up_only_once_an_import_has_ended(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    batch_id = world.add_batch(datapoints=None)
    setup = f"/batches/{batch_id}/setup", {"dataset_id": dataset_id}
    await world.ask("POST", f"/datasets/{dataset_id}/datapoints", b'{"q": 1, "a": 2}')
    assert (await world.ask("POST", *setup))[0] == 400
    upload = await world.send(dataset_id, "rows.csv", b"q,a\n3,4\n")
    assert (await world.ask("POST", *setup))[0] == 400
    await world.ended(f"/datasets/{dataset_id}/imports/{upload['import_id']}")
    assert (await world.ask("POST", *setup))[0] == 202
    assert world.batches[batch_id].total_task_count == 2


# --- what tests set -------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [None, SCHEMA])
async def test_imports_fail_on_request(world: World, schema: Any) -> None:
    dataset_id = await world.create(**({} if schema is None else {"schema": schema}))
    world.fail_imports(dataset_id, "no")
    upload = await world.send(dataset_id, "rows.csv", b"q,a\n1,2\n")
    assert world.datasets[dataset_id].total_datapoint_count == 0
    if schema is None:
        assert (await world.ended(f"/datasets/{dataset_id}"))["status"] == "ERROR"
    else:
        job = await world.ended(f"/datasets/{dataset_id}/imports/{upload['import_id']}")
        assert (job["status"], job["reason"]) == ("failed", "no")
    world.fail_imports(dataset_id, None)
    await world.send(dataset_id, "rows.csv", b"q,a\n1,2\n")
    for _ in range(2):
        await world.ask("GET", f"/datasets/{dataset_id}")
    assert world.datasets[dataset_id].total_datapoint_count == 1


async def test_an_import_is_set_by_a_test(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    upload = await world.send(dataset_id, "rows.csv", b"q,a\n1,2\n")
    path = f"/datasets/{dataset_id}/imports/{upload['import_id']}"
    for status in ("queued", "odd", "processing"):
        world.set_import(upload["import_id"], status)
        for _ in range(3):
            assert (await world.ask("GET", path))[1]["status"] == status
    assert world.datasets[dataset_id].total_datapoint_count == 0
    errors = [{"record_index": None, "field": None, "reason": None}]
    world.set_import(
        upload["import_id"], "partial", accepted_count=1, rejected_count=1, errors=errors
    )
    job = (await world.ask("GET", path))[1]
    assert (job["status"], job["rejected_count"], job["errors"]) == ("partial", 1, errors)
    assert world.datasets[dataset_id].total_datapoint_count == 1
    assert json.loads(json.dumps(job)) == job
    with pytest.raises(KeyError, match="no import 'i'"):
        world.set_import("i", "failed")
