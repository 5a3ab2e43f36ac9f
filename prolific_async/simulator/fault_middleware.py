"""The middleware that applies faults to requests."""

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from typing import cast

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from prolific_async.simulator.faults import Fault, FaultQueue
from prolific_async.simulator.request_log import LOG_ENTRY

__all__ = ["apply_faults", "read_rest"]

_NO_FAULT = Fault()


def apply_faults(faults: FaultQueue, utc_now: Callable[[], datetime]) -> Middleware:
    """Return a middleware that spoils, replaces or drops responses.

    Args:
        faults: Says which request meets which fault.
        utc_now: Returns the time of the `Date` header. It is the clock of `created_at`, so that
            the two can be compared.
    """

    @web.middleware
    async def apply_fault(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = faults.take(request.method, request.rel_url.raw_path) or _NO_FAULT
        if fault.cut_request is not None:
            await _read(request, fault.cut_request)
            await asyncio.sleep(fault.delay)
            return _reset(request)
        if fault.reset == "before":
            await asyncio.sleep(fault.delay)
            return _reset(request)
        response = await _respond(fault, request, handler)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.reset:
            return _reset(request)
        response.headers.setdefault(hdrs.DATE, format_datetime(utc_now(), usegmt=True))
        if (fault.cut is None and fault.drip is None) or request.method == "HEAD":
            return response
        return await _send_in_pieces(request, response, fault)

    return apply_fault


async def read_rest(request: web.Request) -> None:
    """Read the rest of a request's body, and discard it."""
    with contextlib.suppress(web.RequestPayloadError):
        while await request.content.readany():
            pass


async def _read(request: web.Request, size: int) -> None:
    """Read `size` bytes of a request's body, or to its end; the log may have read it before."""
    with contextlib.suppress(web.RequestPayloadError):
        while size > 0 and (piece := await request.content.read(size)):
            size -= len(piece)


async def _respond(fault: Fault, request: web.Request, handler: Handler) -> web.Response:
    if fault.is_scripted:
        if fault.applied:
            await handler(request)
        # Else the connection is reset, and the client may lose the response.
        await read_rest(request)
        return fault.scripted_response()
    # The handlers of the service keep the whole body in memory, so that a fault can cut it.
    response = cast("web.Response", await handler(request))
    response.headers.update(fault.headers)
    return response


def _reset(request: web.Request) -> web.Response:
    """Reset the connection and return a response, which aiohttp then drops silently."""
    if request.transport is not None:
        # Without lingering, closing sends RST instead of FIN.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()
    return web.Response()


async def _send_in_pieces(
    request: web.Request, whole: web.Response, fault: Fault
) -> web.StreamResponse:
    """Send a response with its body cut, or byte by byte, or both."""
    body = cast("bytes", whole.body)
    entry = request[LOG_ENTRY]
    entry.update(status=whole.status)
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    body = body[: fault.cut]
    size = 1 if fault.drip is not None else len(body)
    with contextlib.suppress(ConnectionError):  # the client has gone
        await response.prepare(request)
        for start in range(0, len(body), size or 1):
            if start and fault.drip is not None:
                await asyncio.sleep(fault.drip)
            # Before the last byte is sent: a client in another thread may read the log then.
            entry.finished = start + size >= len(body)
            await response.write(body[start : start + size])
        # An orderly end, so that the client gets the bytes before it.
        if fault.cut is not None and request.transport is not None:
            request.transport.close()
    return response
