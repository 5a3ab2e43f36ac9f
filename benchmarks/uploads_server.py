"""A dataset of V3 and its storage, in a process of its own that reads a body and drops it.

It reads as fast as a server in Python can, so that the client is what is measured, and sends its
response only to a request whose body had the length that its header tells.
"""

import asyncio
import gc
import json
import pickle
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import attrs

from benchmarks.static_server import (
    HEAD_END,
    ServerProcess,
    content_length,
    server_process,
    whole_response,
)

DATASET = "018f2b7e-7d3c-7a10-9c55-000000000000"
STORAGE = "/storage/rows.csv"
BUFFER = 256 * 1024  # bytes read at once

_DATASET = {
    "id": DATASET,
    "name": "Summaries",
    "created_at": "2026-03-11T09:24:17.482000Z",
    "created_by": "5f2d4c8a9b1e7a0012ab34cd",
    "status": "UNINITIALISED",
    "total_datapoint_count": 0,
    "workspace_id": "6061a2b3c4d5e6f700000000",
}


@attrs.frozen
class Stored:
    """The newest upload: its number of bytes and their CRC-32, 0 if none was computed."""

    size: int = 0
    crc: int = 0


class Service:
    """Responds to the three requests of an upload, and to the PUT of a bare HTTP client.

    Attributes:
        checks: Whether the CRC of uploads is taken, which costs more than reading them.
        stored: The newest upload.

    """

    def __init__(self) -> None:
        self.url = ""
        self.checks = False
        self.stored = Stored()

    def respond(self, request_line: bytes) -> bytes:
        method, target, _ = request_line.split(b" ")
        path = target.partition(b"?")[0].decode()
        if (method, path) == (b"PUT", STORAGE):
            return whole_response(200, b"")
        if path.endswith(f"/datasets/{DATASET}"):
            return whole_response(200, json.dumps(_DATASET).encode())
        if path.endswith("/upload-url/rows.csv"):
            link = {
                "upload_url": f"{self.url}{STORAGE}",
                "http_method": "PUT",
                "content_type": "text/csv",
            }
            return whole_response(201, json.dumps(link).encode())
        return whole_response(404, b'{"detail": "No such route"}')


class Connection(asyncio.BufferedProtocol):
    """Reads one request after the other, the body of each into the same buffer."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = memoryview(bytearray(BUFFER))
        self._head = b""
        self._size = self._left = self._crc = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = self._buffer[:nbytes]
        if not self._left:
            self._head += data
            end = self._head.find(HEAD_END)
            if end < 0:
                return
            data = memoryview(self._head)[end + len(HEAD_END) :]
            self._size = self._left = content_length(self._head[:end])
            self._crc = 0
        if len(data) > self._left:
            raise RuntimeError(f"{len(data) - self._left} bytes too many")
        if self._service.checks:
            self._crc = zlib.crc32(data, self._crc)
        self._left -= len(data)
        if not self._left:
            if self._size:
                self._service.stored = Stored(self._size, self._crc)
            self._transport.write(self._service.respond(self._head.partition(b"\r\n")[0]))
            self._head = b""


class Handle:
    """Controls the server from the measuring process."""

    def __init__(self, server: ServerProcess) -> None:
        self.url = server.url
        self._server = server

    def stored(self, *, checks: bool = False) -> Stored:
        """Return the newest upload, and set whether the CRC of the next ones is computed."""
        self._server.stdin.write(f"{int(checks)}\n".encode())
        self._server.stdin.flush()
        return Stored(*json.loads(self._server.stdout.readline()))


@contextmanager
def serving_uploads() -> Iterator[Handle]:
    with server_process("benchmarks.uploads_server", None) as server:
        yield Handle(server)


async def main() -> None:
    pickle.load(sys.stdin.buffer)
    service = Service()
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Connection(service), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        service.url = f"http://127.0.0.1:{port}"
        print(port, flush=True)
        # The parent holds the other end of the pipe, so this ends with it, however it ends.
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            service.checks = line == b"1\n"
            print(json.dumps(attrs.astuple(service.stored)), flush=True)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main())
