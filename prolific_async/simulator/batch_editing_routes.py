"""The endpoints that create and change batches.

Sources: "create" and "update" under https://docs.prolific.com/api-reference/task-builder.
"""

import uuid

from aiohttp import web

from prolific_async.simulator.batch_changes import change_batch
from prolific_async.simulator.batch_handlers import BATCH, BATCHES, on_batch
from prolific_async.simulator.batch_json import batch_json, created_json
from prolific_async.simulator.models import Batch
from prolific_async.simulator.request_body import Body, read_body
from prolific_async.simulator.responses import RefusedError, json_response
from prolific_async.simulator.state import State

__all__ = ["editing_routes"]


def editing_routes(state: State) -> list[web.RouteDef]:
    """Return the routes of these endpoints."""

    async def create(request: web.Request) -> web.Response:
        fields = (await read_body(request)).json_object()
        for key in ("name", "workspace_id", "task_details"):
            if fields.get(key) is None:
                raise RefusedError(400, {key: ["This field is required."]})
        with state.lock:
            batch = _new_batch(state, fields["workspace_id"])
            change_batch(state, batch, fields)
            state.add(batch)
            return json_response(201, created_json(batch))

    def update(_: web.Request, body: Body, batch: Batch) -> web.Response:
        change_batch(state, state.update(batch), body.json_object())
        return json_response(200, batch_json(batch))

    return [web.post(BATCHES, create), web.patch(BATCH, on_batch(state, update))]


def _new_batch(state: State, workspace_id: object) -> Batch:
    if not isinstance(workspace_id, str) or workspace_id not in state.workspaces:
        raise RefusedError(404, "There is no such workspace.")
    return Batch(
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
