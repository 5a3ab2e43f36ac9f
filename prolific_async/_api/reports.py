"""The typed call that asks where the report of a batch is.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (get the report of a batch).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from prolific_async._api.batches import batch_path
from prolific_async._http.presigned import PresignedUrl, expiry
from prolific_async._http.request import Request
from prolific_async._http.responses import adding_request_id
from prolific_async._http.retry import get_again
from prolific_async._json.converter import WireModel, load
from prolific_async.errors import DecodeError

if TYPE_CHECKING:
    from prolific_async._http.transport import Transport


@frozen(eq=False, repr=False)
class _Wire(WireModel):
    url: str
    http_method: str | None = None
    expires_at: datetime | None = None


def get_report(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET that tells where a report is; the service documents the slash at its end."""
    return Request("GET", batch_path(batch_id, prefix) + "/report/")


async def report_url(transport: Transport, batch_id: str) -> PresignedUrl:
    """Return a URL of a batch's report."""
    request = get_report(batch_id, prefix=transport.prefix)
    response = await transport.send(request, None, get_again)
    received = asyncio.get_running_loop().time()
    data, headers, request_id = response.data, response.headers, response.request_id
    # They may echo the token, and loggers show the local variables of an error's frames.
    del response
    with adding_request_id(request_id):
        try:
            return read_report_url(data, headers, received, call=(request.method, request.path))
        finally:
            del data, headers


def read_report_url(
    data: Any, headers: Mapping[str, str], received: float, *, call: tuple[str, str]
) -> PresignedUrl:
    """Read the response to the request for a report.

    Args:
        data: Its JSON.
        headers: Its headers.
        received: The loop time at which it came.
        call: Method and path of the request.

    Raises:
        DecodeError: It does not have the documented form. Its body, which may have the link, is
            left out.

    """
    try:
        wire = load(_Wire, data, *call)
    except DecodeError as error:
        problems = error.problems
    else:
        return PresignedUrl(
            wire.url,
            method=wire.http_method or "GET",
            expires=expiry(wire.expires_at, headers, received),
        )
    del data
    raise DecodeError(problems, None, *call)
