"""Downloads: read a file from a presigned URL, and resume where the connection was lost."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import hdrs
from attrs import define, field

from prolific_async import errors
from prolific_async._http import responses, storage
from prolific_async._http.attempt import Timed
from prolific_async._http.error_translation import is_passed_on
from prolific_async._http.presigned import PresignedUrl, is_refused_as_expired
from prolific_async._http.request import Request
from prolific_async._http.response_body import ClosedWithClient
from prolific_async._http.retry import Failures
from prolific_async._tracebacks import clear_locals

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    import aiohttp

    from prolific_async._http.session import LoopSession
    from prolific_async._http.transport import Transport

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_PARTIAL, _NOT_SATISFIABLE = 206, 416


class Piece(NamedTuple):
    """Some bytes of a file.

    Attributes:
        start: Position of the bytes in the file. If it is not where the piece before ended, the
            file starts anew, and all earlier pieces are void.
        data: The bytes; may be empty.
        total: Size of the whole file in bytes, None if the storage does not tell it.

    """

    start: int
    data: bytes
    total: int | None


class _RestartDownload(errors.ProlificError):
    """A response does not continue the download: start the file again from its first byte."""


@define(eq=False)
class _Version:
    """One version of the file, as described by responses with the same strong ETag.

    Attributes:
        etag: The strong ETag, None if the download cannot be resumed.
        total: Size of the file in bytes, None if unknown.
        received: Number of bytes received so far, from the start of the file.

    """

    etag: str | None = None
    total: int | None = None
    received: int = 0

    def condition(self) -> dict[str, str]:
        """Return the request headers that ask for the missing rest, empty for the whole file."""
        if not self.received or self.etag is None:
            return {}
        return {hdrs.RANGE: f"bytes={self.received}-", hdrs.IF_RANGE: self.etag}

    def version_of_response(
        self, request: Request, status: int, headers: Mapping[str, str]
    ) -> _Version:
        """Return the version that a successful response belongs to: this one or a new one.

        Raises:
            _RestartDownload: The response is a part, but not the missing rest of this version.
            DecodeError: The response is a part that was not asked for, or its end could not be
                recognised.

        """
        encoded = headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity"
        etag = _strong(headers.get(hdrs.ETAG, ""))
        if status == _PARTIAL:
            if not self.condition():
                raise responses.undecodable(request, "a part of the file, where all was asked for")
            match = _CONTENT_RANGE.fullmatch(headers.get(hdrs.CONTENT_RANGE, ""))
            if match is None or encoded or etag != self.etag:
                raise _RestartDownload
            if (int(match[1]), int(match[2])) != (self.received, self.total):
                raise _RestartDownload
            return self
        length = headers.get(hdrs.CONTENT_LENGTH, "")
        if not length and hdrs.TRANSFER_ENCODING not in headers:
            problem = "no Content-Length, so a truncated file would not be noticed"
            raise responses.undecodable(request, problem)
        if encoded or not length:
            return _Version()
        return _Version(etag, int(length))

    @property
    def is_exceeded(self) -> bool:
        """Whether more bytes were received than the file has."""
        return self.total is not None and self.received > self.total

    def check_whole(self, request: Request) -> None:
        """Raise ConnectionLostError if too few or too many bytes were received for the file."""
        if self.total is not None and self.received != self.total:
            reason = f"{self.received} of {self.total} bytes came"
            raise errors.ConnectionLostError(request.method, request.path, reason)


@define(eq=False, repr=False)
class Download:
    """Downloads a file from a presigned URL, which is renewed when it expires.

    Args:
        transport: The client's transport, for its settings; the file's requests bypass it.
        path: Path of the API call that gives the URLs, for errors.
        get_url: Makes that API call. Called before the first attempt, and when the URL has
            expired; then not again until more of the file has come.

    """

    _transport: Transport
    _path: str
    _get_url: Callable[[], Awaitable[PresignedUrl]]
    _version: _Version = field(factory=_Version, init=False)
    _url: PresignedUrl | None = field(default=None, init=False)
    _may_renew: bool = field(default=True, init=False)
    _failures: Failures = field(init=False)
    _furthest: int = field(default=0, init=False)  # most bytes received by any attempt
    _came_further: bool = field(default=False, init=False)  # since the latest failure

    def __attrs_post_init__(self) -> None:
        self._failures = self._new_failures()

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the file in pieces as they arrive; when the generator ends, the file is complete.

        A lost connection, a 5xx or a stall is followed by another attempt, up to ``max_attempts``,
        counted anew when an attempt gets further than all before. If the file has a strong ETag,
        only the missing rest is requested. The file starts anew if it has no strong ETag, has
        changed, or if the storage sends the whole. An attempt may take any time, but no longer than
        ``request_timeout`` without a byte.

        Close the generator, for example with ``aclosing``: it holds a connection.

        Raises:
            ConfigurationError: The client is closed, or in use by another loop.
            TransportError: No complete response came.
            APIStatusError: The storage refused the file, or the API refused the URL.
            DecodeError: The URL must not be used, or the response is not a file.

        """
        while True:
            session, url = await self._usable_url()
            outer = sys.exception()
            try:
                async with aclosing(self._attempt(session, url)) as attempt:
                    async for piece in attempt:
                        yield piece
            except BaseException as error:
                clear_locals(error, outer)
                if not isinstance(error, errors.ProlificError):
                    raise
                if (pause := self._pause_after(error, session.loop.time())) is None:
                    raise
            else:
                return
            await self._transport.sleep(pause)

    async def _usable_url(self) -> tuple[LoopSession, PresignedUrl]:
        """Return the session of this loop and the URL, which is renewed if it has expired."""
        transport = self._transport
        transport.check_usable()
        session = await transport.session_here()
        url = self._url
        if url is None:
            url = self._url = await self._get_url()
        elif self._may_renew and url.is_expired(session.loop.time()):
            url = self._url = await self._get_url()
            self._may_renew = False
        problem = url.problem(transport.origin, key="url", methods=("GET",))
        if problem is not None:
            raise errors.DecodeError((problem,), None, "GET", self._path)
        return session, url

    def _pause_after(self, error: errors.ProlificError, now: float) -> float | None:
        """Return the seconds to wait before another attempt, None to raise the error."""
        if self._came_further:
            self._failures, self._may_renew = self._new_failures(), True
            self._came_further = False
        if self._url is not None and self._may_renew and is_refused_as_expired(error):
            self._url.expires = now
            return 0.0
        if isinstance(error, _RestartDownload):
            self._version = _Version()  # so that the next request asks for the whole
            return 0.0
        return self._failures.pause_after(error)

    def _new_failures(self) -> Failures:
        return Failures(self._transport.retry, storage.may_send_again)

    async def _attempt(self, session: LoopSession, url: PresignedUrl) -> AsyncGenerator[Piece]:
        """Request the missing bytes once, and yield them as they arrive."""
        failure: errors.ProlificError
        request = Request("GET", self._path)
        sent_at = session.loop.time()
        http = storage.new_session(url)
        try:
            response = await self._open(session, http, url)
            with ClosedWithClient(session, response), closing(response):
                status, headers = response.status, response.headers
                storage.log_end(session, request, status, sent_at)
                if status == _NOT_SATISFIABLE and self._version.condition():
                    raise _RestartDownload  # noqa: TRY301 - this and the next are passed on
                if not responses.is_success(status):
                    with Timed(session.time_limit):
                        refusal = await storage.read_refusal(response)
                    raise storage.status_error(request, status, headers, refusal, url)  # noqa: TRY301
                responses.check_not_html(request, headers, "the storage sends the file")
                version = self._version = self._version.version_of_response(
                    request, status, headers
                )
                yield Piece(version.received, b"", version.total)
                while data := await _read(session, response):
                    start = version.received
                    version.received += len(data)
                    if version.received > self._furthest:
                        self._furthest, self._came_further = version.received, True
                    yield Piece(start, data, version.total)
                    if version.is_exceeded:  # by a partial response, which may be endless
                        break
                version.check_whole(request)
        except (Exception, asyncio.CancelledError) as error:
            if is_passed_on(error, may_be_callers_bug=False):
                raise
            failure = storage.failure_of(self._transport, request, error, unsent=False)
            storage.log_end(session, request, type(failure).__name__, sent_at)
        else:
            return
        finally:
            await http.close()
        raise failure

    async def _open(
        self, session: LoopSession, http: aiohttp.ClientSession, url: PresignedUrl
    ) -> aiohttp.ClientResponse:
        with Timed(session.time_limit):
            return await http.get(
                url.reveal(),
                headers={hdrs.ACCEPT_ENCODING: "identity", **self._version.condition()},
                allow_redirects=False,
                timeout=storage.NO_TIMEOUT,
                middlewares=(storage.send_once,),
            )


def _strong(etag: str) -> str | None:
    """Return an ETag if it is a strong one, else None."""
    return etag if re.fullmatch(r'"[!#-~]*"', etag) else None


async def _read(session: LoopSession, response: aiohttp.ClientResponse) -> bytes:
    """Return the next bytes of a response, ``b""`` at its end.

    Raises:
        TimeoutError: No byte came for ``request_timeout``.
        ClientConnectionError: The client was closed.

    """
    with Timed(session.time_limit):
        return await response.content.readany()
