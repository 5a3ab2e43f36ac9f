"""Typed calls of batches: one method for each call of the service.

No method waits for a batch or recovers a lost POST. A GET is sent again as the retry policy says,
a POST only when it surely did not run; a poll is sent once.

Facts: https://docs.prolific.com/api-reference/ai-task-builder
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from prolific_async._api import requests
from prolific_async._api.pagination import Pagination, check_page, every_page
from prolific_async._api.partial_batches import Source, read_partial
from prolific_async._http.responses import MAX_BODY, http_date, undecodable
from prolific_async._http.retry import did_not_run, get_again, retrying
from prolific_async._json.converter import load
from prolific_async._json.pages import RESULTS, add_member, parts_as_they_come
from prolific_async._json.reading import MAX_PROBLEMS
from prolific_async._json.slices import TimeSlices
from prolific_async._messages import brief
from prolific_async.errors import DecodeError
from prolific_async.models import Batch, BatchStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from prolific_async._http.request import Poll, Request
    from prolific_async._http.transport import Transport
    from prolific_async.policies import RetryPolicy

T = TypeVar("T")


class SourceRead(NamedTuple):
    """A duplicate's source, and the service's clock when it was read.

    Attributes:
        source: The batch.
        date: Seconds since 1970, None when the response has no readable ``Date``.

    """

    source: Source
    date: float | None


class BatchesAPI:
    """The calls of batches. Batches that it returns are bound to no client.

    Each method may raise ConfigurationError (the client is closed), TransportError, APIStatusError
    and DecodeError, and ValueError for an id that cannot be one.

    Attributes:
        prefix: Path of a gateway before the service's own paths, "" for none.

    """

    def __init__(self, transport: Transport, retry: RetryPolicy) -> None:
        self.prefix = transport.prefix
        self._retry = retry
        self._send = transport.send
        self._stream = transport.stream
        self._pause = transport.pause
        self._get = retrying(transport.send, retry, get_again, sleep=transport.pause)
        self._post = retrying(transport.send, retry, did_not_run, sleep=transport.pause)

    async def get(self, batch_id: str, poll: Poll | None = None) -> Batch:
        """Return a batch as it is now."""
        request = requests.get_batch(batch_id, prefix=self.prefix)
        data = await self._read(request, poll)
        return load(Batch, data, request.method, request.path)

    async def get_status(self, batch_id: str, poll: Poll | None = None) -> BatchStatus | None:
        """Return a batch's status, None when the service gave none."""
        request = requests.get_batch_status(batch_id, prefix=self.prefix)
        return _read_status(request, await self._read(request, poll))

    async def get_source(self, batch_id: str) -> SourceRead:
        """Return what is needed of a batch to find its copies, even if the rest is unreadable."""
        request = requests.get_batch(batch_id, prefix=self.prefix)
        headers, data = await self._get(request)
        date = http_date(headers.get("Date", ""))
        # They may echo the token, and loggers show the local variables of an error's frames.
        del headers
        return SourceRead(load(Source, data, request.method, request.path), date)

    async def pages(self, workspace_id: str) -> AsyncGenerator[list[Batch]]:
        """Yield a workspace's batches page by page; each page is read in slices.

        Raises:
            DecodeError: Among others, when a batch cannot be read (the problem names its id), when
                the response is no list, when fewer batches come than the service counts, or more
                than a thousand pages.

        """
        first = requests.list_batches(workspace_id, prefix=self.prefix)
        async with aclosing(every_page(first, self._get)) as pages:
            async for request, page in pages:
                yield await _read_batches(request, page)

    async def list_body(self, workspace_id: str, poll: Poll) -> bytes:
        """Return the undecoded first page of a workspace's batches."""
        request = requests.list_batches(workspace_id, prefix=self.prefix)
        body: bytes = (await self._send(request, poll, raw=True)).data
        return body

    async def pick_from_list(self, workspace_id: str, pick: Callable[[Any], T | None]) -> list[T]:
        """Read a workspace's whole list as it comes, and return what is picked of its elements.

        However long the list is, no more than one element is held beside those.

        Args:
            workspace_id: The workspace.
            pick: Returns what to keep of an element's JSON, None for nothing.

        """
        picked: list[T] = []

        async def read(request: Request) -> tuple[dict[str, Any], int, list[T]]:
            return await self._pick_from_page(request, pick)

        read_page = retrying(read, self._retry, get_again, sleep=self._pause)
        pagination = Pagination(requests.list_batches(workspace_id, prefix=self.prefix))
        while (request := pagination.following) is not None:
            page, elements, of_page = await read_page(request)
            picked += of_page
            pagination.follow(page, elements)
        return picked

    async def duplicate(
        self, batch_id: str, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Batch:
        """Copy a batch and return the copy."""
        request = requests.duplicate_batch(
            batch_id,
            name=name,
            upload_new_dataset=upload_new_dataset or None,
            prefix=self.prefix,
        )
        data = (await self._post(request)).data
        return load(Batch, data, request.method, request.path)

    async def set_up(
        self,
        batch_id: str,
        *,
        dataset_id: str | None = None,
        tasks_per_group: int | None = None,
    ) -> None:
        """Have a batch's tasks built; sent once."""
        request = requests.set_up_batch(
            batch_id,
            dataset_id=dataset_id,
            tasks_per_group=tasks_per_group,
            prefix=self.prefix,
        )
        await self._send(request)

    async def _read(self, request: Request, poll: Poll | None) -> Any:
        """Return the JSON of a GET's response."""
        return (await (self._get(request) if poll is None else self._send(request, poll))).data

    async def _pick_from_page(
        self, request: Request, pick: Callable[[Any], T | None]
    ) -> tuple[dict[str, Any], int, list[T]]:
        """Return a page without its elements, their number, and what is picked of them."""
        page: dict[str, Any] = {}
        picked: list[T] = []
        elements = 0
        slices = TimeSlices()
        try:
            async with (
                self._stream(request) as chunks,
                aclosing(parts_as_they_come(chunks, MAX_BODY)) as parts,
            ):
                async for key, _, _, value in parts:
                    if key is not None:
                        add_member(page, key, value)
                        continue
                    elements += 1
                    if (kept := pick(value)) is not None:
                        picked.append(kept)
                    await slices.yield_if_due()
        except ValueError as error:
            raise undecodable(request, f"not a readable list of JSON ({error})") from None
        check_page(request, page)
        return page, elements, picked


def _read_status(request: Request, data: Any) -> BatchStatus | None:
    if type(data) is dict and type(data.get("status")) is str:
        return BatchStatus(data["status"])
    call = (request.method, request.path)
    status = load(dict, data, *call).get("status")
    return None if status is None else load(BatchStatus, status, *call, at="$.status", within=data)


async def _read_batches(request: Request, page: dict[str, Any]) -> list[Batch]:
    """Read the batches of a page, which may be so many that they are read in slices."""
    call = (request.method, request.path)
    found: list[Batch] = []
    problems: list[str] = []
    slices = TimeSlices()
    for index, data in enumerate(page.get(RESULTS) or ()):
        try:
            found.append(load(Batch, data, *call, at=f"$.{RESULTS}[{index}]"))
        except DecodeError as error:
            batch_id = read_partial(data).id
            whose = "" if batch_id is None else f" (batch {brief(batch_id)})"
            problems += [problem + whose for problem in error.problems]
        if len(problems) >= MAX_PROBLEMS:
            break
        await slices.yield_if_due()
    if problems:
        raise DecodeError(tuple(problems), page, *call)
    return found
