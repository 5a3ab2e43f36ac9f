"""Transfers: a file is sent to a presigned URL.

Each attempt has a session of its own, without the client's trace configs, headers, cookies and
login of netrc, outside of its rate limit and connection slots. The API token is never sent, and the
URL, a secret like the token, is in no error and no log record.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs

from prolific_async import errors
from prolific_async._http import responses
from prolific_async._http.attempt import LOST, Lost
from prolific_async._http.base_url import proxy_for
from prolific_async._http.credentials import NO_TOKEN
from prolific_async._http.error_translation import is_passed_on, translated
from prolific_async._http.presigned import (
    PresignedUrl,
    is_refused_as_expired,
    shown_headers,
    shown_refusal,
)
from prolific_async._http.request import Request
from prolific_async._http.retry import Failures, did_not_run
from prolific_async._http.stall import Stall
from prolific_async._http.upload_body import UploadBody
from prolific_async._logging import log as _log
from prolific_async._tracebacks import clear_locals, without_frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from prolific_async._http.session import LoopSession
    from prolific_async._http.transport import Transport
    from prolific_async._http.upload_body import Payload

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # see Stall
_TIMED_OUT = (
    "RequestTimeout"  # S3's code, with status 400, for a connection over which nothing came
)
_AGAIN = frozenset({408, 429})


async def upload(
    transport: Transport,
    path: str,
    payload: Payload,
    link: PresignedUrl,
    *,
    renew: Callable[[], Awaitable[PresignedUrl]] | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> PresignedUrl:
    """Send a file to a presigned URL, again after a passing failure, and return the URL used.

    Sending it again does no harm, as it replaces the same object. An attempt may take any time, but
    no longer than ``request_timeout`` in which no byte moves.

    Args:
        transport: The client's transport, for its settings; it sends nothing.
        path: Path of the API call that gave the URL, for errors.
        payload: What is sent.
        link: The URL.
        renew: Returns another URL, asked for once: before an attempt when the first one has
            expired, or after a refusal because of that.
        on_progress: Called with the bytes of this attempt that were sent so far.

    Raises:
        ConfigurationError: The client is closed, or in use by another loop.
        TransportError: There was no whole response.
        APIStatusError: The storage refused the file.
        DecodeError: The URL must not be used, or the response is not HTTP.
        ValueError, OSError: What reading the source raised.

    """
    failures = Failures(transport.retry, _again if link.method == "PUT" else did_not_run)
    while True:
        transport.check_usable()
        session = await transport.session_here()
        if renew is not None and link.is_expired(session.loop.time()):
            link, renew = await renew(), None
        if (problem := link.problem(transport.origin)) is not None:
            raise errors.DecodeError((problem,), None, "GET", path)
        outer = sys.exception()
        try:
            await _attempt(
                transport, session, Request(link.method, path), payload, link, on_progress
            )
        except BaseException as error:
            clear_locals(error, outer)
            if not isinstance(error, errors.ProlificError):
                raise
            if renew is not None and is_refused_as_expired(error):
                link.expires = session.loop.time()
                continue
            if (pause := failures.pause_after(error)) is None:
                raise
        else:
            return link
        await transport.pause(pause)


def _again(error: errors.ProlificError) -> bool:
    """Return whether the PUT of a file is worth another attempt."""
    if isinstance(error, errors.APIStatusError):
        is_passing = isinstance(error, errors.ServerError) or error.status in _AGAIN
        return is_passing or error.error_code == _TIMED_OUT
    return isinstance(error, errors.TransportError | errors.DecodeError)


async def _attempt(
    transport: Transport,
    session: LoopSession,
    request: Request,
    payload: Payload,
    link: PresignedUrl,
    on_progress: Callable[[int], object] | None,
) -> None:
    """Send the file once."""
    failure: Exception
    stall = Stall(session)
    body = UploadBody(payload, stall, on_progress)
    sent_at = session.loop.time()
    try:
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), proxy=proxy_for(str(link.reveal().origin()))
        ) as http:
            try:
                with stall:
                    status, headers, refusal = await _send(http, body, link)
            finally:
                # Else what is in its buffer keeps it open for as long as nobody reads it.
                if stall.transport is not None:
                    stall.transport.abort()
        _log_end(session, request, status, sent_at)
        if responses.is_success(status):
            _check_stored(request, body, status, headers)
        else:
            shown = shown_refusal(refusal, link).encode()
            kept = shown_headers(headers, link)
            responses.decode(request, status, kept, shown)  # raises what it says
    except (Exception, asyncio.CancelledError) as error:
        if is_passed_on(error, may_be_foreign=False):
            raise
        failure = payload.failure or _failure(transport, request, error, unsent=not body.begun)
        _log_end(session, request, type(failure).__name__, sent_at)
    else:
        return
    raise failure


def _check_stored(
    request: Request, body: UploadBody, status: int, headers: Mapping[str, str]
) -> None:
    """Check that a success can be the storage's, which has the whole file.

    Raises:
        ConnectionLostError: It came before the whole file was sent.
        DecodeError: It is a page, which something in between shows.

    """
    if body.left:
        reason = f"it was answered with {status} before the whole file was sent"
        raise errors.ConnectionLostError(request.method, request.path, reason)
    is_html = headers.get(hdrs.CONTENT_TYPE, "").lower().startswith("text/html")
    if is_html and headers.get(hdrs.CONTENT_LENGTH) != "0":  # some storages say so of no body
        raise responses.undecodable(request, "HTML, where the storage says that it has the file")


async def _send(
    http: aiohttp.ClientSession, body: UploadBody, link: PresignedUrl
) -> tuple[int, Mapping[str, str], str]:
    """Send the file, and return status, headers and, of a refusal, the beginning of its body."""
    response = await http.request(
        link.method,
        link.reveal(),
        data=body,
        headers={hdrs.CONTENT_TYPE: link.content_type},
        allow_redirects=False,
        timeout=_NO_TIMEOUT,
        middlewares=(_send_once,),
    )
    try:
        shown = bytearray()
        if not responses.is_success(response.status):
            while len(shown) < responses.MAX_SHOWN and (chunk := await response.content.readany()):
                shown += chunk  # no movement of the file, so it cannot come for hours
        text = shown[: responses.MAX_SHOWN].decode(errors="replace")
        return response.status, response.headers, text
    finally:
        response.close()


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request; aiohttp would send a PUT again by itself after a lost connection."""
    try:
        return await handler(request)
    except LOST as error:
        raise Lost(*error.args) from error


