"""The endpoints that show answers: the responses of a batch, its report, and exports.

Sources: "get-task-builder-batch-task-responses", "get-task-builder-batch-report",
"request-batch-export", "get-batch-export-status", "list-batch-export-jobs" and
"delete-batch-export" under https://docs.prolific.com/api-reference/task-builder.
"""

import json
from typing import Any

from aiohttp import web

from prolific_async.simulator.batch_handlers import BATCH, on_batch
from prolific_async.simulator.batch_json import results_json, timestamp
from prolific_async.simulator.exports import Exports
from prolific_async.simulator.models import Batch, ExportJob
from prolific_async.simulator.report_csv import report_csv
from prolific_async.simulator.request_body import Body
from prolific_async.simulator.responses import RefusedError, json_response
from prolific_async.simulator.storage import StoredFile

__all__ = ["answer_routes"]


def answer_routes(exports: Exports) -> list[web.RouteDef]:
    """Return the routes of these endpoints."""
    state = exports.state

    def responses(_: web.Request, __: Body, batch: Batch) -> web.Response:
        given = (answer.response for each in batch.submissions for answer in each.answers)
        return json_response(200, results_json(filter(None, given)))

    def report(_: web.Request, __: Body, batch: Batch) -> web.Response:
        content = report_csv(state.update(batch))
        if batch.report is None or batch.report.content != content:
            # Without a charset, as the service sends it.
            batch.report = StoredFile("report.csv", "text/csv", content)
        link = exports.storage.new_download(batch.report)
        shown = {"url": link.url, "expires_at": timestamp(link.expires_at), "http_method": "GET"}
        return _respond(200, shown)

    def start(request: web.Request, _: Body, batch: Batch) -> web.Response:
        job = exports.start(batch, request.query)
        return _respond(202, {"status": "generating", "export_id": job.id})

    def list_exports(_: web.Request, __: Body, batch: Batch) -> web.Response:
        exports.poll(batch, *batch.exports.values())
        jobs = reversed(batch.exports.values())
        # Whether the service wraps the list is not documented [?].
        return json_response(200, results_json(json.dumps(_listed(job)).encode() for job in jobs))

    def get_export(request: web.Request, _: Body, batch: Batch) -> web.Response:
        job = _job(request, batch)
        exports.poll(batch, job)
        return _respond(200, exports.document(state.update(batch), job))

    def delete_export(request: web.Request, _: Body, batch: Batch) -> web.Response:
        exports.delete(batch, _job(request, batch))
        return web.Response(status=204)

    path = f"{BATCH}/export"
    one = f"{path}/{{export_id:[^/]+}}"
    return [
        web.get(f"{BATCH}/responses", on_batch(state, responses), allow_head=False),
        web.get(f"{BATCH}/report", on_batch(state, report), allow_head=False),
        web.post(path, on_batch(state, start)),
        web.get(path, on_batch(state, list_exports), allow_head=False),
        web.get(one, on_batch(state, get_export), allow_head=False),
        web.delete(one, on_batch(state, delete_export)),
    ]


def _job(request: web.Request, batch: Batch) -> ExportJob:
    job = batch.exports.get(request.match_info["export_id"])
    if job is None:
        raise RefusedError(404, "There is no such export.")
    return job


def _listed(job: ExportJob) -> dict[str, Any]:
    wanted = job.filter and {
        "study_id": job.filter.study_id,
        "from": job.filter.since and job.filter.since.isoformat().replace("+00:00", "Z"),
        "to": job.filter.until and job.filter.until.isoformat().replace("+00:00", "Z"),
    }
    return {
        "export_id": job.id,
        "filter": wanted,
        "status": job.status,
        "created_at": timestamp(job.created_at),
    }


def _respond(status: int, document: dict[str, Any]) -> web.Response:
    return json_response(status, json.dumps(document).encode())
