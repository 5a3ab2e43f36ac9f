"""The endpoints that create and change batches, sync them, and list their tasks and groups.

Sources: "create", "update" and "sync" under https://docs.prolific.com/api-reference/task-builder;
the lists of ids are those that github.com/prolific-oss/cli reads.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from prolific_async.simulator.batch_json import batch_json, created_json
from prolific_async.simulator.batch_syncs import start_sync
from prolific_async.simulator.dataset_json import sync_document
from prolific_async.simulator.dataset_models import Dataset
from prolific_async.simulator.dataset_schema import SHOWN_TYPES
from prolific_async.simulator.dataset_state import Datasets
from prolific_async.simulator.layout_rules import (
    instruction_count,
    layout_issues,
    node_ids,
    with_ids,
)
from prolific_async.simulator.models import Batch
from prolific_async.simulator.request_body import read_body
from prolific_async.simulator.responses import RefusedError, json_response
from prolific_async.simulator.state import SetupRefusedError, State

__all__ = ["editing_routes"]

_BATCHES = "/api/v1/data-collection/batches"
_BATCH = f"{_BATCHES}/{{batch_id:[^/]+}}"
_TASK_DETAILS = ("task_name", "task_introduction", "task_steps")


class _LayoutRefusedError(Exception):
    """A layout with issues."""

    def __init__(self, issues: list[dict[str, Any]]) -> None:
        super().__init__()
        self.issues = issues


def editing_routes(datasets: Datasets) -> list[web.RouteDef]:
    """Return the routes of these endpoints."""
    state = datasets.state

    def on_batch(respond: Callable[[web.Request, Batch], web.Response]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            await read_body(request)
            with state.lock:
                batch = state.batches.get(request.match_info["batch_id"])
                if batch is None:
                    raise RefusedError(404, "There is no such batch.")
                return respond(request, state.update(batch))

        return handle

    async def create(request: web.Request) -> web.Response:
        fields = (await read_body(request)).json_object()
        for key in ("name", "workspace_id", "task_details"):
            if fields.get(key) is None:
                raise RefusedError(400, {key: ["This field is required."]})
        workspace_id = fields["workspace_id"]
        with state.lock:
            if not isinstance(workspace_id, str) or workspace_id not in state.workspaces:
                raise RefusedError(404, "There is no such workspace.")
            batch = Batch(
                id=str(uuid.uuid4()),
                name="",
                workspace_id=workspace_id,
                created_at=state.utc_now(),
                created_by=state.user_id,
                dataset=None,
                instructions=0,
                task_details=None,
                batch_items=None,
                auto_sync_enabled=False,
                extra={},
            )
            try:
                _change(state, batch, fields)
            except _LayoutRefusedError as refused:
                return _issues_response(refused.issues)
            state.add(batch)
            return json_response(201, created_json(batch))

    async def update(request: web.Request) -> web.Response:
        fields = (await read_body(request)).json_object()

        def respond(_: web.Request, batch: Batch) -> web.Response:
            try:
                _change(state, batch, fields)
            except _LayoutRefusedError as refused:
                return _issues_response(refused.issues)
            return json_response(200, batch_json(batch))

        return await on_batch(respond)(request)  # type: ignore[return-value]

    def sync(_: web.Request, batch: Batch) -> web.Response:
        waiting = 0 if batch.dataset is None else batch.dataset.datapoints
        waiting -= batch.built.datapoints if batch.built else 0
        try:
            job = start_sync(state, batch, datasets.ending(max(waiting, 0)))
        except SetupRefusedError as refused:
            raise RefusedError(400, {refused.field: [refused.reason]}) from None
        return json_response(202, json.dumps(sync_document(batch.id, job)).encode())

    def get_sync(request: web.Request, batch: Batch) -> web.Response:
        job = batch.syncs.get(request.match_info["sync_id"])
        if job is None:
            raise RefusedError(404, "There is no such sync.")
        job.run.polls += 1
        state.update(batch)
        return json_response(200, json.dumps(sync_document(batch.id, job)).encode())

    def tasks(_: web.Request, batch: Batch) -> web.Response:
        return _ids(batch, "task", batch.total_task_count)

    def task_groups(_: web.Request, batch: Batch) -> web.Response:
        return _ids(batch, "group", batch.total_task_groups)

    return [
        web.post(_BATCHES, create),
        web.patch(_BATCH, update),
        web.post(f"{_BATCH}/sync", on_batch(sync)),
        web.get(f"{_BATCH}/syncs/{{sync_id:[^/]+}}", on_batch(get_sync), allow_head=False),
        web.get(f"{_BATCH}/tasks", on_batch(tasks), allow_head=False),
        web.get(f"{_BATCH}/task-groups", on_batch(task_groups), allow_head=False),
    ]


def _change(state: State, batch: Batch, fields: Mapping[str, Any]) -> None:
    """Set the fields that a body has, all or none of them.

    Null removes the layout, and the dataset [?: undocumented]; for the others it is refused. A
    layout may change after the setup, too [?: the sources disagree].
    """
    changed: dict[str, Any] = {}
    for key, kind, words in (("name", str, "text"), ("auto_sync_enabled", bool, "true or false")):
        if key in fields:
            if type(fields[key]) is not kind:
                raise RefusedError(400, {key: [f"This must be {words}."]})
            changed[key] = fields[key]
    if "task_details" in fields:
        details = fields["task_details"]
        if not isinstance(details, dict) or not all(
            isinstance(details.get(key), str) for key in _TASK_DETAILS
        ):
            raise RefusedError(400, {"task_details": [f"It needs {', '.join(_TASK_DETAILS)}."]})
        changed["task_details"] = {key: details[key] for key in _TASK_DETAILS}
    dataset = batch.dataset
    if "dataset_id" in fields:
        dataset = changed["dataset"] = _dataset(state, batch, fields["dataset_id"])
    if "batch_items" in fields:
        pages = fields["batch_items"]
        if pages is not None:
            if issues := layout_issues(pages, _shown_fields(dataset)):
                raise _LayoutRefusedError(issues)
            pages = with_ids(pages, node_ids(batch.batch_items))
        changed |= {"batch_items": pages, "instructions": instruction_count(pages)}
    for key, value in changed.items():
        setattr(batch, key, value)
    batch.encoded = None


def _dataset(state: State, batch: Batch, dataset_id: Any) -> Dataset | None:
    if dataset_id is None:
        return None
    dataset = state.datasets.get(dataset_id) if isinstance(dataset_id, str) else None
    if dataset is None or dataset.workspace_id != batch.workspace_id:
        raise RefusedError(400, {"dataset_id": ["There is no such dataset in the workspace."]})
    return dataset


def _shown_fields(dataset: Dataset | None) -> set[str] | None:
    if dataset is None or dataset.schema is None:
        return None
    fields = dataset.schema["fields"].items()
    return {key for key, field in fields if field["type"] in SHOWN_TYPES}


def _issues_response(issues: list[dict[str, Any]]) -> web.Response:
    document = {
        "type": "INVALID_BATCH_ITEMS",
        "message": "The layout is not valid.",
        "issues": issues,
    }
    return json_response(422, json.dumps(document).encode())


def _ids(batch: Batch, kind: str, count: int) -> web.Response:
    # Computed from the batch's id, so that they stay the same and take no memory.
    space = uuid.uuid5(uuid.NAMESPACE_OID, f"{batch.id} {kind}")
    ids = [str(uuid.uuid5(space, str(index))) for index in range(count)]
    return json_response(200, json.dumps(ids).encode())
