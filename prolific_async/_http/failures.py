"""What aiohttp's errors are to the caller, to whom none of them gets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from prolific_async import errors
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
    reason = answers.hide(_reason(error), secret)
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
        case _ if problem := _undecoded(error):
            failure = answers.undecodable(request, problem)
        case aiohttp.ClientResponseError():
            failure = answers.malformed(request, error.message, secret)
        case _:
            failure = errors.ConnectionLostError(*call, reason or type(error).__name__)
    # aiohttp's errors of answers carry the request's headers, and those the token, or bytes of
    # the answer, which may echo it.
    if not isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        failure.__cause__ = error
    return failure


def _reason(error: Exception) -> str:
    """Return what went wrong underneath, without aiohttp's own settings in it."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = str(error.certificate_error)
        case aiohttp.ClientConnectorError():
            reason = error.strerror or type(error.os_error).__name__
        case aiohttp.ServerFingerprintMismatch():
            reason = "its certificate has another fingerprint"
        case _:
            return str(error)
    socket = getattr(error, "path", None)  # of a Unix one
    return f"{socket or f'{error.host}:{error.port}'}: {reason}"


def _undecoded(error: BaseException | None) -> str | None:
    """Return the problem of a body whose Content-Encoding aiohttp cannot undo, else None."""
    while error is not None and not isinstance(error, ContentEncodingError):
        error = error.__cause__
    if error is None:
        return None
    name = re.search(r"\b(br|zstd|gzip|deflate)\b", error.message)
    encoding = f"Content-Encoding {name[0]}" if name else "Content-Encoding"
    if "install" in error.message:  # such as Brotli
        return f"its {encoding} cannot be decoded here"
    return f"not compressed as its {encoding} says"
