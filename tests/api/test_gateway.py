"""Every call goes to the service through the gateway whose path stands in the base URL."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from prolific_async import (
    DatasetSchema,
    Export,
    JobStatus,
    NotFoundError,
    ProlificClient,
    TaskDetails,
    WaitFailedError,
)
from tests.recovery.service import a_batch
from tests.scripted import TOKEN, scripted

Call = Callable[[ProlificClient], Awaitable[Any]]

TASK = TaskDetails("name", "introduction", "steps")
ROWS = [{"PROMPT": "a"}]
EXPORT = Export("e1", "b1", JobStatus.GENERATING)
SCHEMA = DatasetSchema.of(PROMPT="text")

CALLS: dict[str, Call] = {
    "POST /batches": lambda client: client.batches.create("w1", name="n", task=TASK),
    "PATCH /batches/b1": lambda client: client.batches.update("b1", name="n"),
    "GET /batches/b1": lambda client: client.batches.get("b1"),
    "GET /batches/b1/status": lambda client: client.batches.get_status("b1"),
    "GET /batches?workspace_id=w1": lambda client: client.batches.list("w1"),
    "POST /batches/b1/duplicate": lambda client: client.batches.duplicate("b1"),
    "POST /batches/b1/setup": lambda client: client.batches.setup("b1"),
    "POST /batches/b1/sync": lambda client: client.batches.sync("b1"),
    "GET /batches/b1/tasks": lambda client: client.batches.task_ids("b1"),
    "GET /batches/b1/task-groups": lambda client: client.batches.task_group_ids("b1"),
    "GET /batches/b1/responses": lambda client: anext(client.batches.responses("b1")),
    "GET /batches/b1/report/": lambda client: anext(client.batches.report("b1").rows()),
    "POST /batches/b1/export": lambda client: client.batches.export("b1"),
    "GET /batches/b1/export": lambda client: client.batches.exports("b1"),
    "GET /batches/b1/export/e1": lambda client: EXPORT.bind(client.batches).wait(),
    "DELETE /batches/b1/export/e1": lambda client: EXPORT.bind(client.batches).delete(),
    "POST /datasets": lambda client: client.datasets.create("w1", name="n"),
    "GET /datasets/d1": lambda client: client.datasets.get("d1"),
    "GET /datasets/d1/status": lambda client: client.datasets.get_status("d1"),
    "PATCH /datasets/d1": lambda client: client.datasets.update_schema("d1", SCHEMA),
    "GET /datasets/d1/upload-url/rows.csv": lambda client: client.datasets._api.upload_url(
        "d1", "rows.csv"
    ),
    "POST /datasets/d1/datapoints": lambda client: client.datasets.append("d1", ROWS),
}


async def test_a_search_for_copies_goes_through_the_gateway() -> None:
    source = a_batch("b1", "Original", datetime.now(UTC), "w1")
    await test_a_call_goes_through_the_gateway(
        "GET /batches?workspace_id=w1", lambda client: client.batches.find_copies(source, name="n")
    )


@pytest.mark.parametrize(("call", "begin"), CALLS.items(), ids=list(CALLS))
async def test_a_call_goes_through_the_gateway(call: str, begin: Call) -> None:
    async with (
        scripted((404, {})) as (_, service),
        ProlificClient(TOKEN, base_url=f"{service.url}/gateway") as client,
    ):
        with pytest.raises((NotFoundError, WaitFailedError)) as caught:
            await begin(client)
    method, _, target = call.partition(" ")
    root = "/gateway/api/v1/data-collection"
    assert [(one.method, one.target) for one in service.received] == [(method, root + target)]
    refusal = caught.value.failure or caught.value
    assert isinstance(refusal, NotFoundError)
    assert refusal.path == (root + target).partition("?")[0]
