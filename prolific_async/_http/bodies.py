"""How much of an answer is read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from prolific_async._http import answers
from prolific_async._http.failures import passes

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from prolific_async import errors
    from prolific_async._http.credentials import Token
    from prolific_async._http.endpoints import Request
    from prolific_async._http.time_limit import TimeLimit

_PIECE = 256 * 1024  # bytes of a long body that may take as long as a whole request


async def read(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body of an answer and release it.

    Of one that is no success, no more is read than is shown.

    Raises:
        DecodeError: It is larger than 64 MiB, decompressed.

    """
    content = response.content
    try:
        if content.is_eof():  # the usual case: all of a small body came with the headers
            body = content.read_nowait()
            if len(body) > answers.MAX_BODY:
                raise _too_large(request, response)
            return body
        succeeded = answers.is_success(response.status)
        if succeeded and (response.content_length or 0) > answers.MAX_BODY:
            raise _too_large(request, response)
        chunks: list[bytes] = []
        size = 0
        while chunk := await content.readany():
            size += len(chunk)
            if size > answers.MAX_BODY:
                raise _too_large(request, response)
            chunks.append(chunk)
            if size > answers.MAX_SHOWN and not succeeded:
                response.close()  # its error shows no more
                break
        return b"".join(chunks)
    finally:
        response.release()


def _too_large(request: Request, response: aiohttp.ClientResponse) -> errors.DecodeError:
    response.close()
    return answers.undecodable(request, f"more than {answers.MAX_BODY} bytes")


class Chunks:
    """The body of a success, as it comes: an async iterator of bytes.

    Args:
        request: What it answers.
        response: The answer.
        limit: Bounds the time for each 256 KiB of it.
        token: Must not be in it.
        failure: Makes our own error of what reading raises.
        closed: Whether the client is.

    """

    def __init__(
        self,
        request: Request,
        response: aiohttp.ClientResponse,
        limit: TimeLimit,
        token: Token,
        *,
        failure: Callable[[Exception | asyncio.CancelledError], errors.ProlificError],
        closed: Callable[[], bool],
    ) -> None:
        self._request = request
        self._response = response
        self._limit = limit
        self._token = token
        self._failure = failure
        self._closed = closed
        self._end = b""  # of what came before, as the token may begin in it
        self._waited = 0.0  # seconds for the piece that is being read
        self._received = 0  # bytes of it

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        failure: errors.ProlificError
        try:
            if self._closed():
                raise ConnectionError("closed")  # noqa: TRY301 - as if it had been at work
            chunk = await self._read()
        except (Exception, asyncio.CancelledError) as error:
            if passes(error, may_be_foreign=False):
                raise
            failure = self._failure(error)
        else:
            if not chunk:
                raise StopAsyncIteration
            self._end = answers.check_echo(self._request, self._end + chunk, self._token.reveal())
            return chunk
        raise failure

    async def _read(self) -> bytes:
        """Return what comes next; a body that drips is given up, as one that stalls is.

        Raises:
            TimeoutError: A piece took longer than a whole request may.

        """
        began = self._limit.now()
        with self._limit.attempt():
            chunk = await self._response.content.readany()
        self._waited += self._limit.now() - began
        self._received += len(chunk)
        if self._received >= _PIECE:
            self._waited, self._received = 0.0, 0
        elif chunk and self._waited > self._limit.seconds:
            raise TimeoutError
        return chunk
