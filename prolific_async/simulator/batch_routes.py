"""The batch endpoints of the simulated service.

Sources: `duplicate-task-builder-batch` and `setup-task-builder-batch` under
https://beta-docs.prolific.com/api-reference/ai-task-builder, and "get", "list" and "status" under
https://docs.prolific.com/api-reference/task-builder. A comment says where they leave a case open.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from prolific_async.simulator.batch_handlers import BATCH, BATCHES, on_batch
from prolific_async.simulator.batch_json import batch_json, created_json, list_json
from prolific_async.simulator.models import Batch
from prolific_async.simulator.request_body import Body
from prolific_async.simulator.responses import RefusedError, json_response
from prolific_async.simulator.state import SetupRefusedError, State

__all__ = ["batch_routes"]

_T = TypeVar("_T")
_Fields = Mapping[str, Any]

_MAX_INTEGER = 2**63 - 1  # a usual limit of databases; the service documents none


def batch_routes(state: State) -> list[web.RouteDef]:
    """Return the routes of the batch endpoints."""

    def on_fields(respond: Callable[[State, Batch, _Fields], web.Response]) -> Handler:
        def handle(request: web.Request, body: Body, batch: Batch) -> web.Response:
            # Every field is optional, so an empty body means an empty object.
            is_read = request.method == "POST" and body.size
            return respond(state, batch, body.json_object() if is_read else {})

        return on_batch(state, handle)

    async def list_batches(request: web.Request) -> web.Response:
        workspace_id = request.query.get("workspace_id")
        if not workspace_id:
            raise RefusedError(400, {"workspace_id": ["This field is required."]})
        with state.lock:
            # Not documented. An empty list would let a test with a mistyped id pass.
            workspace = state.workspaces.get(workspace_id)
            if workspace is None:
                raise RefusedError(404, "There is no such workspace.")
            return json_response(200, list_json(map(state.poll, workspace.values())))

    return [
        web.get(BATCHES, list_batches, allow_head=False),
        web.get(BATCH, on_fields(_get), allow_head=False),
        web.get(f"{BATCH}/status", on_fields(_get_status), allow_head=False),
        web.post(f"{BATCH}/setup", on_fields(_set_up)),
        web.post(f"{BATCH}/duplicate", on_fields(_duplicate)),
    ]


def _get(state: State, batch: Batch, _: _Fields) -> web.Response:
    return json_response(200, batch_json(state.poll(batch)))


def _get_status(state: State, batch: Batch, _: _Fields) -> web.Response:
    return json_response(200, json.dumps({"status": state.poll(batch).status}).encode())


def _set_up(state: State, batch: Batch, fields: _Fields) -> web.Response:
    dataset_id = _typed(fields, "dataset_id", str, "a string")
    tasks_per_group = _integer(fields, "tasks_per_group")
    if tasks_per_group is None:
        tasks_per_group = 1
    if not 1 <= tasks_per_group <= _MAX_INTEGER:
        raise RefusedError(400, {"tasks_per_group": [f"This must be from 1 to {_MAX_INTEGER}."]})
    try:
        state.set_up(batch, dataset_id=dataset_id, tasks_per_group=tasks_per_group)
    except SetupRefusedError as refused:
        raise RefusedError(400, {refused.field: [refused.reason]}) from None
    return json_response(202, b"{}")


def _duplicate(state: State, batch: Batch, fields: _Fields) -> web.Response:
    name = _typed(fields, "name", str, "a string")
    without_dataset = _typed(fields, "upload_new_dataset", bool, "true or false")
    copy = state.duplicate(batch, name=name, with_dataset=not without_dataset)
    return json_response(201, created_json(copy))


def _integer(fields: _Fields, key: str) -> int | None:
    value = fields.get(key)
    # JSON has one type of number, in which 3.0 is an integer.
    if type(value) is float and value.is_integer():
        return int(value)
    return _typed(fields, key, int, "an integer")


def _typed(fields: _Fields, key: str, kind: type[_T], words: str) -> _T | None:
    """Return a field of the given type, or None if it was left out; null is refused."""
    if key not in fields:
        return None
    value = fields[key]
    # The exact type: True is an `int` of Python, but not an integer of JSON.
    if type(value) is not kind:
        raise RefusedError(400, {key: [f"This must be {words}."]})
    return value
