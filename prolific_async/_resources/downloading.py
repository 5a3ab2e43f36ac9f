"""``DownloadTarget``: the path of a download; the file appears there only when it is complete."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from prolific_async import _validation
from prolific_async._http.download import Download
from prolific_async._logging import log as _log
from prolific_async._message_parts import brief
from prolific_async._part_file import PartFile
from prolific_async.job_models import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._http.download import Piece
    from prolific_async._http.presigned import PresignedUrl
    from prolific_async._http.transport import Transport

_WRITE_SIZE = 1024 * 1024  # bytes per write: each also costs a call in a thread, like 100 KiB
_PROGRESS_STEP = 256 * 1024  # bytes after which progress is reported


class DownloadTarget:
    """The path to which a file is downloaded.

    Args:
        path: Path of the file.
        overwrite: Whether an existing file is replaced.
        on_progress: A plain function that is called with each ``Progress``, None for no callback.

    Attributes:
        path: Path of the file.

    Raises:
        TypeError: ``path`` is not text or a ``PathLike`` of text.
        ValueError: ``path`` is empty or contains a null character, or another argument is invalid.

    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool,
        on_progress: Callable[[Progress], object] | None,
    ) -> None:
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError("a path is given as text or as a Path, not as bytes")
        if not text or "\0" in text:
            raise ValueError(f"{brief(repr(text))} cannot be the path of a file")
        if not isinstance(overwrite, bool):
            raise ValueError(f"overwrite must be a bool: {brief(repr(overwrite))}")
        self.path = Path(text)
        self._on_progress = _validation.plain_function("on_progress", on_progress)
        self._new_part = partial(PartFile, text, overwrite=overwrite)

    async def check(self) -> None:
        """Check that a file may be written to the path.

        Raises:
            FileExistsError: The file exists, and ``overwrite`` is False.
            OSError: The path is a directory or a device, or its directory does not exist.

        """
        await _in_thread(self._new_part().check)

    async def fetch(
        self,
        transport: Transport,
        api_path: str,
        get_url: Callable[[], Awaitable[PresignedUrl]],
    ) -> Path:
        """Download the file, and return its path; the file appears there only when complete.

        Args:
            transport: The client's transport, for its settings.
            api_path: Path of the API call that returns the URL, for errors.
            get_url: Makes that API call.

        Raises:
            OSError: The file cannot be written or moved to its path; or as ``check``.
            ProlificError: As ``Download.pieces``.

        """
        part = self._new_part()
        writer = _Writer(part, self._on_progress)
        try:
            await _in_thread(part.open)
            async with aclosing(Download(transport, api_path, get_url).pieces()) as pieces:
                async for piece in pieces:
                    await writer.add(piece)
            await writer.finish()
            await _in_thread(part.place)
        except BaseException:
            # In a thread, as it takes time to free the space of a large file. Shielded, as a
            # cancellation would remove work that still waits for a thread.
            await asyncio.shield(_in_thread(part.discard))
            raise
        return self.path


@define(eq=False, repr=False)
class _Writer:
    """Writes pieces of a download in a thread, while the next ones arrive."""

    _part: PartFile
    _on_progress: Callable[[Progress], object] | None
    _began: float = field(factory=lambda: asyncio.get_running_loop().time(), init=False)
    _chunks: list[bytes] = field(factory=list, init=False)
    _start: int = field(default=0, init=False)  # position of the chunks in the file
    _end: int = field(default=0, init=False)
    _reported: int = field(default=0, init=False)
    _total: int | None = field(default=None, init=False)
    _writing: asyncio.Future[None] | None = field(default=None, init=False)

    async def add(self, piece: Piece) -> None:
        """Add a piece; once enough bytes have gathered, report progress and write them."""
        if piece.start != self._end:  # the download has started again
            self._chunks, self._start, self._reported = [], piece.start, piece.start
        self._chunks.append(piece.data)
        self._end = piece.start + len(piece.data)
        self._total = piece.total
        if self._end - self._reported >= _PROGRESS_STEP:
            self._report_progress()
        if self._end - self._start >= _WRITE_SIZE:
            await self._write()

    async def finish(self) -> None:
        """Write the remaining bytes, and return once they are written."""
        self._report_progress()
        await (await self._write())

    async def _write(self) -> asyncio.Future[None]:
        """Wait for the write before, then start to write the chunks."""
        if self._writing is not None:
            await self._writing
        self._writing = _in_thread(partial(self._part.write, self._start, self._chunks))
        self._writing.add_done_callback(_retrieve)
        self._chunks, self._start = [], self._end
        return self._writing

    def _report_progress(self) -> None:
        self._reported = self._end
        if self._on_progress is None:
            return
        elapsed = asyncio.get_running_loop().time() - self._began
        try:
            self._on_progress(Progress("download", self._end, self._total, "bytes", elapsed))
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whatever it raises
            _log.error("on_progress raised", exc_info=True)


def _in_thread(work: Callable[[], None]) -> asyncio.Future[None]:
    return asyncio.get_running_loop().run_in_executor(None, work)


def _retrieve(future: asyncio.Future[None]) -> None:
    """Retrieve the error of a future that nobody awaits any more, else asyncio would log it."""
    if not future.cancelled():
        future.exception()
