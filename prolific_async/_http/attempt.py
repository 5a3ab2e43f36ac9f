"""One attempt of a request, which is sent over a live connection when the rate limiter allows.

It records whether anything was sent: a request of which nothing was sent may be sent again.
"""

from __future__ import annotations

import asyncio
import math
import select
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import aiohttp
from aiohttp import hdrs

from prolific_async._http.request import JSON
from prolific_async._tracebacks import without_frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from types import TracebackType

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection
    from yarl import URL

    from prolific_async._http.rate_limiter import RateLimiter
    from prolific_async._http.session import LoopSession
    from prolific_async._http.time_limit import TimeLimit

    _Send: TypeAlias = Callable[[Connection], Coroutine[Any, Any, aiohttp.ClientResponse]]

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # our TimeLimit is used instead
# Loop iterations in which input is read: closing a TLS connection takes a few.
_ROUNDS = 10
LOST_CONNECTION_ERRORS = (ConnectionError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)
"""Exceptions of a lost connection. After the last two, aiohttp itself resends a GET or a PUT; it
wraps a plain ConnectionError in one of them."""


class Body(aiohttp.BytesPayload):
    """A request body that checks the connection before aiohttp writes headers and body to it.

    Attributes:
        rate_limiter: A rate limiter that must not slow requests down when the body is written; None
            if the request has waited for it before.
        is_connected: Whether aiohttp had a connection to write the request to.
        may_have_been_sent: Whether a byte of the request may have been sent.

    """

    def __init__(self, body: bytes, content_type: str = JSON) -> None:
        # BytesPayload's own would warn of more than 1 MiB; the slices of ``append`` have up to 4.
        super(aiohttp.BytesPayload, self).__init__(body, content_type=content_type)
        self._size = len(body)
        self.rate_limiter: RateLimiter | None = None
        self.is_connected = False
        self.may_have_been_sent = False

    def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> Coroutine[Any, Any, None]:
        """Write headers and body.

        Raises:
            ConnectionError: The server closed the connection, or the rate limiter slows requests
                down; nothing was written.

        """
        self.is_connected = True
        if self.rate_limiter is not None and self.rate_limiter.slows:
            raise ConnectionError("a 429 came while the request waited for its connection")
        protocol = writer.protocol  # type: ignore[attr-defined]  # each writer has it
        if not _is_quiet(protocol):
            return self._write_checked(protocol, writer, content_length)
        self.may_have_been_sent = True
        return super().write_with_length(writer, content_length)

    async def _write_checked(
        self, protocol: Any, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await _check_alive(protocol)
        self.may_have_been_sent = True
        await super().write_with_length(writer, content_length)


class LostConnection(aiohttp.ClientConnectionError):
    """A lost connection, as an error after which aiohttp does not resend the request."""


class Timed:
    """Context manager that raises TimeoutError in its task when the time limit is over.

    The cancellation rules are those of ``asyncio.timeout``.
    """

    __slots__ = ("_cancelling", "_expired", "_limit", "_task")

    _task: asyncio.Task[object]

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self._expired = False

    def interrupt(self) -> None:
        """Interrupt the task; if it is running, as soon as it awaits something in the block."""
        task = getattr(self, "_task", None)
        if task is None:  # the block has ended meanwhile
            return
        if task is asyncio.current_task(self._limit.loop):
            # A callback in this task closes the client: a cancellation now might outlive the block.
            self._limit.loop.call_soon(self.interrupt)
            return
        self._expired = True
        task.cancel()

    def pause(self) -> None:
        """Stop the clock; ``resume`` starts it again with the full time limit."""
        self._limit.deadlines.pop(self, None)

    def resume(self) -> None:
        """Start the clock with the full time limit, unless the limit has already expired."""
        limit = self._limit
        if not self._expired:
            deadline = limit.deadlines[self] = limit.loop.time() + limit.seconds
            if limit.timer is None:
                limit.arm(deadline)

    def __enter__(self) -> Self:
        # Looking up the running loop is a system call before Python 3.12, so the loop is given.
        task = asyncio.current_task(self._limit.loop)
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self.resume()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_over = False
        if not self._expired:
            self._limit.deadlines.pop(self, None)
        # Somebody else's cancellation that came at the same time must not be swallowed.
        elif self._task.uncancel() <= self._cancelling:
            is_over = kind is asyncio.CancelledError
        del self._task  # else task and error form a reference cycle
        if is_over:
            raise TimeoutError from error


class Attempt(Timed):
    """One attempt of a request, over a second connection if the first had ended unused.

    aiohttp sends a GET again by itself when a kept-alive connection breaks, however much of it was
    sent. That would bypass the rate limit and the retry policy, so it is prevented: the attempt is
    a middleware, too, the innermost one, next to the connection.

    Args:
        session: The session. Its rate limiter decides when a connected request may be sent; that
            wait does not count towards the time limit.
        body: The request's body, None for none.
        content_type: Media type of the body.

    Attributes:
        body: The body to give to aiohttp, None for none.
        is_answered: Set by the caller when aiohttp has returned the response, after all callbacks.
        sent_at: Loop time at which the request was sent over its connection, None if nothing held
            it back there. Requests that a 429 slows down have it.

    """

    __slots__ = (
        "_body_checks",
        "_is_connected",
        "_is_second_try",
        "_may_have_been_sent",
        "_send_over",
        "_session",
        "body",
        "is_answered",
        "sent_at",
    )

    _send_over: _Send

    def __init__(self, session: LoopSession, body: bytes | None, content_type: str = JSON) -> None:
        super().__init__(session.time_limit)
        self._session = session
        self.body = None if body is None else Body(body, content_type)
        self._is_connected = False
        self._is_second_try = False
        self._may_have_been_sent = False
        self.is_answered = False
        self.sent_at: float | None = None

    @property
    def may_have_been_sent(self) -> bool:
        """Whether a byte of the request may have been sent to the service."""
        return self._may_have_been_sent or (self.body is not None and self.body.may_have_been_sent)

    def request(
        self, method: str, url: URL, time_limit: float = math.inf
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Send the request; ``time_limit`` is a second time limit, in seconds."""
        session = self._session
        if (
            self.body is None
            or session.middlewares
            or session.http.trace_configs
            or session.changes_bodies
            or session.rate_limiter.slows
        ):
            return self._request(method, url, time_limit, (*session.middlewares, self))
        return self._request_without_middleware(self.body, method, url, time_limit)

    # A middleware costs 3 % of a whole request. None is needed where nobody observes the request,
    # the body checks the connection, and aiohttp never sends it again: a POST or a PATCH.
    async def _request_without_middleware(
        self, body: Body, method: str, url: URL, time_limit: float
    ) -> aiohttp.ClientResponse:
        body.rate_limiter = self._session.rate_limiter
        try:
            response = await self._request(method, url, time_limit, ())
            if body.may_have_been_sent or _is_of_mock(response, body):
                return response
            response.close()  # as in __call__
        except (*LOST_CONNECTION_ERRORS, aiohttp.ClientResponseError) as error:
            if body.may_have_been_sent or not body.is_connected:
                raise
            without_frames(error)  # else aiohttp's frame and the error form a reference cycle
        self._is_second_try = True
        body.rate_limiter = None
        await _notice_closed_connections()
        return await self._request(method, url, time_limit, (self,))

    def _request(
        self,
        method: str,
        url: URL,
        time_limit: float,
        middlewares: tuple[aiohttp.ClientMiddlewareType, ...],
    ) -> Awaitable[aiohttp.ClientResponse]:
        session = self._session
        headers = session.headers
        if headers and self.body is not None:  # else a session's own Content-Type would be sent
            headers = headers.copy()
            headers[hdrs.CONTENT_TYPE] = self.body.content_type
        return session.http.request(
            method,
            url,
            data=self.body,
            headers=headers,
            middlewares=middlewares,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=True,
            timeout=_NO_TIMEOUT
            if time_limit >= self._limit.seconds
            else aiohttp.ClientTimeout(total=time_limit, ceil_threshold=math.inf),
        )

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request, over a second connection if the first ended before anything was sent.

        Raises:
            LostConnection: The connection ended, and aiohttp must not send the request again.

        """
        self._is_connected = False
        # A middleware of a borrowed session may have given the request another body.
        self._body_checks = self.body is not None and request.body is self.body
        send, send_connected = request.send, self._send_connected
        is_first = send != send_connected  # else a middleware sends the request twice at once
        if is_first:
            self._send_over = send
            # aiohttp has no hook between getting a connection and writing to it. Setting ``send``
            # in ``vars(request)`` would slow down every later attribute access of the request.
            request.send = send_connected  # type: ignore[method-assign]
        try:
            response = await handler(request)
            if self.may_have_been_sent or _is_of_mock(response, self.body):
                return response
            response.close()  # sent unasked on an idle connection, such as a 408
            raise aiohttp.ServerDisconnectedError
        except (*LOST_CONNECTION_ERRORS, aiohttp.ClientResponseError) as error:
            is_dead = self._is_connected and not self.may_have_been_sent
            if self._is_second_try or not is_dead or self._session.rate_limiter.is_closed:
                if isinstance(error, aiohttp.ClientResponseError):
                    raise
                raise LostConnection(*error.args) from error
            self._is_second_try = True
        finally:
            if is_first:
                del request.send, self._send_over  # else request and self form a reference cycle
        await _notice_closed_connections()
        return await self(request, handler)

    # Not async: mostly nothing is awaited here, which saves a coroutine.
    def _send_connected(self, conn: Connection) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        self._is_connected = True
        is_ready = self._body_checks or _is_quiet(conn.protocol)
        if self._session.rate_limiter.slows or not is_ready:
            return self._wait_and_send(self._send_over, conn)
        self._may_have_been_sent = not self._body_checks
        return self._send_over(conn)

    async def _wait_and_send(self, send: _Send, conn: Connection) -> aiohttp.ClientResponse:
        rate_limiter = self._session.rate_limiter
        if rate_limiter.slows and not rate_limiter.may_send(asyncio.get_running_loop().time()):
            await self._wait_to_send()
        if not self._body_checks:
            if not _is_quiet(conn.protocol):
                await _check_alive(conn.protocol)
            self._may_have_been_sent = True
        self.sent_at = self._limit.loop.time()
        return await send(conn)

    async def _wait_to_send(self) -> None:
        self.pause()
        await self._session.rate_limiter.wait_to_send()
        if self._session.rate_limiter.is_closed:  # so is the time limit: do not resume
            raise ConnectionError
        self.resume()


def _is_of_mock(response: aiohttp.ClientResponse, body: Body | None) -> bool:
    """Return whether a response came, as of a mock or a cache, without a connection to write to."""
    return response.connection is None and body is not None and not body.is_connected


async def _check_alive(protocol: Any) -> None:
    """Raise ConnectionError if the server closed the connection, or sent something unasked.

    The loop may not have noticed, if it was blocked or did not run, so the socket is polled. Its
    unread input may also be TLS's own records, which the loop reads in a few iterations.
    """
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
        if _is_quiet(protocol):
            return
    raise ConnectionError("the connection was closed before anything was sent")


def _is_quiet(protocol: Any) -> bool:
    """Return whether a connection is open, and its socket has no unread input."""
    transport = protocol.transport
    if transport is None or transport.is_closing() or protocol.should_close:
        return False
    socket = transport.get_extra_info("socket")
    if socket is None:
        return True
    # Windows has no `poll`; elsewhere `select` takes no descriptor above 1023.
    if sys.platform == "win32":
        return not select.select([socket], (), (), 0)[0]
    return not _select_poll_of(socket.fileno()).poll(0)


if sys.platform != "win32":

    @lru_cache(1024)
    def _select_poll_of(descriptor: int) -> select.poll:
        """Return a poll object for input on a file descriptor; cached, as making one is slow."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return poll


async def _notice_closed_connections() -> None:
    """Let the loop notice which idle connections the server has closed, before one is reused."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
