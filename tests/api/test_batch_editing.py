"""Requests that make and change batches, without any I/O."""

import json
from typing import Any

import pytest

from prolific_async import BatchSync, DecodeError, JobStatus
from prolific_async._api import batch_editing as api
from prolific_async._http.request import Request
from tests import samples

BATCHES = "/api/v1/data-collection/batches"
SYNC = {
    "batch_id": "b-1",
    "dataset_id": "d-1",
    "sync_id": "s-1",
    "created_at": "2026-03-04T05:06:07Z",
    "updated_at": "2026-03-04T05:06:08Z",
    "status": "complete",
    "tasks_created": 3,
    "datapoints_processed": 2,
    "groups_created": 1,
    "groups_expanded": 0,
    "newer": [1],
}


def read(request: Request, data: Any) -> Any:
    assert request.read is not None
    return request.read(data, request.method, request.path)


def test_requests_of_the_endpoints() -> None:
    keys = {"name": "Round 1", "task_details": {"task_name": "T"}, "dataset_id": None}
    create = api.create_batch("w-1", keys)
    assert (create.method, create.target) == ("POST", BATCHES)
    assert json.loads(create.body or b"") == {
        "workspace_id": "w-1",
        "name": "Round 1",
        "task_details": {"task_name": "T"},
    }
    update = api.update_batch("b/1", {"batch_items": None, "name": "é"})
    assert (update.method, update.target) == ("PATCH", f"{BATCHES}/b%2F1")
    assert json.loads(update.body or b"") == {"batch_items": None, "name": "é"}
    sync = api.sync_batch("b/1")
    assert (sync.method, sync.target, sync.body) == ("POST", f"{BATCHES}/b%2F1/sync", None)
    of_sync = api.get_batch_sync("b/1", "s/1")
    assert (of_sync.method, of_sync.target) == ("GET", f"{BATCHES}/b%2F1/syncs/s%2F1")
    tasks = api.list_task_ids("b/1")
    assert (tasks.method, tasks.target) == ("GET", f"{BATCHES}/b%2F1/tasks")
    groups = api.list_task_group_ids("b/1")
    assert (groups.method, groups.target) == ("GET", f"{BATCHES}/b%2F1/task-groups")


def test_every_path_begins_with_the_path_of_the_gateway() -> None:
    assert api.create_batch("w-1", {}, prefix="/g").path == f"/g{BATCHES}"
    of_batch = f"/g{BATCHES}/b-1"
    assert api.update_batch("b-1", {}, prefix="/g").path == of_batch
    assert api.sync_batch("b-1", prefix="/g").path == f"{of_batch}/sync"
    assert api.get_batch_sync("b-1", "s-1", prefix="/g").path == f"{of_batch}/syncs/s-1"
    assert api.list_task_ids("b-1", prefix="/g").path == f"{of_batch}/tasks"
    assert api.list_task_group_ids("b-1", prefix="/g").path == f"{of_batch}/task-groups"


@pytest.mark.parametrize("bad", ["", "..", "b 1", "b\n"])
def test_invalid_ids_are_refused(bad: str) -> None:
    for build in (api.update_batch, api.get_batch_sync):
        with pytest.raises(ValueError, match="cannot be an id"):
            build(bad, {})
    with pytest.raises(ValueError, match="cannot be an id"):
        api.get_batch_sync("b-1", bad)


def test_a_batch_and_a_sync_are_read() -> None:
    wire = samples.batch().to_dict()
    for request in (api.create_batch("w-1", {}), api.update_batch("b-1", {})):
        assert read(request, wire) == samples.batch()
    for request in (api.sync_batch("b-1"), api.get_batch_sync("b-1", "s-1")):
        sync = read(request, SYNC)
        assert isinstance(sync, BatchSync)
        assert (sync.id, sync.status, sync.tasks_created) == ("s-1", JobStatus.COMPLETE, 3)
        assert sync.extra == {"newer": [1]}
        assert sync.to_dict() == SYNC


@pytest.mark.parametrize("data", [{}, [], None, SYNC | {"status": None}, SYNC | {"sync_id": 1}])
def test_what_is_no_sync_cannot_be_read(data: Any) -> None:
    with pytest.raises(DecodeError):
        read(api.sync_batch("b-1"), data)


def test_ids_are_read() -> None:
    request = api.list_task_ids("b-1")
    assert read(request, ["t-1", "t-2"]) == ["t-1", "t-2"]
    assert read(request, []) == []
    with pytest.raises(DecodeError) as caught:
        read(request, ["t-1", None])
    assert caught.value.problems == ("$[1]: a string is needed, not null",)
    with pytest.raises(DecodeError, match="an array is needed, not an object"):
        read(request, {"results": []})
