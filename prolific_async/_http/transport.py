"""Transport: sends requests, and returns their results or raises one of the package's errors."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
from contextlib import asynccontextmanager, nullcontext
from functools import lru_cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from prolific_async import errors
from prolific_async._http import caller_session, responses
from prolific_async._http.attempt import Attempt, LostConnection
from prolific_async._http.error_translation import is_passed_on, translated
from prolific_async._http.response_body import Chunks, ClosedWithClient, read_body
from prolific_async._http.retry import Failures
from prolific_async._http.session import SessionOwner
from prolific_async._json.long_bodies import LONG
from prolific_async._logging import log as _log
from prolific_async._tracebacks import clear_locals

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from prolific_async._http.request import PollTiming, Request
    from prolific_async._http.session import LoopSession

_ENCODER = json.JSONEncoder()


def json_body(keys: dict[str, Any], *, nulls: bool = False) -> bytes:
    """Return an object as JSON, without the keys whose value is None unless ``nulls`` is true."""
    # Value by value: ``encode`` is quick for a str, but sets up a new encoder for an object.
    encode = _ENCODER.encode
    given = ""
    for key, value in keys.items():
        if nulls or value is not None:
            given += f', "{key}": {encode(value)}'
    return f"{{{given[2:]}}}".encode()


class Transport(SessionOwner):
    """Sends requests from at most one loop at a time, over its own session or a borrowed one."""

    async def send(
        self,
        request: Request,
        timing: PollTiming | None = None,
        again: Callable[[errors.ProlificError], bool] | None = None,
        *,
        raw: bool = False,
    ) -> Any:
        """Send a request, and return what ``request.read`` makes of the response.

        Args:
            request: The request.
            timing: The poll that needs the request, None for a plain call. A ``Retry-After``
                in the response to a poll holds back all polls.
            again: Returns whether to send the request again after a failure, as often as the retry
                policy allows; None to send it once.
            raw: Whether to return a ``Response`` with the body as undecoded bytes.

        Raises:
            ConfigurationError: The client is closed, or in use by another loop.
            TransportError: No complete response came.
            APIStatusError: The status is not 2xx.
            DecodeError: The body is too large, is not JSON, or ``request.read`` refuses it.

        """
        loop = asyncio.get_running_loop()
        failures: Failures | None = None
        while True:
            session = self._session
            if session is None or session.loop is not loop or self._closed:
                session = await self._open()
            outer = sys.exception()
            try:
                return await self._attempt(session, request, timing, raw=raw)
            except BaseException as error:
                clear_locals(error, outer)
                if again is None or not isinstance(error, errors.ProlificError):
                    raise
                failures = failures or Failures(self._retry, again)
                if (pause := failures.pause_after(error)) is None:
                    raise
            await self.sleep(pause)

    @asynccontextmanager
    async def stream(
        self, request: Request, *, idle_timeout_only: bool = False
    ) -> AsyncGenerator[Chunks]:
        """Send a GET once, and yield the body of its response as ``Chunks``, however long it is.

        ``request_timeout`` bounds the time for each 256 KiB, instead of the whole.

        Args:
            request: The request.
            idle_timeout_only: Whether ``request_timeout`` only bounds the time in which no byte
                comes. At most half of the connections serve such streams, whose callers may read
                slowly.

        Raises:
            ProlificError: As ``send``, and also while the body is read.

        """
        session = self._session
        if session is None or session.loop is not asyncio.get_running_loop() or self._closed:
            session = await self._open()
        async with session.streams if idle_timeout_only else nullcontext():
            await session.rate_limiter.start(poll=False)
            try:
                chunks = await self._begin_stream(
                    session, request, idle_timeout_only=idle_timeout_only
                )
                try:
                    with ClosedWithClient(session, chunks.response):
                        yield chunks
                except errors.DecodeError as error:
                    received = responses.Response(chunks.response.headers, None, self._token)
                    received.error_details.add_to(error)
                    raise
                finally:
                    chunks.response.release()
            finally:
                session.rate_limiter.finish()

    async def _begin_stream(
        self, session: LoopSession, request: Request, *, idle_timeout_only: bool
    ) -> Chunks:
        outer = sys.exception()
        try:
            if self._closed or self._borrowed is not None:
                self.check_usable()
            failure = partial(self._failure, session, request)
            # No variable for the response, as its headers may echo the token.
            return Chunks(
                await self._open_stream(session, request),
                session,
                failure,
                idle_timeout_only=idle_timeout_only,
            )
        except BaseException as error:
            clear_locals(error, outer)
            raise

    async def _attempt(
        self, session: LoopSession, request: Request, timing: PollTiming | None, *, raw: bool
    ) -> Any:
        failure: errors.ProlificError
        rate_limiter = session.rate_limiter
        is_poll = timing is not None
        time_limit = math.inf if timing is None else timing.time_limit
        url = self._url(request)
        # Before request_timeout starts, so that waiting here never looks like a slow service.
        sent_at = session.loop.time()
        if not rate_limiter.start_now(sent_at, poll=is_poll):
            await rate_limiter.start(poll=is_poll)
            sent_at = session.loop.time()
        try:
            if self._closed or self._borrowed is not None:
                self.check_usable()
            attempt = Attempt(session, request.body, request.content_type)
            try:
                if timing is not None and timing.sent_at is None:
                    timing.sent_at = sent_at
                with attempt:
                    response = await attempt.request(request.method, url, time_limit)
                    attempt.is_answered = True
                    content = response.content
                    # A small body has mostly arrived with the headers. A callback of the
                    # application may have read it; aiohttp has kept it then.
                    body = (
                        content.read_nowait() or await response.read()
                        if content.is_eof()
                        else await read_body(request, response)
                    )
                if _log.isEnabledFor(logging.DEBUG):
                    _log_end(session, request, response.status, sent_at)
                if response.status >= 400:  # noqa: PLR2004 - HTTP's status classes
                    self._throttle(session, response, attempt.sent_at or sent_at, poll=is_poll)
                elif response.status == 101:  # noqa: PLR2004 - Switching Protocols
                    response.close()  # aiohttp would keep the connection for the other protocol
                status, headers, secret = response.status, response.headers, self._token
                if len(body) > LONG:
                    return await responses.decode_long(
                        request, status, headers, body, secret=secret, raw=raw
                    )
                return responses.decode(request, status, headers, body, secret=secret, raw=raw)
            except (Exception, asyncio.CancelledError) as error:
                is_bug = (
                    request.method == "GET"
                    and not is_poll
                    and self._may_be_callers_bug(session, error)
                )
                # Before there is a response, only application code can raise one of our errors.
                if is_passed_on(error, may_be_callers_bug=is_bug, is_own=attempt.is_answered):
                    raise
                failure = self._failure(
                    session, request, error, time_limit, unsent=not attempt.may_have_been_sent
                )
                _log_end(session, request, type(failure).__name__, sent_at)
            raise failure
        finally:
            rate_limiter.finish()

    async def _open_stream(self, session: LoopSession, request: Request) -> aiohttp.ClientResponse:
        """Send a GET and return its successful response, which the caller must release."""
        failure: errors.ProlificError
        attempt = Attempt(session, None)
        sent_at = session.loop.time()
        try:
            with attempt:
                response = await attempt.request(request.method, self._url(request))
                attempt.is_answered = True
                ok = responses.is_success(response.status)
                body = b"" if ok else await read_body(request, response)
            _log_end(session, request, response.status, sent_at)
            if not ok:
                self._throttle(session, response, attempt.sent_at or sent_at, poll=False)
                received = (request, response.status, response.headers, body)
                responses.decode(*received, secret=self._token)  # raises its error
        except (Exception, asyncio.CancelledError) as error:
            is_bug = self._may_be_callers_bug(session, error)
            if is_passed_on(error, may_be_callers_bug=is_bug, is_own=attempt.is_answered):
                raise
            failure = self._failure(session, request, error, unsent=not attempt.may_have_been_sent)
            _log_end(session, request, type(failure).__name__, sent_at)
        else:
            return response
        raise failure

    def _url(self, request: Request) -> URL:
        url = _url_of_path(self._origin, request.path)
        if not request.query:
            return url
        return URL.build(
            scheme=url.scheme,
            authority=url.raw_authority,
            path=request.path,
            query_string=request.query,
            encoded=True,
        )

    def _may_be_callers_bug(self, session: LoopSession, error: BaseException) -> bool:
        """Return whether an error may be a bug of the application: not due to a close or netrc."""
        return not (self._closed or caller_session.is_about_netrc(error, session.http))

    def _failure(
        self,
        session: LoopSession,
        request: Request,
        error: Exception | asyncio.CancelledError,
        time_limit: float = math.inf,
        *,
        unsent: bool = False,
    ) -> errors.ProlificError:
        """Return the package's error for an exception of an attempt."""
        if isinstance(error, LostConnection) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        if caller_session.is_about_netrc(error, session.http):
            return caller_session.netrc_error()
        return translated(
            request,
            error,
            seconds=min(time_limit, self.request_timeout),
            secret=self._token,
            closed=self._closed,
            unsent=unsent,
        )

    def _throttle(
        self, session: LoopSession, response: aiohttp.ClientResponse, sent_at: float, *, poll: bool
    ) -> None:
        """Slow down after a 429, and hold back polls as the ``Retry-After`` of a poll asks for."""
        now = session.loop.time()
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            session.rate_limiter.slow_down(sent_at, now)
        asked = responses.retry_after(response.headers) if poll else None
        if asked:
            session.rate_limiter.pause_polls(now + min(asked, self._retry.retry_after_cap))


# Cached: a URL parses its parts only once, and a batch is polled again and again.
@lru_cache(256)
def _url_of_path(origin: URL, path: str) -> URL:
    return origin.with_path(path, encoded=True)  # much quicker than URL(...)


def _log_end(session: LoopSession, request: Request, end: int | str, sent_at: float) -> None:
    seconds = session.loop.time() - sent_at
    _log.debug("%s %s: %s in %.3f s", request.method, request.target, end, seconds)
