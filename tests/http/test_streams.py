"""Streamed bodies, which may be long, but not slow."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from prolific_async import (
    BadRequestError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
)
from tests.http.raw import REQUEST, TOKEN, plain, serving, transport

if TYPE_CHECKING:
    from prolific_async._http.transport import Transport

MIB = 2**20
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


async def read(sender: Transport) -> list[bytes]:
    async with sender.stream(REQUEST) as chunks:
        return [chunk async for chunk in chunks]


async def read_from(answer: Any, **settings: Any) -> bytes:
    async with serving(answer) as (url, _):
        sender = transport(url, **settings)
        try:
            return b"".join(await read(sender))
        finally:
            await sender.close()


async def test_a_body_is_yielded_as_it_comes() -> None:
    more = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"first", length=11))
        await more.wait()
        writer.write(b"second")

    async with serving(answer) as (url, heads):
        sender = transport(url)
        async with sender.stream(REQUEST) as chunks:
            assert await anext(chunks) == b"first"
            more.set()
            assert [chunk async for chunk in chunks] == [b"second"]
        await sender.close()
    assert b"\r\nAuthorization: Token " in heads[0]


async def test_a_streamed_body_may_be_larger_than_64_mib() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {80 * MIB}\r\n\r\n".encode())
        for _ in range(80):
            writer.write(b" " * MIB)
            await writer.drain()

    async with serving(answer) as (url, _):
        sender = transport(url)
        size = most = 0
        async with sender.stream(REQUEST) as chunks:
            async for chunk in chunks:
                size, most = size + len(chunk), max(most, len(chunk))
        await sender.close()
    assert size == 80 * MIB
    assert most < MIB


async def test_a_compressed_body_is_decompressed() -> None:
    packed = gzip.compress(b"text " * 1000)
    assert await read_from(plain(packed, "Content-Encoding: gzip")) == b"text " * 1000


def in_pieces(size: int, number: int) -> Any:
    """Serve a body in pieces of a size, one each 30 ms."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"", length=size * number))
        for _ in range(number):
            await asyncio.sleep(0.03)
            writer.write(b"x" * size)

    return answer


async def test_request_timeout_applies_to_each_piece_of_a_long_body() -> None:
    size = 256 * 1024
    assert len(await read_from(in_pieces(size, 8), request_timeout=0.12)) == 8 * size


async def test_a_dripping_body_is_timed_out() -> None:
    with pytest.raises(RequestTimeoutError):
        await read_from(in_pieces(1, 50), request_timeout=0.12)


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"x")
    await reader.read()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"x")
    await writer.drain()
    writer.transport.abort()


async def reset_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


ENDS: dict[str, tuple[Any, type[Exception]]] = {
    "silent": (silent, RequestTimeoutError),
    "stalled": (stall, RequestTimeoutError),
    "reset": (reset, ConnectionLostError),
    "reset at once": (reset_at_once, ConnectionLostError),
    "cut": (plain(b"x", length=1000), ConnectionLostError),
    "not gzip": (plain(b"not gzip" * 100, "Content-Encoding: gzip"), DecodeError),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", DecodeError),
    "404": (plain(b'{"detail": "gone"}', status="404 Not Found"), NotFoundError),
    "429": (plain(b"", status="429 Too Many Requests"), RateLimitedError),
    "an echo": (plain(f'{{"detail": "{TOKEN}"}}'.encode(), status="400 No"), BadRequestError),
}


@pytest.mark.parametrize(("answer", "kind"), ENDS.values(), ids=ENDS)
async def test_failures_of_a_stream_are_errors_of_the_package(
    answer: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        await read_from(answer, request_timeout=0.1)
    assert TOKEN not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


async def test_a_429_to_a_stream_slows_the_client_down() -> None:
    async with serving(plain(b"", status="429 Too Many Requests")) as (url, _):
        sender = transport(url)
        with pytest.raises(RateLimitedError):
            await read(sender)
        assert sender._session is not None
        assert sender._session.rate_limiter._slowed_at is not None
        await sender.close()


async def test_no_connection(port: int) -> None:
    sender = transport(f"http://127.0.0.1:{port}")
    with pytest.raises(ConnectError):
        await read(sender)
    await sender.close()


async def test_leaving_a_stream_frees_its_slot() -> None:
    async with serving(stall) as (url, heads):
        sender = transport(url, max_connections=1)
        for _ in range(3):
            async with sender.stream(REQUEST) as chunks:
                await anext(chunks)
        with pytest.raises(ValueError, match="of the reader"):
            async with sender.stream(REQUEST):
                raise ValueError("of the reader")
        reading = asyncio.create_task(read(sender))
        while len(heads) < 5:
            await asyncio.sleep(0.001)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        async with sender.stream(REQUEST) as chunks:
            assert await anext(chunks) == b"x"
        await sender.close()


async def test_a_stream_waits_for_a_slot() -> None:
    async with serving(stall) as (url, heads):
        sender = transport(url, max_connections=1)
        async with sender.stream(REQUEST) as chunks:
            await anext(chunks)
            other = asyncio.create_task(read(sender))
            await asyncio.sleep(0.02)
            assert len(heads) == 1
        while len(heads) < 2:
            await asyncio.sleep(0.001)
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        await sender.close()


@pytest.mark.parametrize("borrowed", [True, False])
@pytest.mark.parametrize("waiting", [True, False])
async def test_closing_ends_it(
    borrowed: bool,  # noqa: FBT001 - a case
    waiting: bool,  # noqa: FBT001 - a case
) -> None:
    session = aiohttp.ClientSession() if borrowed else None
    async with serving(stall) as (url, _):
        sender = transport(url, session=session, request_timeout=30)
        async with sender.stream(REQUEST) as chunks:
            await anext(chunks)
            if waiting:
                more = asyncio.create_task(chunks.__anext__())
                await asyncio.sleep(0.01)
            await sender.close()
            with pytest.raises(ConnectionLostError, match="closed"):
                await (more if waiting else anext(chunks))
        with pytest.raises(ConfigurationError, match="closed"):
            await read(sender)
    if session is not None:
        await session.close()


@pytest.mark.parametrize("owner", ["client", "caller"])
async def test_closing_the_client_closes_the_connection_of_a_stream_that_nobody_goes_on_with(
    owner: str,
) -> None:
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stall(reader, writer)  # until the client closes the connection
        ended.set()

    async with serving(answer) as (url, _), aiohttp.ClientSession() as session:
        sender = transport(url, session=session if owner == "caller" else None)
        async with sender.stream(REQUEST) as chunks:
            assert await anext(chunks) == b"x"
            await sender.close()
            async with asyncio.timeout(2):
                await ended.wait()
            with pytest.raises(ConnectionLostError, match="closed"):
                await anext(chunks)
