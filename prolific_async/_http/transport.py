"""Transport: sends requests, each once, and returns responses or raises our own errors."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from prolific_async import errors
from prolific_async._http import session_checks
from prolific_async._http.attempt import Attempt
from prolific_async._http.base_url import proxy_for
from prolific_async._http.credentials import headers_with
from prolific_async._http.rate_limiter import RateLimiter
from prolific_async._http.response_body import Chunks
from prolific_async._http.session import LoopSession
from prolific_async._http.time_limit import TimeLimit
from prolific_async._tracebacks import clear_locals

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from prolific_async._http.credentials import Token
    from prolific_async._http.request import Poll, Request
    from prolific_async._http.responses import Response


class Transport:
    """Sends requests from one event loop at a time, over a session that it makes or borrows.

    Args:
        token: Sent with each request.
        base_url: Where requests are sent.
        session: The session that is borrowed, None to make one.
        request_timeout: Seconds for one attempt.
        max_connections: Requests that may be under way at once.
        max_requests_per_second: None for no limit.
        retry_after_cap: The most seconds for which a Retry-After holds polls back.
        trace_configs: Those of the session that is made.

    """

    def __init__(
        self,
        token: Token,
        base_url: str,
        *,
        session: aiohttp.ClientSession | None,
        request_timeout: float,
        max_connections: int,
        max_requests_per_second: float | None,
        retry_after_cap: float,
        trace_configs: Sequence[aiohttp.TraceConfig],
    ) -> None:
        self._token = token
        self._base_url = base_url
        self._url = URL(base_url)
        self._borrowed = session
        self.request_timeout = request_timeout
        self._max_connections = max_connections
        self._max_requests_per_second = max_requests_per_second
        self._retry_after_cap = retry_after_cap
        self._trace_configs = session_checks.checked_kinds(session, trace_configs)
        self._session: LoopSession | None = None
        self._closed = False

    @property
    def prefix(self) -> str:
        """Path of a gateway before the service's own paths, "" for none."""
        return self._url.raw_path.rstrip("/")

    @property
    def polls_at_once(self) -> int:
        """Polls that may be under way: half of the connections, so that plain calls find one."""
        return max(1, self._connection_limit() // 2)

    def _connection_limit(self) -> int:
        connector = self._borrowed.connector if self._borrowed is not None else None
        limits = [self._max_connections]
        if connector is not None:
            limits += [connector.limit, connector.limit_per_host]
        return min(limit for limit in limits if limit)  # 0 is for none

    async def send(
        self, request: Request, poll: Poll | None = None, *, raw: bool = False
    ) -> Response:
        """Send a request once and read the response.

        Args:
            request: What to send.
            poll: How it is sent if a wait wants it; polls give way to each other and to a
                Retry-After.
            raw: Whether a success is returned as it came, as bytes.

        Raises:
            ConfigurationError: Closed, or in use by another loop.
            TransportError: There was no whole response.
            APIStatusError: The status is not 2xx.
            DecodeError: The body is too large or not JSON.

        """
        session = self._session
        loop = asyncio.get_running_loop()
        if session is None or session.loop is not loop or self._closed:
            session = await self._open()
        # Before request_timeout starts: to wait here is never mistaken for a slow service.
        rate_limiter = session.rate_limiter
        is_poll = poll is not None
        if not rate_limiter.start_now(loop.time(), poll=is_poll):
            await rate_limiter.start(poll=is_poll)
        outer = sys.exception()
        try:
            if self._closed or self._borrowed is not None:
                self.check_usable()
            if poll is not None:
                poll.on_sent()
            return await Attempt(session, request, poll).run(raw=raw)
        except BaseException as error:
            clear_locals(error, outer)
            raise
        finally:
            rate_limiter.finish()

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Chunks]:
        """Send a GET once, and give the body of its response as it comes, however long it is.

        ``request_timeout`` bounds the time for each 256 KiB, instead of the whole.

        Raises:
            ProlificError: As ``send``; while the body is read, too.

        """
        session = self._session
        if session is None or session.loop is not asyncio.get_running_loop() or self._closed:
            session = await self._open()
        await session.rate_limiter.start(poll=False)
        outer = sys.exception()
        try:
            try:
                if self._closed or self._borrowed is not None:
                    self.check_usable()
                attempt = Attempt(session, request)
                chunks = Chunks(await attempt.open(), session, attempt.failure)
            except BaseException as error:
                clear_locals(error, outer)
                raise
            try:
                yield chunks
            finally:
                chunks.response.release()
        finally:
            session.rate_limiter.finish()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed for good."""
        return self._closed

    def check_usable(self) -> None:
        """Raise ConfigurationError if the client or its session is closed, or the loop is wrong."""
        if self._closed:
            raise errors.ConfigurationError("this ProlificClient is closed; make a new one")
        self.check_loop()
        if self._borrowed is not None and self._borrowed.closed:
            raise errors.ConfigurationError(
                "the aiohttp session given to this ProlificClient is closed; give an open one"
            )

    def check_loop(self) -> None:
        """Raise ConfigurationError if no loop runs here, or another one is using the session."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise errors.ConfigurationError(
                "no asyncio event loop runs here; from another thread, use the client by "
                "loop.call_soon_threadsafe or asyncio.run_coroutine_threadsafe"
            ) from None
        session = self._session
        if session is not None and session.loop is not loop and not session.loop.is_closed():
            raise errors.ConfigurationError(
                "this ProlificClient is in use by another event loop that still runs; "
                "make one client for each loop"
            )

    async def close(self) -> None:
        """Close the session if it was made here. Idempotent."""
        if self._closed:
            return
        self.check_loop()
        self._closed = True
        await self._let_go(self._session)

    async def pause(self, seconds: float) -> None:
        """Wait between attempts, until the client is closed at the longest."""
        session = self._session or await self._open()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await session.closing.wait()

    async def _open(self) -> LoopSession:
        """Make or borrow the session for the running loop, in place of one of a closed loop."""
        self.check_usable()
        previous = self._session
        limit = self._connection_limit()
        headers = headers_with(self._token)
        if self._borrowed is None:
            http, headers = self._make(headers)
        else:
            session_checks.check(self._borrowed, self._base_url)
            http = self._borrowed
        loop = asyncio.get_running_loop()
        rate_limiter = RateLimiter(self._max_requests_per_second, limit)
        time_limit = TimeLimit(self.request_timeout, loop)
        session = self._session = LoopSession(
            loop,
            http,
            self._url.origin(),
            self._token,
            headers,
            rate_limiter,
            time_limit,
            self._retry_after_cap,
        )
        await self._let_go(previous)
        return session

    def _make(self, headers: CIMultiDict[str]) -> tuple[aiohttp.ClientSession, CIMultiDict[str]]:
        """Make a session, and return it with the headers that each request must bring to it."""
        proxy = proxy_for(self._base_url)
        # Quicker than with each request, but aiohttp would show them to a proxy, too.
        by_session = proxy is None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the rate limiter's slots bound them
            # A load balancer's cookie must not tie a thousand waits to one machine.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers if by_session else None,
            proxy=proxy,
            trace_configs=self._trace_configs,
        )
        return session, CIMultiDict() if by_session else headers

    async def _let_go(self, session: LoopSession | None) -> None:
        if session is not None:
            if not session.loop.is_closed():  # else nothing that waits in it can be told
                session.interrupt()
            if self._borrowed is None:
                await session.http.close()
