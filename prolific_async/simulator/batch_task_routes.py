"""The endpoints that list the tasks and groups of batches, and that build more of them by syncs.

Sources: "sync" under https://docs.prolific.com/api-reference/task-builder; the lists of ids are
those that github.com/prolific-oss/cli reads.
"""

import json
from collections.abc import Callable

from aiohttp import web

from prolific_async.simulator.batch_handlers import BATCH, on_batch
from prolific_async.simulator.batch_syncs import start_sync
from prolific_async.simulator.batch_tasks import group_id, task_id
from prolific_async.simulator.dataset_json import sync_document
from prolific_async.simulator.dataset_state import Datasets
from prolific_async.simulator.models import Batch
from prolific_async.simulator.request_body import Body
from prolific_async.simulator.responses import RefusedError, json_response
from prolific_async.simulator.state import SetupRefusedError

__all__ = ["task_routes"]


def task_routes(datasets: Datasets) -> list[web.RouteDef]:
    """Return the routes of these endpoints."""
    state = datasets.state

    def sync(_: web.Request, __: Body, batch: Batch) -> web.Response:
        waiting = 0 if batch.dataset is None else batch.dataset.datapoints
        waiting -= batch.built.datapoints if batch.built else 0
        try:
            job = start_sync(state, batch, datasets.ending(max(waiting, 0)))
        except SetupRefusedError as refused:
            raise RefusedError(400, {refused.field: [refused.reason]}) from None
        return json_response(202, json.dumps(sync_document(batch.id, job)).encode())

    def get_sync(request: web.Request, _: Body, batch: Batch) -> web.Response:
        job = batch.syncs.get(request.match_info["sync_id"])
        if job is None:
            raise RefusedError(404, "There is no such sync.")
        if job.run:
            job.run.polls += 1
        state.update(batch)
        return json_response(200, json.dumps(sync_document(batch.id, job)).encode())

    def tasks(_: web.Request, __: Body, batch: Batch) -> web.Response:
        return _ids(batch, task_id, state.update(batch).total_task_count)

    def task_groups(_: web.Request, __: Body, batch: Batch) -> web.Response:
        return _ids(batch, group_id, state.update(batch).total_task_groups)

    return [
        web.post(f"{BATCH}/sync", on_batch(state, sync)),
        web.get(f"{BATCH}/syncs/{{sync_id:[^/]+}}", on_batch(state, get_sync), allow_head=False),
        web.get(f"{BATCH}/tasks", on_batch(state, tasks), allow_head=False),
        web.get(f"{BATCH}/task-groups", on_batch(state, task_groups), allow_head=False),
    ]


def _ids(batch: Batch, id_of: Callable[[Batch, int], str], count: int) -> web.Response:
    ids = [id_of(batch, index) for index in range(count)]
    return json_response(200, json.dumps(ids).encode())
