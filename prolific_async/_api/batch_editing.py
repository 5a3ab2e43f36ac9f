"""Typed API calls that create, change and sync batches, and list their tasks.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (create, update and sync a batch).
The lists of ids are not documented, but the service's own command line
(github.com/prolific-oss/cli) reads them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from prolific_async._api.batches import batch_path, read_batch
from prolific_async._api.path_segments import path_segment
from prolific_async._http.base_url import ROOT
from prolific_async._http.request import Request
from prolific_async._http.retry import did_not_run, may_get_again
from prolific_async._http.transport import json_body
from prolific_async._json.converter import load

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from prolific_async._http.transport import Transport
    from prolific_async.job_models import BatchSync
    from prolific_async.models import Batch


def create_batch(workspace_id: str, keys: dict[str, Any], *, prefix: str = "") -> Request:
    """Build the POST that creates a batch; keys that are None are left out."""
    body = json_body({"workspace_id": workspace_id} | keys)
    return Request("POST", f"{prefix}{ROOT}/batches", "", body, read_batch)


def update_batch(batch_id: object, keys: dict[str, Any], *, prefix: str = "") -> Request:
    """Build the PATCH that changes the given keys of a batch; None is sent as null."""
    body = json_body(keys, nulls=True)
    return Request("PATCH", batch_path(batch_id, prefix), "", body, read_batch)


def sync_batch(batch_id: object, *, prefix: str = "") -> Request:
    """Build the POST that starts a sync, which builds tasks for new datapoints; it has no body."""
    return Request("POST", batch_path(batch_id, prefix) + "/sync", read=_read_sync)


def get_batch_sync(batch_id: object, sync_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a sync."""
    path = f"{batch_path(batch_id, prefix)}/syncs/{path_segment(sync_id)}"
    return Request("GET", path, read=_read_sync)


def list_task_ids(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of the ids of a batch's tasks."""
    return Request("GET", batch_path(batch_id, prefix) + "/tasks", read=_read_ids)


def list_task_group_ids(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of the ids of a batch's task groups."""
    return Request("GET", batch_path(batch_id, prefix) + "/task-groups", read=_read_ids)


def _read_sync(data: Any, method: str, path: str) -> BatchSync:
    from prolific_async.job_models import BatchSync  # noqa: PLC0415 - imported on its first use

    return load(BatchSync, data, method, path)


def _read_ids(data: Any, method: str, path: str) -> list[str]:
    return list(load(tuple[str, ...], data, method, path))


class BatchEditingAPI:
    """The API calls that create and change batches. What they return is bound to no client.

    Each method may raise ConfigurationError (the client is closed), TransportError, APIStatusError
    and DecodeError, and ValueError for an invalid id. ``create`` is sent again only when it surely
    did not run. The others are sent again as a GET is, since a repeat has no further effect: an
    update makes the same change, and a sync finds nothing left to build.

    Args:
        transport: Sends the requests.

    Attributes:
        prefix: Path of a gateway before the service's own paths, "" for none.

    """

    def __init__(self, transport: Transport) -> None:
        self.prefix = transport.prefix
        self._send = transport.send
        self._send_again = partial(transport.send, again=may_get_again)

    def create(self, workspace_id: str, keys: dict[str, Any]) -> Coroutine[Any, Any, Batch]:
        """Create a batch with the keys that are not None, and return it."""
        request = create_batch(workspace_id, keys, prefix=self.prefix)
        return self._send(request, None, did_not_run)

    def update(self, batch_id: str, keys: dict[str, Any]) -> Coroutine[Any, Any, Batch]:
        """Change the given keys of a batch, and return the changed batch."""
        return self._send_again(update_batch(batch_id, keys, prefix=self.prefix))

    def sync(self, batch_id: str) -> Coroutine[Any, Any, BatchSync]:
        """Start a sync, which builds tasks for new datapoints, and return it."""
        return self._send_again(sync_batch(batch_id, prefix=self.prefix))

    def task_ids(self, batch_id: str) -> Coroutine[Any, Any, list[str]]:
        """Return the ids of a batch's tasks."""
        return self._send_again(list_task_ids(batch_id, prefix=self.prefix))

    def task_group_ids(self, batch_id: str) -> Coroutine[Any, Any, list[str]]:
        """Return the ids of a batch's task groups."""
        return self._send_again(list_task_group_ids(batch_id, prefix=self.prefix))
