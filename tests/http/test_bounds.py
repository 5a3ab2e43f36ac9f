"""Bounds of every part of a response, aiohttp's or ours."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import DecodeError, ProlificError, RequestTimeoutError, ServerError
from tests.http.raw import REQUEST, failure, plain, serving, transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BODY = b'{"status": "READY"}'
MIB = 2**20
MOST, SHOWN = 64 * MIB, 64 * 1024  # bytes of a body, as README says
UNPACKED = 128 * MIB


def without_end(
    head: bytes, piece: bytes
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return answer


def bomb(window: int) -> bytes:
    """Return spaces, compressed a thousandfold into a single stream."""
    packer = zlib.compressobj(wbits=window)
    return b"".join(packer.compress(b" " * MIB) for _ in range(UNPACKED // MIB)) + packer.flush()


async def read(answer: bytes) -> Any:
    async with serving(answer) as (url, _):
        sender = transport(url)
        try:
            return (await sender.send(REQUEST)).data
        except ProlificError as error:
            return error
        finally:
            await sender.close()


# --- the head, by aiohttp's own limits -------------------------------------------------------


@pytest.mark.parametrize(
    ("fits", "too_much"),
    [
        (
            plain(BODY, *(f"X-{number}: 1" for number in range(126))),
            plain(BODY, *(f"X-{number}: 1" for number in range(127))),
        ),
        (plain(BODY, "X: " + "v" * 8190), plain(BODY, "X: " + "v" * 8191)),
        (plain(BODY, "n" * 8180 + ": v"), plain(BODY, "n" * 8191 + ": v")),
        (plain(BODY, status="200 " + "r" * 8190), plain(BODY, status="200 " + "r" * 8191)),
    ],
    ids=["128 headers", "8190 of a value", "8190 of a name", "8190 of a reason"],
)
async def test_the_head_is_bounded(fits: bytes, too_much: bytes) -> None:
    assert await read(fits) == {"status": "READY"}
    error = await read(too_much)
    assert isinstance(error, DecodeError)
    assert error.problems[0].startswith("$: not HTTP (")
    assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"x" * 1000),
        (b"HTTP/1.1 200 ", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\n", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: 1\r\n" * 100),
    ],
    ids=["nothing of HTTP", "reason", "headers", "name", "value", "trailers"],
)
async def test_a_head_that_never_ends_is_refused(head: bytes, piece: bytes) -> None:
    async with serving(without_end(head, piece)) as (url, _):
        assert isinstance(await failure(url), DecodeError)


async def test_malformed_trailers_are_a_decode_error() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.02)
        writer.write(b"0\r\n" + b"X: 1\r\n" * 200 + b"\r\n")

    async with serving(answer) as (url, _):
        assert isinstance(await failure(url), DecodeError)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 100),
    ],
    ids=["100 Continue", "chunk size", "chunk extension", "tiny chunks"],
)
async def test_an_endless_response_without_content_is_timed_out(head: bytes, piece: bytes) -> None:
    tracemalloc.start()
    try:
        async with serving(without_end(head, piece)) as (url, _):
            error = await failure(url, request_timeout=0.2)
        assert isinstance(error, RequestTimeoutError)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


# --- the body, by our own --------------------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
@pytest.mark.parametrize(
    "headers",
    ["Content-Length: 2147483648", "Connection: close"],
    ids=["announced", "not announced"],
)
async def test_a_body_of_2_gb_is_refused_while_it_is_read(headers: str, status: str) -> None:
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n".encode())
        while sent < 2048 * MIB:
            writer.write(b" " * MIB)
            await writer.drain()
            sent += MIB

    async with serving(flood) as (url, _):
        error = await failure(url, request_timeout=20)
    if status == "200 OK":
        assert isinstance(error, DecodeError)
        assert error.body is None
        assert sent < 100 * MIB
    else:
        assert isinstance(error, ServerError)
        assert len(error.body) <= SHOWN
        assert sent < 10 * MIB


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", -15)], ids=str)
async def test_a_bomb_is_refused_in_bounded_memory(encoding: str, window: int) -> None:
    packed = bomb(window)
    assert len(packed) < UNPACKED // 500
    async with serving(plain(packed, f"Content-Encoding: {encoding}")) as (url, _):
        tracemalloc.start()
        try:
            error = await failure(url, request_timeout=20)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(error, DecodeError)
    assert error.problems == (f"$: more than {MOST} bytes",)
    assert error.body is None
    assert peak < MOST + 8 * MIB


async def test_a_bomb_of_many_members_is_refused() -> None:
    packer = zlib.compressobj(wbits=31)
    members = (packer.compress(b" " * MIB) + packer.flush()) * 80
    async with serving(plain(members, "Content-Encoding: gzip")) as (url, _):
        error = await failure(url, request_timeout=20)
    assert isinstance(error, DecodeError)


async def test_a_body_of_just_the_bound_is_read() -> None:
    assert await read(plain(BODY.ljust(MOST))) == {"status": "READY"}
    assert isinstance(await read(plain(BODY.ljust(MOST + 1))), DecodeError)


@pytest.mark.parametrize("shape", ['{"detail": "%s"}', '{"detail": ["%s"]}', "%s"])
async def test_megabytes_of_detail_make_a_short_sentence(shape: str) -> None:
    error = await read(plain((shape % ("long " * MIB)).encode(), status="500 Oops"))
    assert isinstance(error, ServerError)
    assert len(str(error)) < 900
    assert len(repr(error)) < 900
    assert SHOWN // 2 < len(error.body) <= SHOWN