def _failure(
    transport: Transport,
    request: Request,
    error: Exception | asyncio.CancelledError,
    *,
    unsent: bool,
) -> errors.ProlificError:
    """Return our own error for what an attempt raised, without the URL in it."""
    # aiohttp's own texts have the URL in them.
    while isinstance(error, Lost | aiohttp.ClientOSError) and isinstance(
        error.__cause__, Exception
    ):
        if isinstance(error, aiohttp.ClientConnectorError):
            break
        error = error.__cause__
    failure = translated(
        request,
        error,
        seconds=transport.request_timeout,
        secret=NO_TOKEN,
        closed=transport.is_closed,
        unsent=unsent,
    )
    if isinstance(failure, errors.RequestTimeoutError):
        reason = f"no byte moved for {transport.request_timeout:g} s"
        failure = errors.RequestTimeoutError(request.method, request.path, reason)
    cause: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    if isinstance(cause, OSError) and not isinstance(cause, aiohttp.ClientError):
        cause.__cause__ = cause.__context__ = None
        failure.__cause__ = without_frames(cause)
    else:
        failure.__cause__ = None
    return failure


def _log_end(session: LoopSession, request: Request, end: int | str, sent_at: float) -> None:
    if _log.isEnabledFor(logging.DEBUG):
        seconds = session.loop.time() - sent_at
        _log.debug("%s %s: %s in %.3f s", request.method, request.path, end, seconds)
