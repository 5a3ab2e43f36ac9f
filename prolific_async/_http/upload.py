"""Uploads: send a file to a presigned URL."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from aiohttp import hdrs

from prolific_async import errors
from prolific_async._http import responses, storage
from prolific_async._http.error_translation import is_passed_on
from prolific_async._http.presigned import PresignedUrl, is_refused_as_expired
from prolific_async._http.request import Request
from prolific_async._http.retry import Failures, did_not_run
from prolific_async._http.upload_body import UploadBody
from prolific_async._http.upload_stall import Stall
from prolific_async._tracebacks import clear_locals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import aiohttp

    from prolific_async._http.session import LoopSession
    from prolific_async._http.transport import Transport
    from prolific_async._http.upload_body import Payload


async def upload(
    transport: Transport,
    path: str,
    payload: Payload,
    url: PresignedUrl,
    *,
    renew: Callable[[], Awaitable[PresignedUrl]] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> PresignedUrl:
    """Send a file to a presigned URL, with retries, and return the URL that was used last.

    A PUT is retried after every passing failure, as it replaces the same object; a POST only if it
    surely did not run. An attempt may take any time, but no longer than ``request_timeout`` in
    which no byte moves.

    Args:
        transport: The client's transport, for its settings; the upload bypasses it.
        path: Path of the API call that gave the URL, for errors.
        payload: The bytes to send.
        url: The presigned URL.
        renew: Returns a new URL; called once at most, when ``url`` has expired or the storage
            refused it as expired. None to use only ``url``.
        on_progress: Called with the number of bytes sent so far in the current attempt.

    Raises:
        ConfigurationError: The client is closed, or in use by another loop.
        TransportError: No complete response came.
        APIStatusError: The storage refused the file.
        DecodeError: The URL must not be used, or the response is not HTTP, or an HTML page.
        ValueError, OSError: What reading the source raised.

    """
    failures = Failures(
        transport.retry, storage.may_send_again if url.method == "PUT" else did_not_run
    )
    while True:
        transport.check_usable()
        session = await transport.session_here()
        if renew is not None and url.is_expired(session.loop.time()):
            url, renew = await renew(), None
        if (problem := url.problem(transport.origin)) is not None:
            raise errors.DecodeError((problem,), None, "GET", path)
        outer = sys.exception()
        try:
            await _attempt(transport, session, Request(url.method, path), payload, url, on_progress)
        except BaseException as error:
            clear_locals(error, outer)
            if not isinstance(error, errors.ProlificError):
                raise
            if renew is not None and is_refused_as_expired(error):
                url.expires = session.loop.time()
                continue
            if (pause := failures.pause_after(error)) is None:
                raise
        else:
            return url
        await transport.sleep(pause)


async def _attempt(
    transport: Transport,
    session: LoopSession,
    request: Request,
    payload: Payload,
    url: PresignedUrl,
    on_progress: Callable[[int], object] | None,
) -> None:
    """Send the file once."""
    failure: Exception
    stall = Stall(session)
    body = UploadBody(payload, stall, on_progress)
    sent_at = session.loop.time()
    try:
        async with storage.new_session(url) as http:
            try:
                with stall:
                    status, headers, refusal = await _send(http, body, url)
            finally:
                # Else bytes left in its buffer keep it open for as long as the storage reads none.
                if stall.transport is not None:
                    stall.transport.abort()
        storage.log_end(session, request, status, sent_at)
        if responses.is_success(status):
            _check_stored(request, body, status, headers)
        else:
            raise storage.status_error(request, status, headers, refusal, url)  # noqa: TRY301 - to log
    except (Exception, asyncio.CancelledError) as error:
        if is_passed_on(error, may_be_callers_bug=False):
            raise
        failure = payload.failure or storage.failure_of(
            transport, request, error, unsent=not body.may_have_been_sent
        )
        storage.log_end(session, request, type(failure).__name__, sent_at)
    else:
        return
    raise failure


def _check_stored(
    request: Request, body: UploadBody, status: int, headers: Mapping[str, str]
) -> None:
    """Check that a success can mean that the storage has the whole file.

    Raises:
        ConnectionLostError: The response came before the whole file was sent.
        DecodeError: The response is an HTML page.

    """
    if body.left:
        reason = f"it was answered with {status} before the whole file was sent"
        raise errors.ConnectionLostError(request.method, request.path, reason)
    responses.check_not_html(request, headers, "the storage says that it has the file")


async def _send(
    http: aiohttp.ClientSession, body: UploadBody, url: PresignedUrl
) -> tuple[int, Mapping[str, str], str]:
    """Send the file; return status, headers and the beginning of the body, "" for a success."""
    response = await http.request(
        url.method,
        url.reveal(),
        data=body,
        headers={hdrs.CONTENT_TYPE: url.content_type},
        allow_redirects=False,
        timeout=storage.NO_TIMEOUT,
        middlewares=(storage.send_once,),
    )
    try:
        is_stored = responses.is_success(response.status)
        # Reading it does not count as movement of the file, so a slow body is cut off.
        refusal = "" if is_stored else await storage.read_refusal(response)
        return response.status, response.headers, refusal
    finally:
        response.close()
