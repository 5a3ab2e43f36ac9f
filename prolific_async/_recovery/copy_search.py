"""Search of a lost copy: reads the source and the batches of its workspace that bear a name.

A batch that cannot be read whole must not hide the copy. One with the copy's name may be the copy,
so it is a candidate.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

from prolific_async._api import requests
from prolific_async._api.batches import BatchesAPI, SourceRead
from prolific_async._api.partial_batches import PartialBatch, Source, read_created_at, read_partial
from prolific_async._json.converter import load
from prolific_async._json.pages import RESULTS
from prolific_async._recovery.shared_requests import Shared
from prolific_async.errors import DecodeError
from prolific_async.models import Batch

Found: TypeAlias = Batch | PartialBatch


class Wanted(NamedTuple):
    """The batches of a workspace that one caller searches for.

    Attributes:
        name: The name that they bear, without space around it.
        since: When they were made at the earliest, in seconds since 1970; one whose time cannot
            be read may be any.

    """

    name: str
    since: float = -math.inf


class CopySearch:
    """Reads sources and lists; callers that search at the same time share the requests."""

    def __init__(self, api: BatchesAPI) -> None:
        self._api = api
        self._sources = Shared[str, None, SourceRead](self._read_source)
        self._lists = Shared[str, Wanted, dict[str, list[Found]]](self._read_list)

    async def source(self, batch_id: str) -> SourceRead:
        """Return a source and the service's clock."""
        return await self._sources.of(batch_id, None)

    async def named(self, source: Source, name: str, since: float = -math.inf) -> dict[str, Found]:
        """Return the batches of a source's workspace that bear a name, by id, but for the source.

        Args:
            source: The batch that was duplicated.
            name: Their name, apart from space around it.
            since: Leaves out batches made earlier, in seconds since 1970.

        Raises:
            DecodeError: One of them has no id.

        """
        found = await self.batches_of(source.workspace_id, name, since)
        return namesakes(found, name.strip(), source, self._api.prefix)

    async def batches_of(
        self, workspace_id: str, name: str, since: float = -math.inf
    ) -> list[Found]:
        """Return the batches of a workspace that bear a name, in the order of its list."""
        wanted = Wanted(name.strip(), since)
        return (await self._lists.of(workspace_id, wanted)).get(wanted.name, [])

    async def _read_source(self, batch_id: str, _: object) -> SourceRead:
        return await self._api.get_source(batch_id)

    async def _read_list(
        self, workspace_id: str, wanted: Collection[Wanted]
    ) -> dict[str, list[Found]]:
        since: dict[str, float] = {}
        for one in wanted:
            since[one.name] = min(one.since, since.get(one.name, math.inf))

        def pick(data: Any) -> tuple[str, Found] | None:
            name = wanted_name(data, since)
            return None if name is None else (name, _read(data))

        found: dict[str, list[Found]] = {}
        for name, batch in await self._api.pick_from_list(workspace_id, pick):
            found.setdefault(name, []).append(batch)
        return found


def _read(data: Any) -> Found:
    try:
        return load(Batch, data)
    except DecodeError:
        return read_partial(data)


def wanted_name(data: Any, since: Mapping[str, float]) -> str | None:
    """Return a batch's name, without space around it, None if nobody searches for the batch.

    Args:
        data: The batch's JSON.
        since: By name, when the batches of that name were made at the earliest, in seconds since
            1970.

    """
    name = data.get("name") if type(data) is dict else None
    if type(name) is not str or (earliest := since.get(name := name.strip())) is None:
        return None
    if earliest > -math.inf:
        made = read_created_at(data)
        if made is not None and made.timestamp() < earliest:
            return None
    return name


def namesakes(found: list[Found], name: str, source: Source, prefix: str = "") -> dict[str, Found]:
    """Return the batches that bear a name, but for the source, by id.

    A batch whose name cannot be read is not among them: the copy was given one.

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
        named[batch.id] = batch  # pages may overlap when a batch is made between two of them
    return named


def split(found: Mapping[str, Found]) -> tuple[tuple[Batch, ...], tuple[str, ...]]:
    """Return the batches that were read whole, and the ids of the others."""
    batches = tuple(batch for batch in found.values() if isinstance(batch, Batch))
    unreadable = tuple(key for key, batch in found.items() if not isinstance(batch, Batch))
    return batches, unreadable
