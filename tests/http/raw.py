"""A loopback server that sends given bytes, and a transport for requests to it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import ProlificError, RetryPolicy
from prolific_async._api import batches as api
from prolific_async._http.credentials import Token
from prolific_async._http.request import Request
from prolific_async._http.transport import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

TOKEN = "secret-of-the-account"
REQUEST = api.get_batch_status("b1")._replace(read=None)  # its response is of interest


def transport(url: str, **settings: Any) -> Transport:
    return Transport(
        Token(TOKEN),
        url,
        **(
            {
                "session": None,
                "request_timeout": 2.0,
                "max_connections": 10,
                "max_requests_per_second": None,
                "retry": RetryPolicy(),
                "trace_configs": (),
            }
            | settings
        ),
    )


@asynccontextmanager
async def serving(
    answer: bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    **listen: Any,
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve every request with a handler or bytes; yield the URL and the received heads."""
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **listen)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", heads
    finally:
        server.close()


def plain(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def failure(url: str, request: Request = REQUEST, **settings: Any) -> ProlificError:
    sender = transport(url, **settings)
    try:
        with pytest.raises(ProlificError) as caught:
            await sender.send(request)
        return caught.value
    finally:
        await sender.close()
