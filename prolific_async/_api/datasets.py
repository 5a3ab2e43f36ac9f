"""Typed API calls for datasets: they build each request and decode its response.

No method waits or recovers a lost call. A GET is sent again as the retry policy says, and so is an
append, as the service stores identical records only once. A request that creates a dataset or
changes its schema is sent again only when it surely did not run.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (datasets).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import evolve

from prolific_async._api.path_segments import path_segment
from prolific_async._api.upload_urls import UploadUrl, read_upload_url
from prolific_async._http.base_url import ROOT
from prolific_async._http.request import Request
from prolific_async._http.responses import adding_details
from prolific_async._http.retry import did_not_run, may_get_again
from prolific_async._http.transport import json_body
from prolific_async._json.converter import load
from prolific_async._sources import formats
from prolific_async.dataset_models import Dataset
from prolific_async.job_models import AppendResult, ImportJob, SchemaMigration
from prolific_async.statuses import DatasetStatus

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from prolific_async._http.transport import Transport

JSON_LINES = "application/x-ndjson"


def dataset_path(dataset_id: object, prefix: str) -> str:
    """Return the path of a dataset."""
    return f"{prefix}{ROOT}/datasets/{path_segment(dataset_id)}"


def create_dataset(
    workspace_id: str, *, name: str, schema: dict[str, Any] | None = None, prefix: str = ""
) -> Request:
    """Build the POST that creates a dataset: V4 with a schema, V3 without."""
    body = json_body({"name": name, "workspace_id": workspace_id, "schema": schema})
    return Request("POST", f"{prefix}{ROOT}/datasets", "", body, _read_dataset)


def get_dataset(dataset_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a whole dataset."""
    return Request("GET", dataset_path(dataset_id, prefix), read=_read_dataset)


def get_dataset_status(dataset_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a dataset's status."""
    return Request("GET", dataset_path(dataset_id, prefix) + "/status", read=_read_status)


def update_dataset_schema(
    dataset_id: object, schema: dict[str, Any], *, prefix: str = ""
) -> Request:
    """Build the PATCH that changes a dataset's schema."""
    body = json_body({"schema": schema})
    return Request("PATCH", dataset_path(dataset_id, prefix), "", body, _read_dataset)


def get_upload_url(dataset_id: object, filename: str, *, prefix: str = "") -> Request:
    """Build the GET of a URL to upload a file to; the service responds with status 201.

    Raises:
        ValueError: As ``formats.format_of``.

    """
    formats.format_of(filename)
    path = f"{dataset_path(dataset_id, prefix)}/upload-url/{quote(filename, safe='')}"
    return Request("GET", path, hides_response=True)


def get_import(dataset_id: object, import_id: object, *, prefix: str = "") -> Request:
    """Build the GET of an import."""
    path = f"{dataset_path(dataset_id, prefix)}/imports/{path_segment(import_id)}"
    return Request("GET", path, read=partial(load, ImportJob))


def append_datapoints(dataset_id: object, body: bytes, *, first: int, prefix: str = "") -> Request:
    """Build the POST that adds records, given as JSON lines.

    Args:
        dataset_id: The dataset.
        body: The records.
        first: Index of the first record among all records of an append, from 0. It is added to the
            indexes of rejected records, which the service counts from 1 in each request.
        prefix: Path of a gateway before the service's own paths, "" for none.

    """
    path = dataset_path(dataset_id, prefix) + "/datapoints"
    read = partial(_read_appended, first)
    return Request("POST", path, "", body, read, content_type=JSON_LINES)


def get_schema_migration(dataset_id: object, job_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a schema migration."""
    path = f"{dataset_path(dataset_id, prefix)}/schema-migrations/{path_segment(job_id)}"
    return Request("GET", path, read=partial(load, SchemaMigration))


_read_dataset = partial(load, Dataset)


def _read_status(data: Any, method: str, path: str) -> DatasetStatus | None:
    status = load(dict, data, method, path).get("status")
    if status is None:
        return None
    return load(DatasetStatus, status, method, path, at="$.status", within=data)


def _read_appended(first: int, data: Any, method: str, path: str) -> AppendResult:
    if isinstance(data, dict) and data.get("errors", data) is None:
        data = data | {"errors": []}
    result = load(AppendResult, data, method, path)
    errors = tuple(
        error
        if error.record_index is None
        else evolve(error, record_index=first + max(error.record_index - 1, 0))
        for error in result.errors
    )
    return evolve(result, errors=errors)


class DatasetsAPI:
    """The API calls for datasets. What they return is bound to no client.

    Each method may raise ConfigurationError (the client is closed), TransportError, APIStatusError
    and DecodeError, and ValueError for an invalid id.

    Args:
        transport: Sends the requests.

    """

    def __init__(self, transport: Transport) -> None:
        self._prefix = transport.prefix
        self._send = transport.send

    def create(
        self, workspace_id: str, *, name: str, schema: dict[str, Any] | None = None
    ) -> Coroutine[Any, Any, Dataset]:
        """Create a dataset and return it."""
        request = create_dataset(workspace_id, name=name, schema=schema, prefix=self._prefix)
        return self._send(request, None, did_not_run)

    def get(self, dataset_id: str) -> Coroutine[Any, Any, Dataset]:
        """Return a dataset as it is now."""
        return self._read(get_dataset(dataset_id, prefix=self._prefix))

    def get_status(self, dataset_id: str) -> Coroutine[Any, Any, DatasetStatus | None]:
        """Return a dataset's status, None when the service gave none."""
        return self._read(get_dataset_status(dataset_id, prefix=self._prefix))

    def update_schema(
        self, dataset_id: str, schema: dict[str, Any]
    ) -> Coroutine[Any, Any, Dataset]:
        """Change a dataset's schema, and return the changed dataset."""
        request = update_dataset_schema(dataset_id, schema, prefix=self._prefix)
        return self._send(request, None, did_not_run)

    async def upload_url(self, dataset_id: str, filename: str) -> UploadUrl:
        """Return a URL to upload a file to, for a V4 dataset with the id of a new import."""
        request = get_upload_url(dataset_id, filename, prefix=self._prefix)
        response = await self._read(request)
        received = asyncio.get_running_loop().time()
        data, headers, details = response.data, response.headers, response.error_details
        # The response may echo the token, and some loggers print the local variables of errors.
        del response
        call = (request.method, request.path)
        with adding_details(details):
            try:
                return read_upload_url(data, headers, received, filename=filename, call=call)
            finally:
                del data, headers

    def append_path(self, dataset_id: str) -> str:
        """Return the path of the request that adds records."""
        return append_datapoints(dataset_id, b"", first=0, prefix=self._prefix).path

    def append(
        self, dataset_id: str, body: bytes, *, first: int
    ) -> Coroutine[Any, Any, AppendResult]:
        """Append records, given as JSON lines; ``first`` is as in ``append_datapoints``."""
        request = append_datapoints(dataset_id, body, first=first, prefix=self._prefix)
        return self._send(request, None, may_get_again)

    def _read(self, request: Request) -> Coroutine[Any, Any, Any]:
        return self._send(request, None, may_get_again)
