"""What the error of an unreadable response names: its call, every problem, and the whole body."""

import pickle
from typing import Any

import pytest

from prolific_async import DecodeError
from prolific_async._api import batch_editing, batches, datasets, exports
from prolific_async._http.request import Request

SCHEMA: dict[str, Any] = {"strict": True, "fields": {}}
OF_BATCHES = [
    batches.get_batch("b-1"),
    batch_editing.create_batch("w-1", {"name": "n"}),
    batch_editing.update_batch("b-1", {"name": "n"}),
]
OF_SYNCS = [batch_editing.sync_batch("b-1"), batch_editing.get_batch_sync("b-1", "s-1")]
OF_IDS = [batch_editing.list_task_ids("b-1"), batch_editing.list_task_group_ids("b-1")]
OF_DATASETS = [
    datasets.create_dataset("w-1", name="n"),
    datasets.get_dataset("d-1"),
    datasets.update_dataset_schema("d-1", SCHEMA),
]
OF_STATUSES = [batches.get_batch_status("b-1"), datasets.get_dataset_status("d-1")]
OF_IMPORTS = [datasets.get_import("d-1", "i-1")]
OF_MIGRATIONS = [datasets.get_schema_migration("d-1", "j-1")]
OF_APPENDS = [datasets.append_datapoints("d-1", b"", first=0)]
OF_EXPORTS = [exports.get_export("b-1", "e-1"), exports.create_export("b-1", {})]

ARRAY = "an object is needed, not an array"
NUMBER = "a string is needed, not an integer"
CASES: list[tuple[list[Request], Any, str]] = [
    *((every, [1], f"$: {ARRAY}") for every in (OF_BATCHES, OF_SYNCS, OF_DATASETS, OF_STATUSES)),
    *((every, [1], f"$: {ARRAY}") for every in (OF_IMPORTS, OF_MIGRATIONS, OF_APPENDS)),
    (OF_IDS, {"results": 1}, "$: an array is needed, not an object"),
    (OF_BATCHES + OF_DATASETS, {"id": 5, "name": "n"}, f"$.id: {NUMBER}"),
    (OF_SYNCS, {"sync_id": 5, "batch_id": "b-1"}, f"$.sync_id: {NUMBER}"),
    (OF_IDS, ["t-1", 5], f"$[1]: {NUMBER}"),
    (OF_STATUSES, {"status": 5, "id": "x"}, f"$.status: {NUMBER}"),
    (OF_IMPORTS, {"import_id": 5, "status": "new"}, f"$.import_id: {NUMBER}"),
    (OF_MIGRATIONS, {"job_id": 5, "status": "new"}, f"$.job_id: {NUMBER}"),
    (
        OF_APPENDS,
        {"accepted": "x", "rejected": 0},
        "$.accepted: an integer is needed, not a string",
    ),
]


@pytest.mark.parametrize(
    ("request_", "data", "problem"),
    [
        pytest.param(one, data, problem, id=f"{one.method} {one.path[29:]} {problem}")
        for requests, data, problem in CASES
        for one in requests
    ],
)
def test_the_error_names_the_call_and_shows_the_body(
    request_: Request, data: Any, problem: str
) -> None:
    assert request_.read is not None
    with pytest.raises(DecodeError) as caught:
        request_.read(data, request_.method, request_.path)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert problem in error.problems
        assert error.body == data
        assert (error.method, error.path) == (request_.method, request_.path)
        assert f"{request_.method} {request_.path}" in str(error)


@pytest.mark.parametrize("request_", OF_EXPORTS, ids=lambda one: one.method)
@pytest.mark.parametrize(
    ("data", "problem"),
    [([1], f"$: {ARRAY}"), ({"export_id": "e-1", "status": 5}, f"$.status: {NUMBER}")],
)
def test_the_error_of_an_export_names_the_call(request_: Request, data: Any, problem: str) -> None:
    assert request_.read is not None
    with pytest.raises(DecodeError) as caught:
        request_.read(data, request_.method, request_.path)
    assert problem in caught.value.problems
    assert (caught.value.method, caught.value.path) == (request_.method, request_.path)
