"""Reads the body of an upload with the standard library."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

from prolific_async import DatasetSchema
from prolific_async._sources.source import Source

SCHEMA = DatasetSchema.of(META_ROW_KEY="metadata")


async def sent(given: Any, generation: int, **options: Any) -> bytes:
    """Return the bytes that a source is sent as, and check its stated size."""
    async with Source(given, **options) as source:
        payload = await source.payload(generation, SCHEMA)
        chunks = [chunk async for chunk in payload.chunks()]
        again = [chunk async for chunk in payload.chunks()]
        assert max(map(len, chunks)) <= 1 << 20
        data = b"".join(chunks)
        assert data == b"".join(again)
        assert len(data) == payload.size
        assert payload.failure is None
        return data


def csv_rows(data: bytes) -> list[list[str]]:
    """Return all rows of a CSV, the header first."""
    before = csv.field_size_limit(1 << 30)
    try:
        return list(csv.reader(io.StringIO(data.decode(), newline="")))
    finally:
        csv.field_size_limit(before)


def json_rows(data: bytes) -> list[dict[str, Any]]:
    """Return all rows of JSON lines, whatever a reader takes for a line end."""
    text = data.decode()
    assert text.endswith("\n")
    lines = text.removesuffix("\n").split("\n")
    assert lines == text.splitlines()
    return [json.loads(line, parse_float=Decimal) for line in lines]
