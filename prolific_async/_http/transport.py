"""One attempt of one call over aiohttp, whose errors end here."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from prolific_async._frames import clear_locals
from prolific_async._http import answers, borrowed
from prolific_async._http.bodies import Chunks, read
from prolific_async._http.failures import passes, translated
from prolific_async._http.sending import Lost, Sending
from prolific_async._http.sessions import Sessions
from prolific_async._logs import log as _log
from prolific_async._wire.turns import LONG

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from prolific_async import errors
    from prolific_async._http.answers import Answer
    from prolific_async._http.connected import Connected
    from prolific_async._http.credentials import Token
    from prolific_async._http.endpoints import Request


class Transport(Sessions):
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
        super().__init__(
            token,
            base_url,
            session=session,
            request_timeout=request_timeout,
            max_connections=max_connections,
            max_requests_per_second=max_requests_per_second,
            trace_configs=trace_configs,
        )
        url = URL(base_url)
        self._origin = str(url.origin())
        self.prefix = url.raw_path.rstrip("/")
        self._retry_after_cap = retry_after_cap
        self._timeout = aiohttp.ClientTimeout(
            total=None,  # see TimeLimit
            # A little earlier than the whole, to know a connection that was never made for one.
            connect=request_timeout * 0.95,
            # aiohttp rounds longer time-outs up to whole seconds otherwise.
            ceil_threshold=math.inf,
        )

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
        connected = await self._here()
        # Before the clock of request_timeout starts: to wait is never mistaken for a slow service.
        if not connected.admission.take_free(connected.loop.time(), look=look):
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

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Chunks]:
        """Send a GET once, and give the body of its answer as it comes, however long it is.

        ``request_timeout`` bounds the time for each 256 KiB, instead of the whole.

        Raises:
            ProlificError: As ``send``; while the body is read, too.

        """
        connected = await self._here()
        await connected.admission.enter(look=False)
        failure: BaseException
        try:
            try:
                response = await self._open(connected, request)
            except BaseException as error:  # noqa: BLE001 - it is raised again
                failure = error
            else:
                try:
                    yield Chunks(
                        request,
                        response,
                        connected.limit,
                        self._token,
                        failure=partial(self._failure, connected, request),
                        closed=lambda: self._closed,
                    )
                finally:
                    response.release()
                return
        finally:
            connected.admission.leave()
        clear_locals(failure, sys.exception())
        try:
            raise failure
        finally:
            del failure

    async def _open(self, connected: Connected, request: Request) -> aiohttp.ClientResponse:
        """Send a GET and return its success, which must be released."""
        sending = Sending(connected.admission.budget, None)
        sent_at = connected.loop.time()
        try:
            if self._closed or self._borrowed is not None:
                self.check_usable()
            with connected.limit.attempt() as sending.attempt:
                response = await self._request(connected, request, sending)
                ok = answers.is_success(response.status)
                content = b"" if ok else await read(request, response)
            _log_end(connected, request, response.status, sent_at)
            if not ok:
                self._heed(connected, response, sent_at, look=False)
                said = (request, response.status, response.headers, content)
                answers.decode(*said, secret=self._token.reveal())  # raises what it says
        except (Exception, asyncio.CancelledError) as error:
            if passes(error, may_be_foreign=self._may_be_foreign(connected, error)):
                raise
            failure = self._failure(connected, request, error, unsent=not sending.begun)
            _log_end(connected, request, type(failure).__name__, sent_at)
        else:
            return response
        raise failure

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
        sending = Sending(connected.admission.budget, request.body)
        sent_at = connected.loop.time()
        try:
            if self._closed or self._borrowed is not None:
                self.check_usable()
            sent()
            with connected.limit.attempt() as sending.attempt:
                response = await self._request(connected, request, sending, within)
                sending.is_answered = True
                content = await read(request, response)
            _log_end(connected, request, response.status, sent_at)
            if response.status >= 400:  # noqa: PLR2004 - HTTP's own classes
                self._heed(connected, response, sent_at, look=look)
            answer = (request, response.status, response.headers, content)
            if len(content) > LONG:
                return await answers.decode_long(*answer, secret=self._token.reveal(), raw=raw)
            return answers.decode(*answer, secret=self._token.reveal(), raw=raw)
        except (Exception, asyncio.CancelledError) as error:
            foreign = request.body is None and not look and self._may_be_foreign(connected, error)
            is_own = sending.is_answered or not sending.begun
            if passes(error, may_be_foreign=foreign, is_own=is_own):
                raise
            failure = self._failure(
                connected, request, error, within=within, unsent=not sending.begun
            )
            _log_end(connected, request, type(failure).__name__, sent_at)
        raise failure

    def _request(
        self,
        connected: Connected,
        request: Request,
        sending: Sending,
        within: float = math.inf,
    ) -> Awaitable[aiohttp.ClientResponse]:
        return connected.session.request(
            request.method,
            URL(self._origin + request.target, encoded=True),
            data=sending.body,
            headers=connected.headers if sending.body is None else connected.headers_with_body,
            middlewares=(*connected.middlewares, sending.send),
            allow_redirects=False,
            raise_for_status=False,
            timeout=self._timeout
            if within >= self.request_timeout
            else aiohttp.ClientTimeout(total=within, ceil_threshold=math.inf),
        )

    def _may_be_foreign(self, connected: Connected, error: BaseException) -> bool:
        """Tell whether an error may be a bug of the application, for all that this client knows."""
        return not (self._closed or borrowed.is_about_netrc(error, connected.session))

    def _failure(
        self,
        connected: Connected,
        request: Request,
        error: Exception | asyncio.CancelledError,
        *,
        within: float = math.inf,
        unsent: bool = False,
    ) -> errors.ProlificError:
        """Return our own error for what an attempt raised."""
        if isinstance(error, Lost) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        if borrowed.is_about_netrc(error, connected.session):
            return borrowed.netrc_error()
        return translated(
            request,
            error,
            seconds=min(within, self.request_timeout),
            secret=self._token,
            closed=self._closed,
            unsent=unsent,
        )

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


def _log_end(connected: Connected, request: Request, end: int | str, sent_at: float) -> None:
    if _log.isEnabledFor(logging.DEBUG):
        seconds = connected.loop.time() - sent_at
        _log.debug("%s %s: %s in %.3f s", request.method, request.target, end, seconds)
