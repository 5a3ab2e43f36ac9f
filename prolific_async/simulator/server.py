"""The service on a loopback port: reads requests, applies faults, sends answers."""

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime

import attrs
from aiohttp import HttpVersion11, web

from prolific_async.simulator.answers import Answer, error_answer
from prolific_async.simulator.bodies import MAX_BODY, NO_BODY, Body
from prolific_async.simulator.control import Control, is_control
from prolific_async.simulator.faults import Fault, FaultScript
from prolific_async.simulator.log import Arrival, RequestLog
from prolific_async.simulator.service import Call, Service

__all__ = ["HOST", "Server"]

HOST = "127.0.0.1"
_BACKLOG = 4096  # a thousand clients may connect at once
_SHUTDOWN = 0.01  # seconds that an answer under way is still given when the server closes
_NO_FAULT = Fault()


class Server:
    """Serves one service.

    Args:
        service: What answers the requests.
        script: The faults that requests meet.
        log: Where requests are noted.
        utc_now: The time of day that answers have as their Date.
        control: What answers requests to the simulator itself; None if nothing does.
    """

    def __init__(
        self,
        service: Service,
        script: FaultScript,
        log: RequestLog,
        utc_now: Callable[[], datetime],
        control: Control | None = None,
    ) -> None:
        self._service = service
        self._script = script
        self._log = log
        self._utc_now = utc_now
        self._control = control
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, port: int) -> int:
        """Listen; returns the port, which is a free one for 0. Raises OSError if it is taken."""
        # A handler whose client has gone is cancelled: its request is over at that moment.
        # Bodies are read to their end, but for broken ones, after which nothing can be read.
        server = web.Server(
            self._receive, access_log=None, handler_cancellation=True, lingering_time=0
        )
        # Not a runner and a site of aiohttp's: those lose the socket of a start that is cancelled.
        listener = await asyncio.get_running_loop().create_server(
            server, HOST, port, backlog=_BACKLOG, start_serving=False
        )
        try:
            await listener.start_serving()
        except BaseException:
            listener.close()
            raise
        self._server, self._listener = server, listener
        return int(listener.sockets[0].getsockname()[1])

    def listener(self) -> socket.socket:
        """Return a socket of its own for where clients are let in, for a `LoopWatch`."""
        if self._listener is None:
            raise RuntimeError("the server does not listen yet")
        descriptor = self._listener.sockets[0].fileno()
        return socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM)

    async def close(self) -> None:
        """Stop listening and drop every connection, answered or not."""
        if self._server is not None and self._listener is not None:
            self._listener.close()
            await self._server.shutdown(_SHUTDOWN)
            # Transports close their sockets in the next turn of the loop, which may be the last.
            await asyncio.sleep(0)

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if self._control is None or not is_control(path):
            return await self._handle(request)
        try:
            body = await _read(request)
        except web.RequestPayloadError:
            body = NO_BODY  # which is refused as no JSON
        authorization = request.headers.get("Authorization")
        answer = self._control.answer(request.method, path, authorization, body)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        arrival = self._log.arrive(
            method=request.method,
            path=request.rel_url.raw_path,
            query=request.query,
            headers=request.headers,
            at=asyncio.get_running_loop().time(),
        )
        try:
            body = await _read(request)
            self._log.keep_body(arrival, body)
            return await self._answer(request, arrival, body)
        except web.RequestPayloadError:
            return _as_response(arrival, self._dated(error_answer(400, "The body is broken.")))
        except Exception:
            # A `setup=` function raised: aiohttp logs the traceback and answers.
            arrival.note(status=500)
            raise
        finally:
            arrival.over = True

    async def _answer(
        self, request: web.BaseRequest, arrival: Arrival, body: Body
    ) -> web.StreamResponse:
        seen = arrival.seen
        fault = self._script.take(seen.method, seen.path) or _NO_FAULT
        answer = fault.answer
        if fault.reset != "before" and (answer is None or fault.applied):
            real = self._service.answer(
                Call(
                    method=seen.method,
                    path=seen.path,
                    query=seen.query,
                    authorization=request.headers.get("Authorization"),
                    body=body,
                )
            )
            answer = answer or real.with_headers(fault.headers)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if answer is None or fault.reset:
            arrival.over = True
            return _reset(request)
        answer = self._dated(answer)
        if (fault.cut is None and fault.drip is None) or request.method == "HEAD":
            return _as_response(arrival, answer)
        arrival.note(status=answer.status)
        return await _spoil(request, arrival, answer, fault)

    def _dated(self, answer: Answer) -> Answer:
        # By the clock that batches are created by, which a second clock might be ahead of.
        date = {"Date": format_datetime(self._utc_now(), usegmt=True)}
        return attrs.evolve(answer, headers=date).with_headers(answer.headers)


def _invite_body(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue`, which aiohttp's low-level server leaves to its handler."""
    expected = request.headers.get("Expect", "").lower() == "100-continue"
    if expected and request.version >= HttpVersion11 and request.body_exists and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read(request: web.BaseRequest) -> Body:
    """Read a request's body to its end, of which what is too long is not kept."""
    _invite_body(request)
    raw, size = bytearray(), 0
    while piece := await request.content.readany():
        size += len(piece)
        if size <= MAX_BODY:
            raw += piece
        else:
            raw.clear()
    return Body.decoded(bytes(raw)) if size <= MAX_BODY else Body.omitted(size)


def _as_response(arrival: Arrival, answer: Answer) -> web.StreamResponse:
    # Noted before it is sent: a client that has the answer finds its request in the log.
    arrival.note(status=answer.status)
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection. What is returned can't be sent any more; aiohttp drops it silently."""
    if request.transport is not None:
        # Without lingering, closing sends RST instead of FIN.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()
    return web.Response()


async def _spoil(
    request: web.BaseRequest, arrival: Arrival, answer: Answer, fault: Fault
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    body = answer.body[: fault.cut]
    piece = 1 if fault.drip is not None else len(body)
    with contextlib.suppress(ConnectionError):  # the client has gone
        await response.prepare(request)
        for begin in range(0, len(body), piece or 1):
            if begin and fault.drip is not None:
                await asyncio.sleep(fault.drip)
            # Before it is sent, as the status: a client in another thread may poll once.
            arrival.over = begin + piece >= len(body)
            await response.write(body[begin : begin + piece])
        # An orderly end, so that the client surely gets the bytes before it.
        if fault.cut is not None and request.transport is not None:
            request.transport.close()
    return response
