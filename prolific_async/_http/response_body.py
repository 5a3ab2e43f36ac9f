"""Reads the body of a response, as a whole or in chunks, with bounds on size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from attrs import define, field

from prolific_async._http import responses
from prolific_async._http.attempt import Timed
from prolific_async._http.error_translation import is_passed_on

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from prolific_async import errors
    from prolific_async._http.request import Request
    from prolific_async._http.session import LoopSession

_PIECE = 256 * 1024  # bytes of a long body for which request_timeout is allowed


async def read_body(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body of a response and release it.

    An unsuccessful response is read only as far as its error shows it.

    Raises:
        DecodeError: The body is larger than 64 MiB, decompressed.

    """
    content = response.content
    if content.is_eof():
        return await response.read()  # by a callback of the application, it may be read already
    try:
        succeeded = responses.is_success(response.status)
        if succeeded and (response.content_length or 0) > responses.MAX_BODY:
            raise _too_large(request, response)
        chunks: list[bytes] = []
        size = 0
        while chunk := await content.readany():
            size += len(chunk)
            if size > responses.MAX_BODY:
                raise _too_large(request, response)
            chunks.append(chunk)
            if size > responses.MAX_SHOWN and not succeeded:
                response.close()  # the error shows only this much
                break
        return b"".join(chunks)
    finally:
        response.release()


def _too_large(request: Request, response: aiohttp.ClientResponse) -> errors.DecodeError:
    response.close()
    return responses.too_large(request)


@define(eq=False, repr=False)
class ClosedWithClient:
    """Context manager that closes a response when the client is closed, even if nobody reads it."""

    _session: LoopSession
    _response: aiohttp.ClientResponse

    def interrupt(self) -> None:
        """Close the response's connection."""
        self._response.close()

    def __enter__(self) -> None:
        self._session.transfers.add(self)

    def __exit__(self, *_: object) -> None:
        self._session.transfers.discard(self)


@define(eq=False, repr=False)
class Chunks:
    """Async iterator over the body of a successful response, in chunks as they arrive.

    Its repr does not show the response, whose headers may echo the token.

    Attributes:
        response: The response.
        session: The session that sent its request.
        failure: Translates an exception of reading into one of the package's errors.
        idle_timeout_only: Whether ``request_timeout`` only bounds the time in which no byte comes.
            If not, each 256 KiB must come in that time as well.

    """

    response: aiohttp.ClientResponse
    session: LoopSession
    failure: Callable[[Exception | asyncio.CancelledError], errors.ProlificError]
    idle_timeout_only: bool
    _waited: float = field(default=0.0, init=False)  # seconds spent on the current 256 KiB
    _received: int = field(default=0, init=False)  # bytes of the current 256 KiB
    _has_begun: bool = field(default=False, init=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the response."""
        return self.response.headers

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        failure: errors.ProlificError
        try:
            if self.session.closing.is_set():
                raise ConnectionError("closed")  # noqa: TRY301 - as an error of reading
            chunk = await self._read()
        except (Exception, asyncio.CancelledError) as error:
            if is_passed_on(error, may_be_callers_bug=False):
                raise
            failure = self.failure(error)
        else:
            if not chunk:
                raise StopAsyncIteration
            return chunk
        try:
            raise failure
        finally:
            del failure  # else error and frame form a reference cycle

    async def _read(self) -> bytes:
        """Return the next bytes of the body, ``b""`` at its end.

        Raises:
            TimeoutError: No byte came for ``request_timeout``, or 256 KiB took longer without
                ``idle_timeout_only``.

        """
        limit = self.session.time_limit
        began = limit.loop.time()
        with Timed(limit):
            chunk = await self.response.content.readany()
            if not chunk and not self._has_begun:
                chunk = await self.response.read()  # a callback of the application has read it
        self._has_begun = True
        self._waited += limit.loop.time() - began
        self._received += len(chunk)
        if self._received >= _PIECE:
            self._waited, self._received = 0.0, 0
        elif chunk and self._waited > limit.seconds and not self.idle_timeout_only:
            raise TimeoutError
        return chunk
