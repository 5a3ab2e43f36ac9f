"""The storage as an aiohttp application, for the simulator's second port."""

import re
import secrets
from typing import cast

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from prolific_async.simulator.fault_middleware import apply_faults, read_rest
from prolific_async.simulator.faults import FaultQueue
from prolific_async.simulator.request_body import OmittedBody
from prolific_async.simulator.request_log import LOG_ENTRY, RequestLog, log_requests
from prolific_async.simulator.spooled_body import spool
from prolific_async.simulator.storage import StoredFile, Upload, Uploads
from prolific_async.simulator.storage_errors import StorageRefusedError, xml_response

__all__ = ["make_storage_app"]

_RANGE = re.compile("bytes=(?:([0-9]+)-([0-9]*)|-([0-9]+))")


def make_storage_app(
    uploads: Uploads, token: str, faults: FaultQueue, log: RequestLog
) -> web.Application:
    """Make the application that serves presigned URLs.

    Args:
        uploads: The uploads and downloads.
        token: The API token, which must not be sent here.
        faults: The faults that requests meet.
        log: The log of the requests, without their bodies.
    """
    urls = uploads.urls

    async def serve(request: web.Request) -> web.StreamResponse:
        link = urls.find(request.rel_url.raw_path, request.query)
        query = request.rel_url.raw_query_string
        link.check(request.method, query, request.headers, token=token, now=urls.now())
        if isinstance(link.target, Upload):
            return await _receive(request, link.target, uploads)
        return _send(request, cast("StoredFile", link.target))

    app = web.Application(
        middlewares=[
            log_requests(log, with_bodies=False),
            apply_faults(faults, urls.utc_now),
            _respond_to_refusals(),
        ]
    )
    app.router.add_route("*", "/{path:.*}", serve)
    return app


def _respond_to_refusals() -> Middleware:
    @web.middleware
    async def respond(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = secrets.token_hex(8).upper()
        try:
            response = await handler(request)
        except StorageRefusedError as refused:
            # Else the connection is reset, and the client may lose the response.
            await read_rest(request)
            response = xml_response(refused, request_id)
        response.headers["x-amz-request-id"] = request_id
        return response

    return respond


async def _receive(request: web.Request, upload: Upload, uploads: Uploads) -> web.Response:
    """Store the body of a request, in constant memory."""
    if request.content_length is None:
        raise StorageRefusedError(
            411, "MissingContentLength", "You must provide the Content-Length HTTP header."
        )
    entry = request[LOG_ENTRY]
    file = await spool(request.content, lambda size: entry.update(body=OmittedBody(size)))
    try:
        uploads.stored(upload, file)
    except BaseException:
        file.close()
        raise
    return web.Response(headers={hdrs.ETAG: f'"{secrets.token_hex(16)}"'})


def _send(request: web.Request, file: StoredFile) -> web.Response:
    """Send a file, or the range of it that a request asks for."""
    headers = {
        hdrs.ACCEPT_RANGES: "bytes",
        hdrs.CONTENT_TYPE: file.content_type,
        hdrs.ETAG: file.etag,
    }
    size = len(file.content)
    asked = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if asked is None or request.headers.get(hdrs.IF_RANGE, file.etag) != file.etag:
        return web.Response(body=file.content, headers=headers)
    first, last, suffix = asked.groups()
    start = max(0, size - int(suffix)) if suffix else int(first)
    end = min(size, int(last) + 1) if last else size
    if start >= end:
        raise StorageRefusedError(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
            {"ActualObjectSize": str(size)},
            {hdrs.CONTENT_RANGE: f"bytes */{size}"},
        )
    headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{size}"
    return web.Response(status=206, body=file.content[start:end], headers=headers)
