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
class SourceBatch(WireModel):
    """The fields of a duplicate's source that are needed to find its copy; others in ``extra``."""

    id: str
    name: str
    workspace_id: str


class PartialBatch(NamedTuple):
    """The readable fields of a batch that is not wholly readable; the others are None."""

    id: str | None
    name: str | None
    created_at: datetime | None


def read_partial(data: Any) -> PartialBatch:
    """Return the readable fields in a batch's JSON."""
    wire = data if isinstance(data, dict) else {}
    return PartialBatch(
        _read_or_none(str, wire, "id"),
        _read_or_none(str, wire, "name"),
        read_created_at(wire),
    )


def read_created_at(wire: Mapping[str, Any]) -> datetime | None:
    """Return the ``created_at`` in a batch's JSON, None if it is missing or unreadable."""
    return _read_or_none(datetime, wire, "created_at")


def _read_or_none(kind: type[T], wire: Mapping[str, Any], key: str) -> T | None:
    try:
        return load(kind, wire.get(key))
    except DecodeError:
        return None
