"""How much of an answer is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prolific_async._http import answers

if TYPE_CHECKING:
    import aiohttp

    from prolific_async import errors
    from prolific_async._http.endpoints import Request


async def read(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body of an answer; of one that is no success, no more than is shown.

    Raises:
        DecodeError: It is larger than 64 MiB, decompressed.

    """
    if response.content.is_eof():  # the usual case: all of a small body came with the headers
        body = response.content.read_nowait()
        if len(body) > answers.MAX_BODY:
            raise _too_large(request, response)
        return body
    succeeded = answers.is_success(response.status)
    if succeeded and (response.content_length or 0) > answers.MAX_BODY:
        raise _too_large(request, response)
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > answers.MAX_BODY:
            raise _too_large(request, response)
        chunks.append(chunk)
        if size > answers.MAX_SHOWN and not succeeded:
            response.close()  # its error shows no more
            break
    return b"".join(chunks)


def _too_large(request: Request, response: aiohttp.ClientResponse) -> errors.DecodeError:
    response.close()
    return answers.undecodable(request, f"more than {answers.MAX_BODY} bytes")
