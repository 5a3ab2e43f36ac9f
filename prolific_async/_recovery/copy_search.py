"""Reads the batches among which a lost copy is searched for, also those that are partly unreadable.

An unreadable ("odd") batch must not hide the copy. One with the copy's name may be the copy, so it
is not passed over.
"""

from __future__ import annotations

import math
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from attrs import frozen

from prolific_async._api import requests
from prolific_async._api.pagination import Pagination, check_page
from prolific_async._api.requests import Request
from prolific_async._http.responses import MAX_BODY, Response, undecodable
from prolific_async._http.retry import get_again, retrying
from prolific_async._json.converter import WireModel, load
from prolific_async._json.pages import RESULTS, add_member, parts_as_they_come
from prolific_async._json.slices import TimeSlices
from prolific_async._recovery.shared_requests import Shared
from prolific_async.errors import DecodeError
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from uuid import UUID

    from prolific_async._http.transport import Transport
    from prolific_async.policies import RetryPolicy

T = TypeVar("T")


@frozen
class Source(WireModel):
    """What is read of the batch that was duplicated; the rest is in ``extra``."""

    id: str
    name: str
    workspace_id: str


class OddBatch(NamedTuple):
    """What can be read of a batch that cannot be read whole; None for what cannot."""

    id: str | None
    name: str | None
    created_at: datetime | None


Found: TypeAlias = Batch | OddBatch


class Wanted(NamedTuple):
    """Which batches of a workspace somebody searches for.

    Attributes:
        name: The name that they bear, without space around it.
        since: When they were made at the earliest, in seconds since 1970; one whose time cannot
            be read may be any.

    """

    name: str
    since: float = -math.inf


class Search:
    """Reads a duplicate's source, and the batches among which its copy is searched for.

    Many that search at the same time share their requests.

    Args:
        transport: Sends the requests.
        retry: How they are tried again.
        read_batch: Reads a batch of an answer.

    """

    def __init__(
        self,
        transport: Transport,
        retry: RetryPolicy,
        read_batch: Callable[[Request, Any], Batch],
    ) -> None:
        self._pause = transport.pause
        self._get = retrying(transport.send, retry, get_again, sleep=transport.pause)
        self._stream = transport.stream
        self._prefix = transport.prefix
        self._retry = retry
        self._read_batch = read_batch
        self._sources = Shared[Request, None, tuple[Source, Response]](self._read_source)
        self._lists = Shared[Request, Wanted, dict[str, list[Found]]](self._read_list)

    async def source(self, batch_id: str | UUID) -> tuple[Source, Response]:
        """Return a source, and the answer that it was read from."""
        request = requests.poll(batch_id, whole=True, prefix=self._prefix)
        return await self._sources.of(request, None)

    async def batches_of(
        self, workspace_id: str, name: str, since: float = -math.inf
    ) -> list[Found]:
        """Return the batches of a workspace that bear a name, odd ones as far as can be read.

        The list is read as it comes: no more than one batch beside those is kept, however long it
        is.

        Args:
            workspace_id: The workspace.
            name: Their name, apart from space around it.
            since: Leaves out what was made earlier, in seconds since 1970.

        """
        first = requests.list_batches(workspace_id, prefix=self._prefix)
        wanted = Wanted(name.strip(), since)
        return (await self._lists.of(first, wanted)).get(wanted.name, [])

    async def _read_source(self, request: Request, _: object) -> tuple[Source, Response]:
        answer = await self._get(request)
        return load(Source, answer.data, request.method, request.path), answer

    async def _read_list(
        self, first: Request, wanted: Collection[Wanted]
    ) -> dict[str, list[Found]]:
        since: dict[str, float] = {}
        for one in wanted:
            since[one.name] = min(one.since, since.get(one.name, math.inf))
        read_page = partial(self._read_page, since)
        read = retrying(read_page, self._retry, get_again, sleep=self._pause)
        found: dict[str, list[Found]] = {}
        links = Pagination(first)
        while (request := links.following) is not None:
            page, elements, of_page = await read(request)
            for batch_name, batches in of_page.items():
                found.setdefault(batch_name, []).extend(batches)
            links.follow(page, elements)
        return found

    async def _read_page(
        self, since: Mapping[str, float], request: Request
    ) -> tuple[dict[str, Any], int, dict[str, list[Found]]]:
        """Return a page without its elements, their number, and what is wanted of them, by name."""
        page: dict[str, Any] = {}
        found: dict[str, list[Found]] = {}
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
                    if (name := wanted_name(value, since)) is not None:
                        found.setdefault(name, []).append(self._read(request, value))
                    await slices.yield_if_due()
        except ValueError as error:
            raise undecodable(request, f"not a readable list of JSON ({error})") from None
        check_page(request, page)
        return page, elements, found

    def _read(self, request: Request, data: Any) -> Found:
        try:
            return self._read_batch(request, data)
        except DecodeError:
            return odd_batch(data)


def wanted_name(data: Any, since: Mapping[str, float]) -> str | None:
    """Return a batch's name, without space around it, None if nobody searches for such a batch.

    Args:
        data: The batch.
        since: By name, when those are made that are searched for, in seconds since 1970.

    """
    name = data.get("name") if type(data) is dict else None
    if type(name) is not str or (earliest := since.get(name := name.strip())) is None:
        return None
    if earliest > -math.inf:
        made = _read_or_none(datetime, data, "created_at")
        if made is not None and made.timestamp() < earliest:
            return None
    return name


def odd_batch(data: Any) -> OddBatch:
    """Read what can be read of a batch."""
    wire = data if isinstance(data, dict) else {}
    return OddBatch(
        _read_or_none(str, wire, "id"),
        _read_or_none(str, wire, "name"),
        _read_or_none(datetime, wire, "created_at"),
    )


def _read_or_none(kind: type[T], wire: Mapping[str, Any], key: str) -> T | None:
    try:
        return load(kind, wire.get(key))
    except DecodeError:
        return None


def namesakes(found: list[Found], name: str, source: Source, prefix: str = "") -> dict[str, Found]:
    """Return the batches that bear a name, but for the source, by id.

    By id, as pages may overlap when a batch is made between two of them. A batch whose name cannot
    be read is not among them: the copy was given one.

    Raises:
        DecodeError: One of them has no id.

    """
    named: dict[str, Found] = {}
    for batch in found:
        if batch.name is None or batch.name.strip() != name or batch.id == source.id:
            continue
        if batch.id is None:
            path = requests.list_batches(source.workspace_id, prefix=prefix).path
            raise DecodeError((f"$.{RESULTS}: {name!r} has no id",), None, "GET", path)
        named[batch.id] = batch
    return named


def candidates_of(named: Mapping[str, Found]) -> tuple[tuple[Batch, ...], tuple[str, ...]]:
    """Return the batches among those that were found, and the ids of the odd ones."""
    batches = tuple(batch for batch in named.values() if isinstance(batch, Batch))
    odd = tuple(key for key, batch in named.items() if not isinstance(batch, Batch))
    return batches, odd
