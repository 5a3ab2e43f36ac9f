"""The dataset endpoints of the simulated service.

Sources: "Working with Datasets", "Defining a Dataset Schema", "Appending data to a dataset" and
"Migrating a dataset schema" of docs.prolific.com.
"""

import json
from collections.abc import Callable
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

__all__ = ["dataset_routes"]

_DATASETS = "/api/v1/data-collection/datasets"
_DATASET = f"{_DATASETS}/{{dataset_id:[^/]+}}"
_Respond = Callable[[web.Request, Body, Dataset], tuple[int, dict[str, Any]]]


def dataset_routes(datasets: Datasets) -> list[web.RouteDef]:
    """Return the routes of the dataset endpoints.

    Args:
        datasets: What is read and changed.
    """
    state = datasets.state

    def on_dataset(respond: _Respond) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            body = await read_body(request)
            with state.lock:
                dataset = state.datasets.get(request.match_info["dataset_id"])
                if dataset is None:
                    raise RefusedError(404, "There is no such dataset.")
                status, document = respond(request, body, dataset)
                return json_response(status, json.dumps(document).encode())

        return handle

    async def create(request: web.Request) -> web.Response:
        fields = (await read_body(request)).json_object()
        for key in ("name", "workspace_id"):
            if not isinstance(fields.get(key), str) or not fields[key]:
                raise RefusedError(400, {key: ["This field is required."]})
        # A schema makes it version 4. Null leaves it without one for the time being [?].
        has_schema = "schema" in fields
        schema = fields.get("schema")
        with state.lock:
            if fields["workspace_id"] not in state.workspaces:
                raise RefusedError(404, "There is no such workspace.")
            dataset = state.add_dataset(
                fields["workspace_id"],
                datapoints=0,
                filename=None,
                status="UNINITIALISED",
                name=fields["name"],
                created_by=state.user_id,
                version=4 if has_schema else 3,
                schema=None if schema is None else checked_schema(schema),
                schema_number=int(schema is not None),
            )
            return json_response(201, json.dumps(dataset_document(dataset)).encode())

    def get(_: web.Request, __: Body, dataset: Dataset) -> tuple[int, dict[str, Any]]:
        return 200, dataset_document(datasets.poll(dataset))

    def get_status(_: web.Request, __: Body, dataset: Dataset) -> tuple[int, dict[str, Any]]:
        return 200, status_document(datasets.poll(dataset))

    def update(_: web.Request, body: Body, dataset: Dataset) -> tuple[int, dict[str, Any]]:
        schema = checked_schema(body.json_object().get("schema"))
        migration = datasets.set_schema(dataset, schema)
        document = dataset_document(dataset)
        return 200, document if migration is None else {
            **document,
            "migration_job_id": migration.id,
        }

    def new_upload(request: web.Request, _: Body, dataset: Dataset) -> tuple[int, dict[str, Any]]:
        # aiohttp leaves %2F as it is.
        filename = unquote(request.match_info["filename"])
        return 201, upload_document(dataset, datasets.new_upload(dataset, filename))

    def get_import(request: web.Request, _: Body, dataset: Dataset) -> tuple[int, dict[str, Any]]:
        job = dataset.imports.get(request.match_info["import_id"])
        if job is None or dataset.has_status:
            raise RefusedError(404, "There is no such import.")
        datasets.poll_job(dataset, job)
        return 200, import_document(dataset, job)

    def get_migration(
        request: web.Request, _: Body, dataset: Dataset
    ) -> tuple[int, dict[str, Any]]:
        job = dataset.migrations.get(request.match_info["job_id"])
        if job is None:
            raise RefusedError(404, "There is no such migration.")
        datasets.poll_job(dataset, job)
        return 200, migration_document(dataset, job)

    def append(request: web.Request, body: Body, dataset: Dataset) -> tuple[int, dict[str, Any]]:
        if request.content_type == "text/csv":
            raise RefusedError(400, "Records are JSON, a line each, and not CSV.")
        if body.size > MAX_BODY:
            raise RefusedError(413, f"The body has more than {MAX_BODY} bytes.")
        return 200, append_document(datasets.append(dataset, body.raw))

    return [
        web.post(_DATASETS, create),
        web.get(_DATASET, on_dataset(get), allow_head=False),
        web.patch(_DATASET, on_dataset(update)),
        web.get(f"{_DATASET}/status", on_dataset(get_status), allow_head=False),
        web.get(
            f"{_DATASET}/upload-url/{{filename:[^/]+}}", on_dataset(new_upload), allow_head=False
        ),
        web.get(
            f"{_DATASET}/imports/{{import_id:[^/]+}}", on_dataset(get_import), allow_head=False
        ),
        web.post(f"{_DATASET}/datapoints", on_dataset(append)),
        web.get(
            f"{_DATASET}/schema-migrations/{{job_id:[^/]+}}",
            on_dataset(get_migration),
            allow_head=False,
        ),
    ]
