"""Typed API calls for batches: they build each request and decode its response.

No method waits for a batch or recovers a lost POST. A GET is sent again as the retry policy says, a
duplicate only when it surely did not run; a setup and a poll are sent once. ``prefix`` is the path
of a gateway before the service's own paths, "" for none.

Facts: https://docs.prolific.com/api-reference/ai-task-builder
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from prolific_async._api import batch_lists
from prolific_async._api.pagination import Pagination, every_page
from prolific_async._api.partial_batches import SourceBatch
from prolific_async._api.path_segments import PLAIN, path_segment
from prolific_async._http.base_url import ROOT
from prolific_async._http.request import Request
from prolific_async._http.responses import adding_details, http_date
from prolific_async._http.retry import did_not_run, may_get_again, retrying
from prolific_async._http.transport import json_body
from prolific_async._json.converter import load
from prolific_async.models import Batch, BatchStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from prolific_async._api.batch_lists import PickedPage, ServiceTime
    from prolific_async._http.request import PollTiming
    from prolific_async._http.transport import Transport
    from prolific_async.policies import RetryPolicy

T = TypeVar("T")

read_batch = partial(load, Batch)


def batch_path(batch_id: object, prefix: str) -> str:
    """Return the path of a batch."""
    # Inline for the plain ids of polls, which saves a call of ``path_segment``.
    plain = type(batch_id) is str and PLAIN.fullmatch(batch_id)
    return f"{prefix}{ROOT}/batches/{batch_id if plain else path_segment(batch_id)}"


def get_batch(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a whole batch."""
    return Request("GET", batch_path(batch_id, prefix), read=read_batch)


