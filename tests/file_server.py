"""A loopback server of one file: it serves ranges, and cuts responses where a test says."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attrs import define, field

from prolific_async._http.presigned import PresignedUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

SECRET = "5ca1ab1e" * 8
WEAK = 'W/"v1"'


@define
class FileServer:
    """The server.

    Attributes:
        content: The file.
        etag: Its ETag, None for none.
        ranges: Whether it serves ranges.
        heeds_if_range: Whether it compares ETags.
        cuts: After how many bytes of the body each response ends; None for one that is whole.
        answers: Responses as they are, instead of the file.
        before: Called with the number of each request, from 1, before it is answered.
        chunked: Whether it does not tell the length.
        stall: Seconds for which it stands still instead of cutting.
        headers: More headers.
        received: The heads of the requests.

    """

    content: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    heeds_if_range: bool = True
    cuts: Iterator[int | None] = field(factory=lambda: iter(()))
    answers: list[bytes | None] = field(factory=list)
    before: Callable[[int], object] = lambda _: None
    chunked: bool = False
    stall: float = 0.0
    headers: tuple[str, ...] = ()
    received: list[str] = field(factory=list)
    url: str = ""

    def link(self, number: int = 1, expires: float | None = None) -> PresignedUrl:
        text = f"{self.url}/file/{number}?X-Amz-Signature={SECRET}"
        return PresignedUrl(text, method="GET", expires=expires)

    async def get_url(self) -> PresignedUrl:
        return self.link()

    @property
    def asked(self) -> list[str]:
        """The range that each request asked for, "" for the whole."""
        found = (re.search(r"\r\nRange: (.*)\r\n", head) for head in self.received)
        return [one[1] if one else "" for one in found]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.received.append(head)
            self.before(len(self.received))
            if self.answers:
                if (answer := self.answers.pop(0)) is not None:
                    writer.write(answer)
            else:
                await self._serve(head, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve(self, head: str, writer: asyncio.StreamWriter) -> None:
        asked = re.search(r"Range: bytes=(\d+)-\r\n", head)
        condition = re.search(r"If-Range: (.*)\r\n", head)
        start = int(asked[1]) if asked and self.ranges else 0
        if condition and self.heeds_if_range and condition[1] != self.etag:
            start = 0
        size = len(self.content)
        status = "206 Partial Content" if start else "200 OK"
        body = self.content[start:]
        lines = [f"HTTP/1.1 {status}", "Connection: close", *self.headers]
        if start >= size > 0:
            lines[0] = "HTTP/1.1 416 Range Not Satisfiable"
            start, body = 0, b""
        if start:
            lines.append(f"Content-Range: bytes {start}-{size - 1}/{size}")
        if self.etag:
            lines.append(f"ETag: {self.etag}")
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        else:
            lines.append(f"Content-Length: {len(body)}")
        cut = next(self.cuts, None)
        sent = body[:cut]
        if self.chunked:
            sent = b"%x\r\n%b\r\n" % (len(sent), sent) if sent else b""
            sent += b"0\r\n\r\n" if cut is None else b""
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)
        if cut is not None and self.stall:
            await writer.drain()
            await asyncio.sleep(self.stall)


@asynccontextmanager
async def file_server(content: bytes, **options: object) -> AsyncIterator[FileServer]:
    """Serve a file."""
    service = FileServer(content, **options)  # type: ignore[arg-type]  # its own checks suffice
    server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        server.close()
