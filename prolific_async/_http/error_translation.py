"""Error translation: from aiohttp's errors to the package's."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import BadHttpMessage, ContentEncodingError, PayloadEncodingError

from prolific_async import errors
from prolific_async._http import responses
from prolific_async._tracebacks import without_frames

if TYPE_CHECKING:
    from prolific_async._http.credentials import Token
    from prolific_async._http.request import Request


def is_passed_on(
    error: Exception | asyncio.CancelledError, *, may_be_callers_bug: bool, is_own: bool = True
) -> bool:
    """Return whether an exception of an attempt is raised to the caller unchanged.

    Args:
        error: The exception. Callbacks of a TraceConfig, and a borrowed session, can raise
            anything, even after the request was sent.
        may_be_callers_bug: Whether to pass on what neither aiohttp nor the system raised, which is
            a bug of the application. False where the outcome of the request must not be lost.
        is_own: Whether a ProlificError is about this attempt. A callback may raise one that is
            about another call.

    """
    if isinstance(error, asyncio.CancelledError):
        # Only if this task was cancelled: a callback or a cancelled future may raise it, too.
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    if isinstance(error, errors.ProlificError) and is_own:
        return True
    return may_be_callers_bug and not isinstance(error, aiohttp.ClientError | OSError)


def translated(
    request: Request,
    error: Exception | asyncio.CancelledError,
    *,
    seconds: float,
    secret: Token,
    closed: bool,
    unsent: bool,
) -> errors.ProlificError:
    """Return the package's error for an exception of an attempt, without the secret in it.

    Args:
        request: The request.
        error: The exception that the attempt raised.
        seconds: The time limit of the attempt, in seconds.
        secret: Token to hide in the error's text.
        closed: Whether the client was closed; if so, that is given as the reason.
        unsent: Whether surely no byte was sent to the service, even if some were to a proxy.

    """
    call = (request.method, request.path)
    reason = secret.hide(_reason(error)) or type(error).__name__
    failure: errors.ProlificError
    match error:
        case _ if closed:
            lost = errors.ConnectError if unsent else errors.ConnectionLostError
            failure = lost(*call, "the ProlificClient was closed")
        case _ if unsent:
            failure = errors.ConnectError(*call, _why_unsent(error) or _named(error, reason))
        case TimeoutError():
            failure = errors.RequestTimeoutError(*call, f"{seconds:g} s were allowed")
        case _ if problem := _undecoded(error):
            failure = responses.undecodable(request, problem)
        case aiohttp.ClientResponseError():
            failure = responses.malformed(request, error.message, secret)
        case aiohttp.ClientPayloadError(__cause__=BadHttpMessage() as fault) if not isinstance(
            fault,
            PayloadEncodingError,  # raised for an early end, too
        ):
            failure = responses.malformed(request, fault.message, secret)
        case aiohttp.ClientError() | OSError():
            failure = errors.ConnectionLostError(*call, reason)
        case _:  # such as an error in a callback of a TraceConfig
            failure = errors.TransportError(*call, _named(error, reason))
    # aiohttp's errors about responses hold the request's headers, with the token, or bytes of the
    # response, which may echo the token.
    if _is_cut_in_head(error) or isinstance(
        error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError
    ):
        without_frames(error)  # the response keeps the error, whose frames would keep the response
    else:
        failure.__cause__ = error
    return failure


def add_yielded(error: errors.TransportError, number: int, record: str) -> None:
    """Add to an error's text how many records (such as "row") were yielded before, if any."""
    if number:
        records = f"{number:,} {record}{'' if number == 1 else 's'}"
        error.reason += f", after {records} had been yielded; another call starts over"
        error.args = (error.method, error.path, error.reason)


def _named(error: BaseException, reason: str) -> str:
    """Return a reason, preceded by the error's class name if the reason alone may say little."""
    name = type(error).__name__
    if isinstance(error, aiohttp.ClientError | OSError) or reason == name:
        return reason
    return f"{name}: {reason}"


def _reason(error: BaseException) -> str:
    """Return an error's text, or address and cause of a failed connection."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = str(error.certificate_error)
        case aiohttp.ClientConnectorError():
            reason = error.strerror or type(error.os_error).__name__
        case _ if _is_cut_in_head(error):
            return "it ended within the headers of the response"
        case aiohttp.ServerFingerprintMismatch():
            reason = "its certificate has another fingerprint"
        case _:
            return str(error)
    socket = getattr(error, "path", None)  # of a Unix socket
    return f"{socket or f'{error.host}:{error.port}'}: {reason}"


def _is_cut_in_head(error: BaseException) -> bool:
    """Return whether the connection ended within a response's head, which the error then holds."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _undecoded(error: BaseException | None) -> str | None:
    """Return why aiohttp could not decompress a body, None for any other error."""
    while error is not None and not isinstance(error, ContentEncodingError):
        error = error.__cause__
    if error is None:
        return None
    name = re.search(r"\b(br|zstd|gzip|deflate)\b", error.message)
    encoding = f"Content-Encoding {name[0]}" if name else "Content-Encoding"
    if "install" in error.message:  # "install Brotli", for example
        return f"its {encoding} cannot be decoded here"
    return f"not compressed as its {encoding} says"


def _why_unsent(error: BaseException) -> str | None:
    """Return a clearer reason than aiohttp's for a failed connection, None if there is none."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy said {error.status}"
        case aiohttp.ClientResponseError() if error.request_info.method == hdrs.METH_CONNECT:
            return "the proxy did not answer with HTTP"
        case aiohttp.ClientResponseError():
            return "what came over the connection before the request is not HTTP"
        case TimeoutError():
            return "no connection in time"
    return None
