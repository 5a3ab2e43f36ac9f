"""Search for batches by name in a workspace: the copies of a batch, or one that was created.

One batch that cannot be read must not hide the others, so it is returned as a ``PartialBatch``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

from prolific_async._api.batch_lists import ServiceTime
from prolific_async._api.batches import BatchesAPI, SourceBatchRead, list_batches
from prolific_async._api.partial_batches import (
    PartialBatch,
    SourceBatch,
    read_created_at,
    read_partial,
)
from prolific_async._json.converter import load
from prolific_async._json.pages import RESULTS
from prolific_async._recovery.coalesced_requests import CoalescedRequests
from prolific_async.errors import DecodeError
from prolific_async.models import Batch, BatchStatus, Copies

Found: TypeAlias = Batch | PartialBatch

_SKEW = 60.0  # seconds by which ``created_at`` may be behind the clock of the ``Date`` header
_ROUNDED = 1.0  # seconds by which ``created_at`` may have been rounded up


class Listed(NamedTuple):
    """The batches that one request for a workspace's list has found, for all its callers.

    Attributes:
        found: The wanted batches by name, in the order of the list.
        time: The service's clock when the list was read.

    """

    found: dict[str, list[Found]]
    time: ServiceTime


class _Wanted(NamedTuple):
    """The name and age of the batches that one caller searches for.

    Attributes:
        name: Name of the batches, without space around it.
        since: The earliest creation time, in seconds since 1970. Batches whose time cannot be read
            are included.

    """

    name: str
    since: float = -math.inf


class BatchSearch:
    """Searches for batches by name; callers that search at the same time share the requests."""

    def __init__(self, api: BatchesAPI) -> None:
        self._api = api
        self._sources = CoalescedRequests[str, None, SourceBatchRead](self._read_source)
        self._lists = CoalescedRequests[str, _Wanted, Listed](self._read_list)

    async def source(self, batch_id: str) -> SourceBatchRead:
        """Return the source of a duplicate, and the service's clock when it was read."""
        return await self._sources.get(batch_id, None)

    async def named(
        self, source: SourceBatch | Batch, name: str, since: float = -math.inf
    ) -> dict[str, Found]:
        """Return the batches of a source's workspace that have a name, by id, without the source.

        Args:
            source: The batch that was duplicated.
            name: Name of the batches; space around it is ignored.
            since: The earliest creation time, in seconds since 1970.

        Raises:
            DecodeError: A batch with this name has no readable id.

        """
        found = await self.batches_of(source.workspace_id, name, since)
        return namesakes(found, name.strip(), source, self._api.prefix)

    async def named_in_workspace(
        self, workspace_id: str, name: str
    ) -> tuple[dict[str, Found], ServiceTime]:
        """Return the batches of a workspace that have a name, by id, and the service's clock.

        Raises:
            DecodeError: A batch with this name has no readable id.

        """
        wanted = _Wanted(name.strip())
        listed = await self._lists.get(workspace_id, wanted)
        found = listed.found.get(wanted.name, [])
        return _by_id(found, wanted.name, workspace_id, self._api.prefix), listed.time

    async def batches_of(
        self, workspace_id: str, name: str, since: float = -math.inf
    ) -> list[Found]:
        """Return the batches of a workspace that have a name, in the order of its list."""
        wanted = _Wanted(name.strip(), since)
        return (await self._lists.get(workspace_id, wanted)).found.get(wanted.name, [])

    async def _read_source(self, batch_id: str, _: object) -> SourceBatchRead:
        return await self._api.get_source(batch_id)

    async def _read_list(self, workspace_id: str, wanted: Collection[_Wanted]) -> Listed:
        since: dict[str, float] = {}
        for name, earliest in wanted:
            since[name] = min(earliest, since.get(name, math.inf))

        def pick(data: Any) -> tuple[str, Found] | None:
            name = wanted_name(data, since)
            return None if name is None else (name, _read(data))

        found: dict[str, list[Found]] = {}
        picked, time = await self._api.pick_from_list(workspace_id, pick)
        for name, batch in picked:
            found.setdefault(name, []).append(batch)
        return Listed(found, time)


def _read(data: Any) -> Found:
    try:
        return load(Batch, data)
    except DecodeError:
        return read_partial(data)


def wanted_name(data: Any, since: Mapping[str, float]) -> str | None:
    """Return a batch's name, without space around it, or None if the batch is not wanted.

    Args:
        data: The batch's JSON.
        since: The earliest creation time for each wanted name, in seconds since 1970.

    """
    name = data.get("name") if type(data) is dict else None
    if type(name) is not str or (earliest := since.get(name := name.strip())) is None:
        return None
    made = read_created_at(data)
    if made is not None and made.timestamp() < earliest:
        return None
    return name


def namesakes(
    found: list[Found], name: str, source: SourceBatch | Batch, prefix: str = ""
) -> dict[str, Found]:
    """Return the batches that have a name, by id, without the source.

    A batch whose name cannot be read is left out, as every copy has a name.

    Raises:
        DecodeError: A batch with this name has no readable id.

    """
    others = [batch for batch in found if batch.id != source.id]
    return _by_id(others, name, source.workspace_id, prefix)


def _by_id(found: list[Found], name: str, workspace_id: str, prefix: str) -> dict[str, Found]:
    named: dict[str, Found] = {}
    for batch in found:
        if batch.name is None or batch.name.strip() != name:
            continue
        if batch.id is None:
            path = list_batches(workspace_id, prefix=prefix).path
            raise DecodeError((f"$.{RESULTS}: {name!r} has no id",), None, "GET", path)
        named[batch.id] = batch  # by id, as pages overlap if a batch is made between their requests
    return named


def copies_of(found: Mapping[str, Found]) -> Copies:
    """Split batches into readable ones and the ids of the unreadable ones."""
    return Copies(
        tuple(batch for batch in found.values() if isinstance(batch, Batch)),
        tuple(key for key, batch in found.items() if not isinstance(batch, Batch)),
    )


class CallStart:
    """When a call that makes a batch began; tells which batches were made since then.

    The clock is the service's, from the ``Date`` header, in whole seconds. Without one, it is this
    machine's, which may be wrong: then no batch with the name is ruled out, and a batch is surely
    new only if it is not set up and was made between the start of the call and now. A batch from
    the future of this clock may have been made before the call.

    Args:
        date: The service's clock, in seconds since 1970; None if unknown.
        age: Seconds from the start of the call to ``date``.
        utc_now: Returns the time of this machine's clock, in seconds since 1970.

    """

    def __init__(self, date: float | None, age: float, utc_now: Callable[[], float]) -> None:
        self._utc_now = utc_now if date is None else None
        self._began = math.floor((utc_now() if date is None else date) - age)

    @property
    def earliest(self) -> float:
        """The earliest ``created_at`` of a batch that may be new, in seconds since 1970."""
        return -math.inf if self._utc_now is not None else self._began - _SKEW

    def may_be_new(self, batch: Found) -> bool:
        """Return whether a batch may have been made since the call began."""
        return _made_since(self.earliest, batch)

    def is_new(self, batch: Found) -> bool:
        """Return whether a batch was made since the call began, or its time cannot be read."""
        return _made_since(self._began, batch)

    def is_surely_new(self, batch: Batch) -> bool:
        """Return whether a batch for which ``is_new`` holds is surely new."""
        return self._utc_now is None or (
            batch.status is BatchStatus.UNINITIALISED
            and batch.created_at.timestamp() <= self._utc_now() + _ROUNDED
        )


def _made_since(moment: float, batch: Found) -> bool:
    return batch.created_at is None or batch.created_at.timestamp() >= moment
