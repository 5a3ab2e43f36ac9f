"""One attempt of a request: it is sent over a live connection, and its response is read in time.

Whether anything was sent is recorded: a request of which nothing was sent may be sent again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from attrs import define, field
from yarl import URL

from prolific_async._http import responses, session_checks
from prolific_async._http.connection_check import check_alive, is_quiet, read_ends
from prolific_async._http.error_translation import passes, translated
from prolific_async._http.response_body import read_body
from prolific_async._http.time_limit import Timed
from prolific_async._json.slices import LONG
from prolific_async._logging import log as _log

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection

    from prolific_async import errors
    from prolific_async._http.request import Poll, Request
    from prolific_async._http.responses import Response
    from prolific_async._http.session import LoopSession

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # see TimeLimit
# After the last two aiohttp sends a GET again by itself; it makes one of them of the first.
_LOST = (ConnectionError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


class Body(aiohttp.BytesPayload):
    """The JSON of a request, which checks the connection before aiohttp writes headers and body.

    Attributes:
        begun: Whether a byte of the request may have been sent.

    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self.begun = False

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Write headers and body, unless the other side has closed the connection meanwhile."""
        protocol = writer.protocol  # type: ignore[attr-defined]  # of each writer there is
        if not is_quiet(protocol):
            await check_alive(protocol)
        self.begun = True
        await super().write_with_length(writer, content_length)


class Lost(aiohttp.ClientConnectionError):
    """A lost connection, of a kind after which aiohttp does not send a GET again by itself."""


@define(eq=False)
class Attempt:
    """One attempt of a request, which holds a slot of the rate limiter.

    As the innermost middleware it stands between aiohttp and the connection. aiohttp sends a GET
    again by itself when a kept-alive connection breaks, however much of it was sent. That would
    bypass the rate limit and the retry policy, so it is prevented.

    Args:
        session: Sends the request.
        request: The request.
        poll: Given for a poll.

    """

    _session: LoopSession
    _request: Request
    _poll: Poll | None = None
    _within: float = field(init=False)  # seconds
    _body: Body | None = field(init=False)
    _timed: Timed = field(init=False)
    _sent_at: float = field(init=False)
    _is_connected: bool = field(default=False, init=False)
    _found_dead: bool = field(default=False, init=False)
    _begun: bool = field(default=False, init=False)
    _is_answered: bool = field(default=False, init=False)  # after all callbacks of aiohttp

    def __attrs_post_init__(self) -> None:
        self._within = math.inf if self._poll is None else self._poll.within
        self._body = None if self._request.body is None else Body(self._request.body)
        self._sent_at = self._session.loop.time()

    @property
    def begun(self) -> bool:
        """Whether a byte of the request may have been sent to the service."""
        return self._begun if self._body is None else self._body.begun

    async def run(self, *, raw: bool = False) -> Response:
        """Send the request and return its success; see ``Transport.send`` for the errors."""
        try:
            with Timed(self._session.time_limit) as self._timed:
                response = await self._sent()
                self._is_answered = True
                content = response.content
                # All of a small body mostly came with the headers.
                body = (
                    content.read_nowait()
                    if content.is_eof()
                    else await read_body(self._request, response)
                )
                self._note(response)
            received = (self._request, response.status, response.headers, body)
            secret = self._session.token
            if len(body) > LONG:
                return await responses.decode_long(*received, secret=secret, raw=raw)
            return responses.decode(*received, secret=secret, raw=raw)
        except (Exception, asyncio.CancelledError) as error:
            if (failure := self._translated(error)) is None:
                raise
        raise failure

    async def open(self) -> aiohttp.ClientResponse:
        """Send a GET and return its success, which must be released, before its body is read."""
        try:
            with Timed(self._session.time_limit) as self._timed:
                response = await self._sent()
                self._is_answered = True
                ok = responses.is_success(response.status)
                body = b"" if ok else await read_body(self._request, response)
                self._note(response)
            if not ok:
                received = (self._request, response.status, response.headers, body)
                responses.decode(*received, secret=self._session.token)  # raises what it says
        except (Exception, asyncio.CancelledError) as error:
            if (failure := self._translated(error)) is None:
                raise
        else:
            return response
        raise failure

    def failure(self, error: Exception | asyncio.CancelledError) -> errors.ProlificError:
        """Return our own error for what the attempt, or reading its response, raised."""
        if isinstance(error, Lost) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        session = self._session
        if session_checks.is_about_netrc(error, session.http):
            return session_checks.netrc_error()
        return translated(
            self._request,
            error,
            seconds=min(self._within, session.time_limit.seconds),
            secret=session.token,
            closed=session.closing.is_set(),
            unsent=not self.begun,
        )

    def _translated(self, error: Exception | asyncio.CancelledError) -> errors.ProlificError | None:
        """Return our own error for what the attempt raised, None if that goes to the caller."""
        session = self._session
        # As far as this client knows, it may be a bug of the application, which loses nothing.
        may_be_foreign = (
            self._body is None
            and self._poll is None
            and not (session.closing.is_set() or session_checks.is_about_netrc(error, session.http))
        )
        is_own = self._is_answered or not self.begun
        if passes(error, may_be_foreign=may_be_foreign, is_own=is_own):
            return None
        failure = self.failure(error)
        self._log_end(type(failure).__name__)
        return failure

    def _sent(self) -> Awaitable[aiohttp.ClientResponse]:
        request, session = self._request, self._session
        url = session.origin.with_path(request.path, encoded=True)  # much quicker than URL(...)
        if request.query:
            url = URL.build(
                scheme=url.scheme,
                authority=url.raw_authority,
                path=request.path,
                query_string=request.query,
                encoded=True,
            )
        return session.http.request(
            request.method,
            url,
            data=self._body,
            headers=session.headers,
            middlewares=(*session.middlewares, self.send),
            allow_redirects=False,
            raise_for_status=False,
            timeout=_NO_TIMEOUT
            if self._within >= session.time_limit.seconds
            else aiohttp.ClientTimeout(total=self._within, ceil_threshold=math.inf),
        )

    def _note(self, response: aiohttp.ClientResponse) -> None:
        """Log a response, and slow down or hold polls back as it asks for."""
        self._log_end(response.status)
        if response.status < 400:  # noqa: PLR2004 - HTTP's own classes
            return
        session = self._session
        now = session.loop.time()
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            session.rate_limiter.slow_down(self._sent_at, now)
        asked = None if self._poll is None else responses.retry_after(response.headers)
        if asked:
            session.rate_limiter.pause_polls(now + min(asked, session.retry_after_cap))

    def _log_end(self, end: int | str) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            seconds = self._session.loop.time() - self._sent_at
            request = self._request
            _log.debug("%s %s: %s in %.3f s", request.method, request.target, end, seconds)

    async def send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request, over a second connection if the first ended before anything was sent.

        Raises:
            Lost: The connection ended, and aiohttp must not send the request again.

        """
        send_over = request.send
        self._is_connected = False

        async def send(connection: Connection) -> aiohttp.ClientResponse:
            self._is_connected = True
            rate_limiter = self._session.rate_limiter
            if rate_limiter.slows and not rate_limiter.may_depart(
                asyncio.get_running_loop().time()
            ):
                await self._wait_to_depart()
            if self._body is None:  # a body checks by itself, in a later round of the loop
                if not is_quiet(connection.protocol):
                    await check_alive(connection.protocol)
                self._begun = True
            return await send_over(connection)

        # aiohttp offers nothing else between having a connection and writing to it.
        own = vars(request)
        own["send"] = send
        try:
            response = await handler(request)
            if self._begun or self.begun:
                return response
            response.close()  # said on an idle connection, such as a 408 before it is closed
            raise aiohttp.ServerDisconnectedError
        except _LOST as error:
            is_dead = self._is_connected and not self.begun
            if self._found_dead or not is_dead or self._session.rate_limiter.is_closed:
                raise Lost(*error.args) from error
            self._found_dead = True
        finally:
            del own["send"]  # else they are in a cycle
        await read_ends()
        return await self.send(request, handler)

    async def _wait_to_depart(self) -> None:
        self._timed.pause()
        await self._session.rate_limiter.wait_to_depart()
        self._timed.resume()
        if self._session.rate_limiter.is_closed:
            raise ConnectionError
