"""Batches that are read in part: the source of a duplicate, and batches with unreadable fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from attrs import frozen

from prolific_async._json.converter import WireModel, load
from prolific_async.errors import DecodeError

T = TypeVar("T")


@frozen(eq=False, repr=False)
class Source(WireModel):
    """The fields of a duplicated batch that finding its copy needs; the rest is in ``extra``."""

    id: str
    name: str
    workspace_id: str


class PartialBatch(NamedTuple):
    """The readable fields of a batch that cannot be read whole; None for each other one."""

    id: str | None
    name: str | None
    created_at: datetime | None


def read_partial(data: Any) -> PartialBatch:
    """Read the fields of a batch that can be read."""
    wire = data if isinstance(data, dict) else {}
    return PartialBatch(
        _read_or_none(str, wire, "id"),
        _read_or_none(str, wire, "name"),
        read_created_at(wire),
    )


def read_created_at(wire: Mapping[str, Any]) -> datetime | None:
    """Return when a batch was made, None if that cannot be read."""
    return _read_or_none(datetime, wire, "created_at")


def _read_or_none(kind: type[T], wire: Mapping[str, Any], key: str) -> T | None:
    try:
        return load(kind, wire.get(key))
    except DecodeError:
        return None
