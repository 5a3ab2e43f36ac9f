"""A loopback server that gives scripted answers, and keeps the requests."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from prolific_async import ProlificClient
from tests.conftest import QUICK_POLL, QUICK_RETRY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "t0ken-of-nobody"
DATE = "Wed, 04 Mar 2026 05:06:07 GMT"


@frozen
class Received:
    """A request as the server received it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define
class Scripted:
    """The server.

    Attributes:
        answers: What the next requests get: a status and JSON, or None for a lost connection.
        received: The requests.
        url: Its address.

    """

    answers: list[tuple[int, Any] | None] = field(factory=list)
    received: list[Received] = field(factory=list)
    url: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().strip()
            line, *lines = head.split("\r\n")
            headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, target, _ = line.split(" ")
            self.received.append(Received(method, target, headers, body))
            answer = self.answers.pop(0)
            if answer is not None:
                status, data = answer
                sent = data if isinstance(data, bytes) else json.dumps(data).encode()
                top = f"HTTP/1.1 {status} X\r\nDate: {DATE}\r\nContent-Length: {len(sent)}\r\n"
                writer.write(top.encode() + b"Connection: close\r\n\r\n" + sent)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Return method and path of each request, without the prefix that all paths have."""
        prefix = "/api/v1/data-collection"
        return [(one.method, one.target.removeprefix(prefix)) for one in self.received]


@asynccontextmanager
async def scripted(
    *answers: tuple[int, Any] | None, **options: Any
) -> AsyncIterator[tuple[ProlificClient, Scripted]]:
    """Serve answers in their order, and yield a client of the server, and the server."""
    service = Scripted(list(answers))
    server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    quick: dict[str, Any] = {"retry": QUICK_RETRY, "poll": QUICK_POLL, "request_timeout": 2}
    try:
        async with ProlificClient(TOKEN, base_url=service.url, **quick | options) as client:
            yield client, service
        assert service.answers == []
    finally:
        server.close()
