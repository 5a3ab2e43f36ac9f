"""The body of an upload, as aiohttp sends it: piece by piece, with reports of its progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

import aiohttp

from prolific_async._logging import log as _log
from prolific_async._time_slices import TimeSlices

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from prolific_async._http.upload_stall import Stall


class Payload(Protocol):
    """The bytes to upload, which can be read again for each attempt.

    Attributes:
        failure: The exception that the latest reading raised, None for none.

    """

    failure: Exception | None

    @property
    def size(self) -> int:
        """Number of bytes."""

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield all bytes from the start, in chunks small enough for the stall limit."""


class UploadBody(aiohttp.Payload):
    """The request body of one attempt of an upload.

    Args:
        payload: The bytes to send.
        stall: Time limit of the attempt; reading the source does not count.
        on_progress: Called with the bytes sent so far; what it raises is logged.

    Attributes:
        may_have_been_sent: Whether a byte of the request may have been sent.
        left: Number of bytes not yet handed to the connection.

    """

    def __init__(
        self, payload: Payload, stall: Stall, on_progress: Callable[[int], object] | None
    ) -> None:
        super().__init__(payload)
        self._size = payload.size
        self._payload = payload
        self._stall = stall
        self._on_progress = on_progress
        self.may_have_been_sent = False
        self.left = self._size

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002 - always the payload's size
    ) -> None:
        """Write the whole payload to the connection, and report the progress."""
        stall = self._stall
        self.may_have_been_sent = True
        stall.transport = writer.transport
        sent = 0
        slices = TimeSlices()
        stall.pause()
        try:
            async with aclosing(self._payload.chunks()) as chunks:
                async for chunk in chunks:
                    stall.resume()
                    self.left -= len(chunk)
                    await writer.write(chunk)
                    stall.moved += len(chunk)
                    sent += len(chunk)
                    self._tell(sent)
                    await slices.yield_if_due()  # if neither source nor connection has to wait
                    stall.pause()
        finally:
            stall.resume()

    def _tell(self, sent: int) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(sent)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - it must not end the upload
            _log.error("on_progress raised", exc_info=True)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the whole payload to the connection, and report the progress."""
        await self.write_with_length(writer, None)

    def decode(self, *_: str) -> str:
        """Raise TypeError: an upload is never in memory as a whole."""
        raise TypeError("an upload is streamed, so it cannot be decoded to text")
