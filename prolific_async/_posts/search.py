"""Reads the batches among which a lost copy is searched for, also those that are partly unreadable.

An unreadable ("odd") batch must not hide the copy. One with the copy's name may be the copy, so it
is not passed over.
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from attrs import frozen

from prolific_async._http import endpoints
from prolific_async._http.links import every_page
from prolific_async._wire.converter import WireModel, load
from prolific_async._wire.pages import RESULTS
from prolific_async._wire.turns import Turns
from prolific_async.errors import DecodeError
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from prolific_async._http.answers import Answer
    from prolific_async._http.endpoints import Request

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


class Search:
    """Reads a duplicate's source, and the batches among which its copy is searched for.

    Args:
        get: Gets an answer, in several attempts.
        read_batch: Reads a batch of an answer.
        prefix: Path of the base URL, before that of each call.

    """

    def __init__(
        self,
        get: Callable[[Request], Awaitable[Answer]],
        read_batch: Callable[[Request, Any], Batch],
        prefix: str = "",
    ) -> None:
        self._get = get
        self._read_batch = read_batch
        self._prefix = prefix

    async def source(self, batch_id: str | UUID) -> tuple[Source, Answer]:
        """Return a source, and the answer that it was read from."""
        request = endpoints.look(batch_id, whole=True, prefix=self._prefix)
        answer = await self._get(request)
        return load(Source, answer.data, request.method, request.path), answer

    async def batches_of(self, workspace_id: str) -> list[Found]:
        """Return all batches of a workspace, odd ones as far as they can be read."""
        found: list[Found] = []
        turns = Turns()
        first = endpoints.list_batches(workspace_id, prefix=self._prefix)
        async with aclosing(every_page(first, self._get)) as pages:
            async for request, page in pages:
                for data in page.get(RESULTS) or ():
                    found.append(self._read(request, data))
                    await turns.give()
        return found

    def _read(self, request: Request, data: Any) -> Found:
        try:
            return self._read_batch(request, data)
        except DecodeError:
            return odd_batch(data)


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
            path = endpoints.list_batches(source.workspace_id, prefix=prefix).path
            raise DecodeError((f"$.{RESULTS}: {name!r} has no id",), None, "GET", path)
        named[batch.id] = batch
    return named


def candidates_of(named: Mapping[str, Found]) -> tuple[tuple[Batch, ...], tuple[str, ...]]:
    """Return the batches among those that were found, and the ids of the odd ones."""
    batches = tuple(batch for batch in named.values() if isinstance(batch, Batch))
    odd = tuple(key for key, batch in named.items() if not isinstance(batch, Batch))
    return batches, odd
