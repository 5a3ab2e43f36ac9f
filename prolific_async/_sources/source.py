"""``Source``: turns the argument of an upload into the bytes that are sent."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prolific_async._message_parts import brief
from prolific_async._sources import formats, recognition, row_keys, text_checks
from prolific_async._sources.contents import PIECE, BytesContent, Content, FileContent, Spool, flat
from prolific_async._sources.csv_rows import CsvRows
from prolific_async._sources.formats import Format
from prolific_async._sources.items import END, Items
from prolific_async._sources.json_rows import JsonRows
from prolific_async._sources.key_rewriting import write_with_keys
from prolific_async._sources.payload import Payload
from prolific_async._sources.row_keys import RowKey
from prolific_async._sources.types import SourceLike
from prolific_async._time_slices import TimeSlices
from prolific_async.dataset_schema import V4, DatasetSchema


class Source:
    """A source of a dataset's rows, checked in three steps.

    The constructor does no I/O; entering opens a file, or reads the first item of an iterable;
    ``payload`` encodes the rows for one generation of datasets. Leaving removes temporary files. An
    iterable is read in the event loop, a few milliseconds at a time, as it may be bound to a thread
    (a cursor of sqlite3 is), so an iterable that waits for something should be an async one. Files
    are read and written in threads.
    """

    def __init__(
        self, given: SourceLike, *, filename: str | None = None, key: str | None = None
    ) -> None:
        """Check the arguments.

        Args:
            given: The source.
            filename: Name of the uploaded file. Required for bytes; the default for a path is its
                last part, and for rows "rows.csv" or "rows.jsonl".
            key: Name of the column whose text is sent a second time, as ``META_ROW_KEY``.

        Raises:
            TypeError: ``given`` is no source; the message says what to pass.
            ValueError: The file name is missing or invalid, or the key is.

        """
        self._key = row_keys.checked_key(key)
        self._path = os.fsdecode(given) if isinstance(given, str | os.PathLike) else None
        self._filename = filename
        self._content: Content | None = None
        self._items: Items | None = None
        self._open_contents: list[Content] = []
        self._given: Any = given
        if self._path is not None:
            self._filename = _name_of(given, self._path) if filename is None else filename
        elif not recognition.is_bytes(given):
            recognition.check_iterable(given)
        elif filename is None:
            raise ValueError(_NAME_NEEDED)
        if self._filename is None or formats.format_of(self._filename) is not Format.ZIP:
            return
        if key is not None:
            raise ValueError("key needs rows or a file of text: a .zip is sent as it is")

    async def __aenter__(self) -> Self:
        """Open a file, read an iterable of bytes, or read the first row of an iterable of rows.

        Raises:
            TypeError: An item is neither bytes nor a row; the message says what to pass.
            ValueError: The source is empty, the path names no regular file, or bytes have no name.
            OSError: The file does not exist, or cannot be read.

        """
        try:
            await self._open()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close files and remove temporary ones; safe to call again."""
        contents, self._open_contents = self._open_contents, []
        if contents:
            # In a thread, as freeing the space of a large file takes time. Shielded, as a
            # cancellation would remove the call from the executor's queue.
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, _close, contents))

    async def payload(self, generation: int, schema: DatasetSchema | None = None) -> Payload:
        """Return the payload for a dataset; called once.

        Args:
            generation: ``dataset_schema.V3`` or ``V4``.
            schema: The schema of a V4 dataset.

        Raises:
            TypeError: A row is no mapping.
            ValueError: Datasets of this generation do not take the file; a row, a key or the
                encoding is wrong; or the source has no row.

        """
        for_rows = formats.ROWS[generation]
        name = f"rows{for_rows}" if self._filename is None else self._filename
        kind = formats.check_generation(name, generation)
        if self._items is not None and kind is not for_rows:
            raise ValueError(
                f"rows for this dataset are sent as rows{for_rows}, not as {brief(repr(name))}"
            )
        if self._key is not None and generation == V4:
            row_keys.check_schema(schema)
        key = None if self._key is None else RowKey(self._key)
        if self._items is not None:
            return await self._rows_payload(self._items, name, kind, key)
        return await self._file_payload(name, kind, key)

    async def _open(self) -> None:
        if self._path is not None:
            file = FileContent(self._path)
            self._close_at_exit(file)
            await file.open()
            self._content = file
        elif recognition.is_bytes(self._given):
            self._content = BytesContent(self._given)
            self._close_at_exit(self._content)
        elif isinstance(self._given, io.BufferedIOBase | io.RawIOBase):
            async with aclosing(_pieces_of(self._given)) as pieces:
                await self._read(Items(pieces))
        else:
            await self._read(Items(self._given))
        if self._content is not None and self._content.size == 0:
            raise ValueError("the source is empty")

    async def _read(self, items: Items) -> None:
        """Read all of an iterable of bytes, or the first row of an iterable of rows."""
        first = await items.first()
        if first is END:
            raise ValueError("the source is empty")
        if not recognition.first_is_bytes(first):
            self._items = items
            return
        if self._filename is None:
            raise ValueError(_NAME_NEEDED)
        self._content = await self._spooled(items)

    async def _spooled(self, items: Items) -> Spool:
        spool = Spool()
        self._close_at_exit(spool)
        slices = TimeSlices()
        number = 0
        async with aclosing(items.blocks()) as blocks:
            async for block in blocks:
                before = spool.size
                for piece in block:
                    if not recognition.is_bytes(piece):
                        raise TypeError(
                            f"item {number} (counted from 0) of the source is "
                            f"{type(piece).__name__}, though the first is bytes"
                        )
                    with flat(piece) as view:
                        for start in range(0, len(view), PIECE):
                            await spool.write(bytes(view[start : start + PIECE]))
                    number += 1
                items.adapt_block_size(len(block), spool.size - before)
                await slices.yield_if_due()
        await spool.finish()
        return spool

    async def _rows_payload(
        self, items: Items, name: str, kind: Format, key: RowKey | None
    ) -> Payload:
        encoder = CsvRows(key) if kind is Format.CSV else JsonRows(key)
        spool = Spool()
        self._close_at_exit(spool)
        slices = TimeSlices()
        async with aclosing(items.blocks()) as blocks:
            async for block in blocks:
                data = encoder.encode(block)
                items.adapt_block_size(len(block), len(data))
                await spool.write(data)
                await slices.yield_if_due()
        await spool.finish()
        if isinstance(encoder, JsonRows):
            return Payload(name, encoder.count, spool)
        head = encoder.header()
        if encoder.is_ragged:
            ragged, spool = spool, Spool()
            self._close_at_exit(spool)
            await encoder.fill_up(ragged, spool)
        return Payload(name, encoder.count, spool, head=head)

    async def _file_payload(self, name: str, kind: Format, key: RowKey | None) -> Payload:
        content = self._content
        assert content is not None  # noqa: S101 - it was opened
        if kind is Format.ZIP:
            return Payload(name, None, content)
        text = await text_checks.checked_text(content)
        check = text_checks.check_csv if kind is Format.CSV else text_checks.check_json_lines
        await check(content, text.start)
        if key is None:
            rows = max(1, text.lines - 1) if kind is Format.CSV else text.lines
            return Payload(name, rows, content, start=text.start, is_text=True)
        spool = Spool()
        self._close_at_exit(spool)
        rows = await write_with_keys(content, text.start, kind, key, spool)
        return Payload(name, rows, spool)

    def _close_at_exit(self, content: Content) -> None:
        self._open_contents.append(content)


def _name_of(given: object, path: str) -> str:
    name = Path(path).name
    try:
        formats.format_of(name)
    except ValueError as error:
        advice = "; text is taken for the path of a file" if isinstance(given, str) else ""
        raise ValueError(f"{error}{advice}") from None
    return name


async def _pieces_of(file: io.BufferedIOBase | io.RawIOBase) -> AsyncGenerator[bytes]:
    """Read a file that the caller opened, in threads; iterating over it would block the loop."""
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece
    if piece is None:
        raise ValueError(
            "the file is non-blocking and had nothing to read: it may not be at its end"
        )


def _close(contents: list[Content]) -> None:
    for content in contents:
        content.close()


_NAME_NEEDED = (
    "filename is needed for a source of bytes, as its ending tells the service the format; "
    "a path is given as text or as a Path, not as bytes"
)
