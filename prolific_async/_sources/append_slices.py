"""Division of the records of ``append`` into slices, each the body of one request."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing

from attrs import frozen

from prolific_async._message_parts import place
from prolific_async._sources import recognition
from prolific_async._sources.items import END, Items
from prolific_async._sources.json_rows import JsonRows
from prolific_async._sources.row_keys import RowKey
from prolific_async._sources.types import Records
from prolific_async._time_slices import TimeSlices

MAX_RECORDS = 1000
"""Records that the service accepts in one request.

Source: "append datapoints" in the service's documentation.
"""

MAX_BYTES = 4 * 1024 * 1024

_NEEDED = "append takes an iterable of mappings of field names to values"


@frozen
class AppendSlice:
    """Records that are sent in one request.

    Attributes:
        first: Index of the first record among all records, from 0.
        count: Number of the records.
        body: The records as JSON lines.

    """

    first: int
    count: int
    body: bytes


def check_records(records: object) -> None:
    """Check the type of the argument of ``append``, without reading any record.

    Raises:
        TypeError: It cannot be an iterable of mappings; the message says what to pass.

    """
    if recognition.is_bytes(records) or isinstance(records, str | os.PathLike | io.IOBase):
        kind = type(records).__name__
        raise TypeError(f"{_NEEDED}, not {kind}: a file is uploaded with upload")
    recognition.check_iterable(records, _NEEDED)


async def append_slices(records: Records, key: str | None) -> AsyncGenerator[AppendSlice]:
    """Yield all records in slices of at most 1,000 records and 4 MiB.

    Args:
        records: The records.
        key: Name of the field that is sent a second time, as ``META_ROW_KEY``; None for none.

    Raises:
        TypeError: A record is no mapping.
        ValueError: A record cannot be sent. Earlier records whose slice was not full yet are not
            yielded.

    """
    items = Items(records)
    encoder = JsonRows(None if key is None else RowKey(key))
    slices = TimeSlices()
    if await items.first() is END:
        return
    pending: list[bytes] = []
    size = first = 0
    async with aclosing(items.blocks()) as blocks:
        async for block in blocks:
            data = encoder.encode(block)
            items.adapt_block_size(len(block), len(data))
            for line in data.splitlines(keepends=True):
                if len(line) > MAX_BYTES:
                    number = first + len(pending)
                    raise ValueError(f"{place(number)}: it is longer than {MAX_BYTES} bytes")
                if len(pending) == MAX_RECORDS or size + len(line) > MAX_BYTES:
                    yield AppendSlice(first, len(pending), b"".join(pending))
                    first += len(pending)
                    pending.clear()
                    size = 0
                pending.append(line)
                size += len(line)
            await slices.yield_if_due()
    yield AppendSlice(first, len(pending), b"".join(pending))
