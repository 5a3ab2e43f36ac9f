"""One attempt of one call over aiohttp, whose errors end here."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from prolific_async import errors
from prolific_async._frames import clear_locals
from prolific_async._http import answers, borrowed
from prolific_async._http.addresses import proxy_for
from prolific_async._http.bodies import read
from prolific_async._http.connected import Connected, headers_with
from prolific_async._http.failures import translated
from prolific_async._http.sending import Body, others_to_end, while_connecting
from prolific_async._wire.turns import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prolific_async._http.answers import Answer
    from prolific_async._http.credentials import Token
    from prolific_async._http.endpoints import Request

_log = logging.getLogger("prolific_async")


class Transport:
    """Sends requests from at most one loop at a time, over its own session or a borrowed one."""

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
        self._base_url = base_url
        url = URL(base_url)
        self._origin = str(url.origin())
        self.prefix = url.raw_path.rstrip("/")
        self._token = token
        self._borrowed = session
        self._max_connections = max_connections
        self._max_requests_per_second = max_requests_per_second
        self._retry_after_cap = retry_after_cap
        self._trace_configs = borrowed.checked_kinds(session, trace_configs)
        self.request_timeout = request_timeout
        self._timeout = aiohttp.ClientTimeout(
            total=None,  # see TimeLimit
            # A little earlier than the whole, to know a connection that was never made for one.
            connect=request_timeout * 0.95,
            # aiohttp rounds longer time-outs up to whole seconds otherwise.
            ceil_threshold=math.inf,
        )
        self._connected: Connected | None = None
        self._closed = False

    @property
    def looks_at_once(self) -> int:
        """Looks that may be under way: half of the connections, so that plain calls find one."""
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

    async def send(
        self,
        request: Request,
        *,
        look: bool = False,
        raw: bool = False,
        within: float = math.inf,
        sent: Callable[[], object] = lambda: None,
    ) -> Answer:
        """Send once and read the answer.

        Args:
            request: What to send.
            look: Whether a wait wants it; looks give way to each other and to a Retry-After.
            raw: Whether a success is given as it came, as bytes.
            within: Seconds, where they are fewer than request_timeout.
            sent: Called when it is sent, which may be long after this call: never while it waits
                for a connection, for its turn, or for the end of a pause.

        Raises:
            ConfigurationError: Closed, or in use by another loop.
            TransportError: There was no whole answer.
            APIStatusError: The status is not 2xx.
            DecodeError: The body is too large or not JSON.

        """
        connected = self._connected
        if connected is None or connected.loop is not asyncio.get_running_loop() or self._closed:
            connected = await self._connect()
        # Before the clock of request_timeout starts: to wait is never mistaken for a slow service.
        await connected.admission.enter(look=look)
        failure: BaseException
        try:
            return await self._attempt(
                connected, request, look=look, raw=raw, within=within, sent=sent
            )
        except BaseException as error:  # noqa: BLE001 - it is raised again
            failure = error
        finally:
            connected.admission.leave()
        clear_locals(failure, sys.exception())
        try:
            raise failure
        finally:
            del failure  # else it is in a cycle with its own traceback

    async def _attempt(
        self,
        connected: Connected,
        request: Request,
        *,
        look: bool,
        raw: bool,
        within: float,
        sent: Callable[[], object],
    ) -> Answer:
        failure: errors.ProlificError
        body = None if request.body is None else Body(request.body)
        sent_at = connected.loop.time()
        try:
            if self._closed or connected.session.closed:
                self.check_usable()
            sent()
            with connected.limit.attempt():
                try:
                    response, content = await self._exchange(connected, request, body, within)
                except aiohttp.ClientConnectionError as error:
                    if body is None or body.begun or while_connecting(error):
                        raise  # aiohttp itself has sent what has no body again
                    await others_to_end()
                    response, content = await self._exchange(connected, request, body, within)
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            failure = translated(
                request,
                error,
                seconds=min(within, self.request_timeout),
                secret=self._token,
                closed=self._closed,
                unsent=while_connecting(error) if body is None else not body.begun,
            )
            _log_end(connected, request, type(failure).__name__, sent_at)
        except ValueError as error:
            if not borrowed.is_about_netrc(error, connected.session):
                raise
            failure = borrowed.netrc_error()
        else:
            _log_end(connected, request, response.status, sent_at)
            if response.status >= 400:  # noqa: PLR2004 - HTTP's own classes
                self._heed(connected, response, sent_at, look=look)
            answer = (request, response.status, response.headers, content)
            if len(content) > LONG:
                return await answers.decode_long(*answer, secret=self._token.reveal(), raw=raw)
            return answers.decode(*answer, secret=self._token.reveal(), raw=raw)
        raise failure

    async def _exchange(
        self, connected: Connected, request: Request, body: Body | None, within: float
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send a request and read what is needed of its answer."""
        async with connected.session.request(
            request.method,
            URL(self._origin + request.target, encoded=True),
            data=body,
            headers=connected.headers if body is None else connected.headers_with_body,
            allow_redirects=False,
            raise_for_status=False,
            timeout=self._timeout
            if within >= self.request_timeout
            else aiohttp.ClientTimeout(total=within, ceil_threshold=math.inf),
        ) as response:
            if body is not None and not body.begun:
                # Said on an idle connection, such as a 408 before it is closed.
                raise aiohttp.ServerDisconnectedError
            return response, await read(request, response)

    def _heed(
        self, connected: Connected, response: aiohttp.ClientResponse, sent_at: float, *, look: bool
    ) -> None:
        """Slow down, or hold looks back, as an answer asks for."""
        now = connected.loop.time()
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            connected.admission.budget.slow_down(sent_at, now)
        asked = answers.retry_after(response.headers) if look else None
        if asked:
            connected.admission.budget.pause_looks(now + min(asked, self._retry_after_cap))

    async def _connect(self) -> Connected:
        self.check_usable()
        previous = self._connected
        limit = self._connection_limit()
        session = self._borrowed
        by_session = False  # which is quicker than with each request
        if session is None:
            proxy = proxy_for(self._base_url)
            by_session = proxy is None  # aiohttp would show them to a proxy, too
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=limit),
                # A load balancer's cookie must not tie a thousand waits to one machine.
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers_with(self._token) if by_session else None,
                proxy=proxy,
                trace_configs=self._trace_configs,
            )
        else:
            borrowed.check(session, self._base_url)
        connected = self._connected = Connected(
            asyncio.get_running_loop(),
            session,
            CIMultiDict() if by_session else headers_with(self._token),
            connections=limit,
            request_timeout=self.request_timeout,
            max_requests_per_second=self._max_requests_per_second,
        )
        await self._let_go(previous)
        return connected

    async def _let_go(self, connected: Connected | None) -> None:
        if connected is not None:
            if not connected.loop.is_closed():  # else nobody who waits in it can be told
                connected.admission.budget.close()
                connected.limit.close()
            if self._borrowed is None:
                await connected.session.close()


def _log_end(connected: Connected, request: Request, end: int | str, sent_at: float) -> None:
    if _log.isEnabledFor(logging.DEBUG):
        seconds = connected.loop.time() - sent_at
        _log.debug("%s %s: %s in %.3f s", request.method, request.target, end, seconds)