def get_batch_status(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a batch's status."""
    return Request("GET", batch_path(batch_id, prefix) + "/status", "", None, _read_status)


def list_batches(workspace_id: object, *, prefix: str = "") -> Request:
    """Build the GET of all batches of a workspace."""
    query = f"workspace_id={path_segment(workspace_id)}"
    return Request("GET", f"{prefix}{ROOT}/batches", query)


def duplicate_batch(
    batch_id: object,
    *,
    name: str | None = None,
    upload_new_dataset: bool | None = None,
    prefix: str = "",
) -> Request:
    """Build the POST that duplicates a batch; keys that are None are left out."""
    path = batch_path(batch_id, prefix) + "/duplicate"
    body = json_body({"name": name, "upload_new_dataset": upload_new_dataset})
    return Request("POST", path, "", body, read_batch)


def set_up_batch(
    batch_id: object,
    *,
    dataset_id: str | None = None,
    tasks_per_group: int | None = None,
    prefix: str = "",
) -> Request:
    """Build the POST that sets a batch up; keys that are None are left out."""
    path = batch_path(batch_id, prefix) + "/setup"
    body = json_body({"dataset_id": dataset_id, "tasks_per_group": tasks_per_group})
    return Request("POST", path, "", body)


# A dict, as calling the enum takes ten times as long.
_STATUSES = {status.value: status for status in BatchStatus}


def _read_status(data: Any, method: str, path: str) -> BatchStatus | None:
    if type(data) is dict and type(status := data.get("status")) is str:
        return _STATUSES.get(status) or BatchStatus(status)
    status = load(dict, data, method, path).get("status")
    if status is None:
        return None
    return load(BatchStatus, status, method, path, at="$.status", within=data)


class SourceBatchRead(NamedTuple):
    """A duplicate's source, and the service's clock when it was read.

    Attributes:
        source: The batch that was or will be duplicated.
        date: The service's clock, in seconds since 1970; None without a readable ``Date`` header.

    """

    source: SourceBatch
    date: float | None


class BatchesAPI:
    """The API calls for batches. Returned batches are bound to no client.

    Each method may raise ConfigurationError (the client is closed), TransportError, APIStatusError
    and DecodeError, and ValueError for an invalid id.

    Args:
        transport: Sends the requests.
        retry: How often reading a list is repeated.

    Attributes:
        prefix: Path of a gateway before the service's own paths, "" for none.

    """

    def __init__(self, transport: Transport, retry: RetryPolicy) -> None:
        self.prefix = transport.prefix
        self._retry = retry
        self._send = transport.send
        self._stream = transport.stream
        self._sleep = transport.sleep
        self._get = partial(transport.send, again=may_get_again)

    # Not "async", as most methods only return a coroutine: one less to resume for each call.

    def get(self, batch_id: str, timing: PollTiming | None = None) -> Coroutine[Any, Any, Batch]:
        """Return a batch as it is now."""
        request = get_batch(batch_id, prefix=self.prefix)
        return self._send(request, timing, may_get_again if timing is None else None)

    def get_status(
        self, batch_id: str, timing: PollTiming | None = None
    ) -> Coroutine[Any, Any, BatchStatus | None]:
        """Return a batch's status, None when the service gave none."""
        request = get_batch_status(batch_id, prefix=self.prefix)
        return self._send(request, timing, may_get_again if timing is None else None)

    async def get_source(self, batch_id: str) -> SourceBatchRead:
        """Return the fields of a batch that are needed to find its copies, and the ``Date``.

        The other fields may be unreadable.
        """
        request = get_batch(batch_id, prefix=self.prefix)._replace(read=None)
        response = await self._get(request)
        data, details = response.data, response.error_details
        date = http_date(response.headers.get("Date", ""))
        # The response may echo the token, and some loggers print the local variables of errors.
        del response
        with adding_details(details):
            return SourceBatchRead(load(SourceBatch, data, request.method, request.path), date)

    async def pages(self, workspace_id: str) -> AsyncGenerator[list[Batch]]:
        """Yield a workspace's batches page by page; long pages are decoded in slices.

        Raises:
            DecodeError: Among others, if a batch cannot be read (the problem names its id), if the
                response is not a list, or if there are fewer batches than the service counts or
                more than a thousand pages.

        """
        first = list_batches(workspace_id, prefix=self.prefix)
        async with aclosing(every_page(first, self._get, batch_lists.read_batches)) as pages:
            async for found in pages:
                yield found

    async def list_body(self, workspace_id: str, timing: PollTiming) -> bytes:
        """Return the undecoded first page of a workspace's batches."""
        request = list_batches(workspace_id, prefix=self.prefix)
        body: bytes = (await self._send(request, timing, raw=True)).data
        return body

    async def pick_from_list(
        self, workspace_id: str, pick: Callable[[Any], T | None]
    ) -> tuple[list[T], ServiceTime]:
        """Read a workspace's list as it arrives; return what ``pick`` keeps of its batches.

        Also returns the service's clock when the first page arrived. However long the list is, at
        most one batch is held in memory besides what is kept.

        Args:
            workspace_id: The workspace.
            pick: Returns what to keep of a batch's JSON, None for nothing.

        """
        picked: list[T] = []
        time: ServiceTime | None = None

        async def read(request: Request) -> PickedPage[T]:
            return await batch_lists.pick_from_page(self._stream, request, pick)

        read_page = retrying(read, self._retry, may_get_again, sleep=self._sleep)
        pagination = Pagination(list_batches(workspace_id, prefix=self.prefix))
        while (request := pagination.next_request) is not None:
            found = await read_page(request)
            picked += found.picked
            time = time or found.time
            pagination.follow(found.page, found.elements)
        assert time is not None  # noqa: S101 - there is a first page
        return picked, time

    def duplicate(
        self, batch_id: str, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Coroutine[Any, Any, Batch]:
        """Duplicate a batch and return the copy."""
        request = duplicate_batch(
            batch_id,
            name=name,
            upload_new_dataset=upload_new_dataset or None,
            prefix=self.prefix,
        )
        return self._send(request, None, did_not_run)

    def set_up(
        self,
        batch_id: str,
        *,
        dataset_id: str | None = None,
        tasks_per_group: int | None = None,
    ) -> Coroutine[Any, Any, object]:
        """Set a batch up, so that its tasks are built; sent once."""
        request = set_up_batch(
            batch_id,
            dataset_id=dataset_id,
            tasks_per_group=tasks_per_group,
            prefix=self.prefix,
        )
        return self._send(request)
