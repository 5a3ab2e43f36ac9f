"""At most one session at a time, in the event loop that uses it, of our own or borrowed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from prolific_async import errors
from prolific_async._http import session_checks
from prolific_async._http.connected import Connected, headers_with, own_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from prolific_async._http.credentials import Token


class Sessions:
    """Makes what requests need of one event loop, and closes it.

    Args:
        token: Goes with each request.
        base_url: Where requests go.
        session: The one that is borrowed, None to make one.
        request_timeout: Seconds for one attempt.
        max_connections: Requests that may be under way at once.
        max_requests_per_second: None for no limit.
        trace_configs: Of the session that is made.

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
        trace_configs: Sequence[aiohttp.TraceConfig],
    ) -> None:
        self._token = token
        self._base_url = base_url
        self._borrowed = session
        self.request_timeout = request_timeout
        self._max_connections = max_connections
        self._max_requests_per_second = max_requests_per_second
        self._trace_configs = session_checks.checked_kinds(session, trace_configs)
        self._connected: Connected | None = None
        self._closed = False

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
        """Raise ConfigurationError if no loop runs here, or another one is using it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise errors.ConfigurationError(
                "no asyncio event loop runs here; from another thread, use the client by "
                "loop.call_soon_threadsafe or asyncio.run_coroutine_threadsafe"
            ) from None
        connected = self._connected
        if connected is not None and connected.loop is not loop and not connected.loop.is_closed():
            raise errors.ConfigurationError(
                "this ProlificClient is in use by another event loop that still runs; "
                "make one client for each loop"
            )

    async def close(self) -> None:
        """Close the session if it is ours. Idempotent."""
        if self._closed:
            return
        self.check_loop()
        self._closed = True
        await self._let_go(self._connected)

    async def pause(self, seconds: float) -> None:
        """Wait between attempts, until the client is closed at the longest."""
        connected = await self._here()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await connected.closing.wait()

    async def _here(self) -> Connected:
        """Return what belongs to this loop."""
        previous = self._connected
        loop = asyncio.get_running_loop()
        if previous is not None and previous.loop is loop and not self._closed:
            return previous
        self.check_usable()
        limit = self._connection_limit()
        if self._borrowed is None:
            session, headers = own_session(self._token, self._base_url, limit, self._trace_configs)
        else:
            session_checks.check(self._borrowed, self._base_url)
            session, headers = self._borrowed, headers_with(self._token)
        connected = self._connected = Connected(
            loop,
            session,
            headers,
            connections=limit,
            request_timeout=self.request_timeout,
            max_requests_per_second=self._max_requests_per_second,
        )
        await self._let_go(previous)
        return connected

    async def _let_go(self, connected: Connected | None) -> None:
        if connected is not None:
            if not connected.loop.is_closed():  # else nobody who waits in it can be told
                connected.closing.set()
                connected.admission.rate_limiter.close()
                connected.limit.close()
            if self._borrowed is None:
                await connected.session.close()
