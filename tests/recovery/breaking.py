"""A proxy between client and simulator that breaks an exchange at a chosen byte."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

import pytest
from attrs import define, field, frozen
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Side: TypeAlias = Literal["request", "answer"]
Ending: TypeAlias = Literal["reset", "close", "stall", "late"]
Peer: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

EVERY = [7, pytest.param(1, marks=pytest.mark.slow)]
"""From one byte at which a quick test, and a slow one, breaks an exchange to the next."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@frozen
class Break:
    """Where an exchange ends, and how.

    Attributes:
        side: Whether the request or the response breaks. If the response does, the request ran.
        at: How many of its bytes get through.
        ending: "reset" or an orderly "close" of both connections; "stall": nothing more comes;
            "late", of a request: nothing gets through until the client has gone, then all of it.

    """

    side: Side
    at: int
    ending: Ending


@define
class Proxy:
    """Forwards requests and responses, but for those that meet a break.

    Attributes:
        service: Where requests are passed on to.
        breaks: What the next requests meet whose path ends so, first in first out.
        posts: The POSTs that began, as far as they were read, with the whole responses.
        port: Where it listens; a free one for 0.

    """

    service: URL
    breaks: list[tuple[str, Break]] = field(factory=list)
    posts: list[tuple[bytes, bytes]] = field(factory=list)
    port: int = 0
    _open: set[asyncio.Task[object] | None] = field(factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            connections = [task for task in self._open if task is not None]
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._open.add(task)
        client = reader, writer
        service = await asyncio.open_connection(self.service.host, self.service.port)
        try:
            # A peer that disconnects, or the end of the proxy, is no error.
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._exchange(client, service):
                    pass
        finally:
            writer.close()
            service[1].close()
            self._open.discard(task)

    async def _exchange(self, client: Peer, service: Peer) -> bool:
        """Forward one request and its response; return whether the connection stays open."""
        line = await client[0].readuntil(b"\r\n")
        broken = self._take(line.split()[1].decode())
        index = len(self.posts)
        is_post = line.startswith(b"POST ")
        if is_post:
            self.posts.append((line, b""))
        if broken is not None and broken.side == "request" and broken.ending != "late":
            # Reads no more than it forwards, so that a large request breaks while it is sent.
            line += await client[0].readexactly(max(0, broken.at - len(line)))
            service[1].write(line[: broken.at])
            for peer in (service, client):
                await _end(peer, broken.ending, gone=client[0])
            return False
        request = await _message(client[0], line)
        if is_post:
            self.posts[index] = (request, b"")
        if broken is not None and broken.ending == "late":
            await client[0].read()
        service[1].write(request)
        answer = await _message(service[0])
        if is_post:
            self.posts[index] = (request, answer)
        if broken is None:
            client[1].write(answer)
            return True
        client[1].write(answer[: broken.at])
        await _end(client, broken.ending, gone=client[0])
        return False

    def _take(self, target: str) -> Break | None:
        path = target.partition("?")[0]
        for index, (route, broken) in enumerate(self.breaks):
            if path.endswith(route):
                del self.breaks[index]
                return broken
        return None


@asynccontextmanager
async def breaking(service: str) -> AsyncIterator[Proxy]:
    """Listen in front of a service."""
    async with Proxy(URL(service)).listening() as proxy:
        yield proxy


async def _message(reader: asyncio.StreamReader, begun: bytes = b"") -> bytes:
    """Read a whole request or response; all of them state their length."""
    head = begun + await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


async def _end(peer: Peer, ending: Ending, *, gone: asyncio.StreamReader) -> None:
    writer = peer[1]
    if ending == "stall":
        await gone.read()
    elif ending == "reset":
        # Without lingering, closing sends RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    else:
        writer.close()
