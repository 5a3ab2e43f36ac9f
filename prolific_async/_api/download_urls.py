"""Requests the URL from which a file can be downloaded.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (export status, report).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from prolific_async._http.presigned import PresignedUrl, expiry
from prolific_async._http.responses import adding_details
from prolific_async._http.retry import may_get_again
from prolific_async._json.converter import WireModel, load
from prolific_async.errors import DecodeError

if TYPE_CHECKING:
    from prolific_async._http.request import Request
    from prolific_async._http.transport import Transport


@frozen(eq=False, repr=False)
class _Wire(WireModel):
    url: str | None = None
    http_method: str | None = None
    expires_at: datetime | None = None


async def download_url(transport: Transport, request: Request) -> PresignedUrl | None:
    """Send a GET, and return the download URL in its response, None if there is none.

    Raises:
        ProlificError: The request failed.

    """
    response = await transport.send(
        request._replace(read=None, hides_response=True), None, may_get_again
    )
    received = asyncio.get_running_loop().time()
    data, headers, details = response.data, response.headers, response.error_details
    # The response may echo the token, and some loggers print the local variables of errors.
    del response
    with adding_details(details):
        try:
            return _read(data, headers, received, (request.method, request.path))
        finally:
            del data, headers


async def needed_url(transport: Transport, request: Request) -> PresignedUrl:
    """Send a GET, and return the download URL in its response.

    Raises:
        DecodeError: The response has no URL.
        ProlificError: The request failed.

    """
    url = await download_url(transport, request)
    if url is None:
        raise DecodeError(("$.url: it is missing",), None, request.method, request.path)
    return url


def _read(
    data: Any, headers: Mapping[str, str], received: float, call: tuple[str, str]
) -> PresignedUrl | None:
    """Read the download URL in a response, None if there is none.

    Raises:
        DecodeError: The response does not have the documented form. The error does not show the
            body, which may contain the URL, a secret.

    """
    try:
        wire = load(_Wire, data, *call)
    except DecodeError as error:
        problems = error.problems
    else:
        if wire.url is None:
            return None
        return PresignedUrl(
            wire.url,
            method=wire.http_method or "GET",
            expires=expiry(wire.expires_at, headers, received),
        )
    del data  # some loggers print the local variables of a traceback
    raise DecodeError(problems, None, *call)
