"""What aiohttp's errors are to the caller, to whom none of them gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from prolific_async import errors
from prolific_async._frames import without_frames
from prolific_async._http import answers

if TYPE_CHECKING:
    from prolific_async._http.endpoints import Request


def translated(
    request: Request, error: Exception, *, seconds: float, secret: str, closed: bool
) -> errors.ProlificError:
    """Return the error of an attempt that had so many seconds, without the secret.

    Whatever breaks once the client is closed, it is that which broke it.
    """
    call = (request.method, request.path)
    reason = answers.hide(str(error), secret)
    failure: errors.ProlificError
    match error:
        case _ if closed:
            failure = errors.ConnectionLostError(*call, "the ProlificClient was closed")
        case aiohttp.ClientConnectorError() | aiohttp.ServerFingerprintMismatch():
            failure = errors.ConnectError(*call, reason)
        case aiohttp.ClientHttpProxyError():
            failure = errors.ConnectError(*call, f"the proxy said {error.status}")
        case aiohttp.ConnectionTimeoutError():
            failure = errors.ConnectError(*call, "no connection in time")
        case TimeoutError():
            failure = errors.RequestTimeoutError(*call, f"{seconds:g} s were allowed")
        case aiohttp.ClientResponseError():
            failure = answers.malformed(request, error.message, secret)
        case aiohttp.ClientPayloadError(__cause__=ContentEncodingError()):
            failure = errors.DecodeError(("$: not compressed as it says",), None, *call)
        case _:
            failure = errors.ConnectionLostError(*call, reason or type(error).__name__)
    # aiohttp's errors of answers carry the request's headers, and those the token, or bytes of
    # the answer, which may echo it.
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        without_frames(error)  # the response keeps it, and its frames would keep the response
    else:
        failure.__cause__ = error
    return failure
