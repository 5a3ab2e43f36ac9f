"""Sessions and errors for requests to a storage, by presigned URLs.

Each attempt has its own aiohttp session, without the client's trace configs, headers, cookies and
netrc login, and outside of its rate limit and connection slots. The API token is never sent. The
URL, which is as secret as the token, is in no error and no log record.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import aiohttp

from prolific_async import errors
from prolific_async._http import responses
from prolific_async._http.attempt import LOST_CONNECTION_ERRORS, LostConnection
from prolific_async._http.base_url import proxy_for
from prolific_async._http.credentials import NO_TOKEN
from prolific_async._http.error_translation import translated
from prolific_async._http.presigned import shown_headers, shown_refusal
from prolific_async._logging import log as _log
from prolific_async._tracebacks import without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prolific_async._http.presigned import PresignedUrl
    from prolific_async._http.request import Request
    from prolific_async._http.session import LoopSession
    from prolific_async._http.transport import Transport

NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
"""Turns off aiohttp's time-outs: a transfer may take any time while bytes move."""

_TIMED_OUT = (
    "RequestTimeout"  # S3's code, with status 400, for a connection over which nothing came
)
_AGAIN = frozenset({408, 429})


def new_session(url: PresignedUrl) -> aiohttp.ClientSession:
    """Make the aiohttp session of one attempt."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), proxy=proxy_for(str(url.reveal().origin()))
    )


def may_send_again(error: errors.ProlificError) -> bool:
    """Return whether the GET or the PUT of a file is worth another attempt."""
    if isinstance(error, errors.APIStatusError):
        is_passing = isinstance(error, errors.ServerError) or error.status in _AGAIN
        return is_passing or error.error_code == _TIMED_OUT
    return isinstance(error, errors.TransportError | errors.DecodeError)


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Middleware that sends a request once: aiohttp would resend it after a lost connection."""
    try:
        return await handler(request)
    except LOST_CONNECTION_ERRORS as error:
        raise LostConnection(*error.args) from error


async def read_refusal(response: aiohttp.ClientResponse) -> str:
    """Return the beginning of the body of an error response, as text."""
    shown = bytearray()
    while len(shown) < responses.MAX_SHOWN and (chunk := await response.content.readany()):
        shown += chunk
    return shown[: responses.MAX_SHOWN].decode(errors="replace")


def status_error(
    request: Request, status: int, headers: Mapping[str, str], body: str, url: PresignedUrl
) -> errors.APIStatusError:
    """Return the error for a response that is not 2xx, without the URL in it."""
    shown = shown_refusal(body, url).encode()
    error = responses.status_error(request, status, shown_headers(headers, url), shown, NO_TOKEN)
    if request.method == "GET":  # the usual advice is about token and id
        vars(error)["advice"] = "the storage refused the file, so ask for it again"
    return error


def failure_of(
    transport: Transport,
    request: Request,
    error: Exception | asyncio.CancelledError,
    *,
    unsent: bool,
) -> errors.ProlificError:
    """Return the package's error for an exception of an attempt, without the URL in it."""
    # Unwrapped, as the texts of aiohttp's errors contain the URL.
    while isinstance(error, LostConnection | aiohttp.ClientOSError) and isinstance(
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
        unsent=unsent or isinstance(error, aiohttp.ClientConnectorError),
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


def log_end(session: LoopSession, request: Request, end: int | str, sent_at: float) -> None:
    """Log the end of an attempt: the response's status or the name of an error, and the seconds."""
    if _log.isEnabledFor(logging.DEBUG):
        seconds = session.loop.time() - sent_at
        _log.debug("%s %s: %s in %.3f s", request.method, request.path, end, seconds)
