"""The dataset endpoints of the simulated service.

Sources: "Working with Datasets", "Defining a Dataset Schema", "Appending data to a dataset" and
"Migrating a dataset schema" of docs.prolific.com.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler

from prolific_async.simulator.dataset_json import (
    append_document,
    dataset_document,
    import_document,
    migration_document,
    status_document,
    upload_document,
)
from prolific_async.simulator.dataset_models import Dataset
from prolific_async.simulator.dataset_schema import checked_schema
from prolific_async.simulator.dataset_state import Datasets
from prolific_async.simulator.request_body import MAX_BODY, Body, read_body
from prolific_async.simulator.responses import RefusedError, json_response
from prolific_async.simulator.state import State

__all__ = ["dataset_routes"]

_DATASETS = "/api/v1/data-collection/datasets"
_DATASET = f"{_DATASETS}/{{dataset_id:[^/]+}}"
_Response = tuple[int, dict[str, Any]]  # the status, and the document
_Respond = Callable[[Datasets, Dataset, web.Request, Body], _Response]


def dataset_routes(datasets: Datasets) -> list[web.RouteDef]:
    """Return the routes of the dataset endpoints.

    Args:
        datasets: The datasets that requests read and change.
    """
    state = datasets.state

    def on_dataset(respond: _Respond) -> Handler:
        """Make a handler that reads the body, finds the dataset, and responds under the lock."""

        async def handle(request: web.Request) -> web.Response:
            body = await read_body(request)
            with state.lock:
                dataset = state.datasets.get(request.match_info["dataset_id"])
                if dataset is None:
                    raise RefusedError(404, "There is no such dataset.")
                status, document = respond(datasets, dataset, request, body)
                return json_response(status, json.dumps(document).encode())

        return handle

    async def create(request: web.Request) -> web.Response:
        fields = (await read_body(request)).json_object()
        with state.lock:
            dataset = _create(state, fields)
            return json_response(201, json.dumps(dataset_document(dataset)).encode())

    def get(path: str, respond: _Respond) -> web.RouteDef:
        return web.get(f"{_DATASET}{path}", on_dataset(respond), allow_head=False)

    return [
        web.post(_DATASETS, create),
        web.patch(_DATASET, on_dataset(_update)),
        web.post(f"{_DATASET}/datapoints", on_dataset(_append)),
        get("", _get),
        get("/status", _get_status),
        get("/upload-url/{filename:[^/]+}", _new_upload),
        get("/imports/{import_id:[^/]+}", _get_import),
        get("/schema-migrations/{job_id:[^/]+}", _get_migration),
    ]


def _create(state: State, fields: Mapping[str, Any]) -> Dataset:
    for key in ("name", "workspace_id"):
        if not isinstance(fields.get(key), str) or not fields[key]:
            raise RefusedError(400, {key: ["This field is required."]})
    if fields["workspace_id"] not in state.workspaces:
        raise RefusedError(404, "There is no such workspace.")
    # A schema makes it version 4. Null leaves it without one for the time being [?].
    schema = fields.get("schema")
    return state.add_dataset(
        fields["workspace_id"],
        datapoints=0,
        filename=None,
        status="UNINITIALISED",
        name=fields["name"],
        created_by=state.user_id,
        version=4 if "schema" in fields else 3,
        schema=None if schema is None else checked_schema(schema),
        schema_number=int(schema is not None),
    )


def _get(datasets: Datasets, dataset: Dataset, _: web.Request, __: Body) -> _Response:
    return 200, dataset_document(datasets.poll(dataset))


def _get_status(datasets: Datasets, dataset: Dataset, _: web.Request, __: Body) -> _Response:
    return 200, status_document(datasets.poll(dataset))


def _update(datasets: Datasets, dataset: Dataset, _: web.Request, body: Body) -> _Response:
    schema = checked_schema(body.json_object().get("schema"))
    migration = datasets.set_schema(dataset, schema)
    document = dataset_document(dataset)
    if migration is not None:
        document["migration_job_id"] = migration.id
    return 200, document


def _new_upload(datasets: Datasets, dataset: Dataset, request: web.Request, _: Body) -> _Response:
    # aiohttp leaves %2F as it is.
    filename = unquote(request.match_info["filename"])
    return 201, upload_document(dataset, datasets.new_upload(dataset, filename))


def _get_import(datasets: Datasets, dataset: Dataset, request: web.Request, _: Body) -> _Response:
    job = dataset.imports.get(request.match_info["import_id"])
    if job is None or dataset.has_status:
        raise RefusedError(404, "There is no such import.")
    datasets.poll_job(dataset, job)
    return 200, import_document(dataset, job)


def _get_migration(
    datasets: Datasets, dataset: Dataset, request: web.Request, _: Body
) -> _Response:
    job = dataset.migrations.get(request.match_info["job_id"])
    if job is None:
        raise RefusedError(404, "There is no such migration.")
    datasets.poll_job(dataset, job)
    return 200, migration_document(dataset, job)


def _append(datasets: Datasets, dataset: Dataset, request: web.Request, body: Body) -> _Response:
    if request.content_type == "text/csv":
        raise RefusedError(400, "Records are JSON, a line each, and not CSV.")
    if body.size > MAX_BODY:
        raise RefusedError(413, f"The body has more than {MAX_BODY} bytes.")
    return 200, append_document(datasets.append(dataset, body.raw))
