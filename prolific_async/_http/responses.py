"""Responses: decoded into data or into an error, without any I/O.

Facts: https://docs.prolific.com/api-reference (API Fundamentals: errors, rate limits) and the
pages of the single endpoints.
"""

from __future__ import annotations

import asyncio
import codecs
import math
import re
import time
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import hdrs

from prolific_async import errors
from prolific_async._http.credentials import NO_TOKEN, Token
from prolific_async._json.decoding import decode as decode_json
from prolific_async._json.pages import read_page
from prolific_async._json.sizes import fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prolific_async._http.request import Request

MAX_BODY = 64 * 1024 * 1024
"""Largest body, in decompressed bytes, that is read as a whole."""

MAX_SHOWN = 64 * 1024
"""Bytes of a body, from its beginning, that an error shows at most."""

_MAX_HIDDEN = 1024 * 1024
"""Bytes of memory of the largest JSON in which a token is hidden, which takes some 10 ms."""

_DECODED = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
"""Content-Encodings that aiohttp has already decoded when it returns a body."""

_BY_STATUS: Mapping[int, type[errors.APIStatusError]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    422: errors.ValidationError,
    429: errors.RateLimitedError,
}


class ErrorDetails(NamedTuple):
    """What a DecodeError about a response gets, beside what the decoder knows.

    Attributes:
        request_id: The request id in the response's headers, None if there is none.
        secret: Token to hide in the error's body.

    """

    request_id: str | None
    secret: Token

    def add_to(self, error: errors.DecodeError) -> None:
        """Set the error's request id, and hide the secret in its body unless that is large."""
        error.request_id = self.request_id
        if fits(error.body, _MAX_HIDDEN):
            try:
                error.body = self.secret.hide_in_json(error.body)
            except RecursionError:
                error.body = None
            error.args = (error.problems, error.body, error.method, error.path)


class Response(NamedTuple):
    """A success: headers, and decoded JSON (None for an empty body) or, if asked for, raw bytes."""

    headers: Mapping[str, str]
    data: Any
    secret: Token = NO_TOKEN

    @property
    def request_id(self) -> str | None:
        """The request id in the headers, without the secret; None if there is none."""
        return errors.request_id_of(self.secret.hide_in_headers(self.headers))

    @property
    def error_details(self) -> ErrorDetails:
        """What to add to a DecodeError about the response."""
        return ErrorDetails(self.request_id, self.secret)


def decode(
    request: Request,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: Token = NO_TOKEN,
    raw: bool = False,
    data: Any = None,
) -> Any:
    """Return what ``request.read`` makes of a success; raise the error for any other response.

    Args:
        request: The request.
        status: Status of the response.
        headers: Its headers.
        body: Its body.
        secret: Token to hide in errors.
        raw: Whether to return a ``Response`` with the undecoded body as its data.
        data: The body's JSON, if it is already decoded.

    Raises:
        APIStatusError: The status is not 2xx.
        DecodeError: The status is 2xx, but the body is not JSON, or ``request.read`` refuses it.

    """
    if not is_success(status):
        raise status_error(request, status, headers, body, secret)
    if raw:
        return Response(headers, body, secret)
    reason = None
    if data is None and body and not body.isspace():
        try:
            data = decode_json(body)
        except ValueError as error:
            reason = str(error)
    if reason is not None:  # not in ``except``: the parser's error holds the whole text
        raise _no_json(request, headers, body, reason, secret)
    if request.read is None:
        return Response(headers, data, secret)
    try:
        return request.read(data, request.method, request.path)
    except errors.DecodeError as error:
        Response(headers, data, secret).error_details.add_to(error)
        raise


async def decode_long(
    request: Request,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: Token = NO_TOKEN,
    raw: bool = False,
) -> Any:
    """Decode a long body as ``decode`` does, and let the event loop run in between."""
    await asyncio.sleep(0)  # joining the chunks of the body took time, too
    if len(body) > MAX_BODY:
        raise too_large(request)
    if raw or not is_success(status):
        return decode(request, status, headers, body, secret=secret, raw=raw)
    try:
        data = await read_page(body)
    except ValueError as error:
        reason = str(error)
    else:
        return decode(request, status, headers, body, secret=secret, data=data)
    raise _no_json(request, headers, body, reason, secret)


@contextmanager
def adding_details(details: ErrorDetails) -> Iterator[None]:
    """Add details to a DecodeError that the ``with`` block raises."""
    try:
        yield
    except errors.DecodeError as error:
        details.add_to(error)
        raise


def status_error(
    request: Request, status: int, headers: Mapping[str, str], body: bytes, secret: Token
) -> errors.APIStatusError:
    """Return the error for a response that is not 2xx, without the secret in it."""
    shown, text = secret.hide_in_headers(headers), _excerpt(body, secret)
    return _status_error(request, status, shown, text, secret)


def _no_json(
    request: Request, headers: Mapping[str, str], body: bytes, reason: str, secret: Token
) -> errors.DecodeError:
    encoding = headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
    if encoding not in _DECODED:
        reason = f"its Content-Encoding {encoding} cannot be decoded here"
    content_type = headers.get(hdrs.CONTENT_TYPE)
    kind = f"but {content_type}" if content_type else "without a Content-Type"
    problem = f"not readable JSON, {kind} ({reason})"
    shown = None if request.hides_response else _excerpt(body, secret)
    error = undecodable(request, secret.hide(problem), shown)
    error.request_id = Response(headers, body, secret).request_id
    return error


def is_success(status: int) -> bool:
    """Return whether a status is 2xx."""
    return 200 <= status < 300  # noqa: PLR2004 - HTTP's status classes


def undecodable(request: Request, problem: str, body: Any = None) -> errors.DecodeError:
    """Return a DecodeError about a response as a whole."""
    return errors.DecodeError((f"$: {problem}",), body, request.method, request.path)


def too_large(request: Request) -> errors.DecodeError:
    """Return the DecodeError for a body larger than ``MAX_BODY``."""
    return undecodable(request, f"more than {MAX_BODY} bytes")


def check_not_html(request: Request, headers: Mapping[str, str], expected: str) -> None:
    """Check that a success is not an HTML page, such as a proxy or a login page sends.

    Args:
        request: The request.
        headers: Headers of the response.
        expected: What should have come, for the error, such as "the storage sends the file".

    Raises:
        DecodeError: The response is an HTML page.

    """
    is_html = headers.get(hdrs.CONTENT_TYPE, "").lower().startswith("text/html")
    if is_html and headers.get(hdrs.CONTENT_LENGTH) != "0":  # some storages use it for no body
        raise undecodable(request, f"HTML, where {expected}")


def malformed(request: Request, message: str, secret: Token) -> errors.DecodeError:
    """Return the DecodeError for a response that is not HTTP, with the parser's message.

    What the parser quotes of the response is left out: the quotation is cut, and may hold half of
    an echoed secret.
    """
    reason = re.sub(r"(?<!\w)(bytearray\()?b?['\"].*", "…", message, flags=re.DOTALL)
    return undecodable(request, f"not HTTP ({secret.hide(reason)})")


def _excerpt(body: bytes, secret: Token) -> str:
    """Return the beginning of a body as text for an error, without the secret."""
    text = secret.hide(body[:MAX_SHOWN].removeprefix(codecs.BOM_UTF8).decode(errors="replace"))
    if len(body) > MAX_SHOWN:
        text = text[: len(text) - len(secret.reveal())]  # the cut may go through the secret
    return text


def _status_error(
    request: Request, status: int, headers: Mapping[str, str], text: str, secret: Token
) -> errors.APIStatusError:
    server = errors.ServerError if status >= 500 else errors.APIStatusError  # noqa: PLR2004
    try:
        body = secret.hide_in_json(decode_json(text))  # there, escapes may have hidden it
    except (ValueError, RecursionError):
        body = text
    code, title, detail = _explanation(body)
    return _BY_STATUS.get(status, server)(
        status,
        request.method,
        request.path,
        code,
        title,
        detail,
        body,
        retry_after(headers),
        headers,
    )


def _explanation(body: Any) -> tuple[int | str | None, str | None, Any]:
    """Return code, title and detail of an error's body, each None if absent.

    The service's errors are nested, ``{"error": {…}}``, flat, ``{"message", "detail"}`` or either
    key alone, or those of layout validation, ``{"type", "message", "issues"}`` with type as code.
    """
    if not isinstance(body, dict):
        return None, None, None
    inner = body["error"] if isinstance(body.get("error"), dict) else body
    codes = (inner.get("error_code"), inner.get("type"), body.get("type"))
    code = next((one for one in codes if isinstance(one, int | str) and one != ""), None)
    title = inner.get("title")
    message, detail = inner.get("message"), inner.get("detail")
    if detail is None:
        detail, message = message, None
    if not isinstance(title, str):
        title = message if isinstance(message, str) else None
    return code, title, detail if isinstance(detail, str | list | dict) else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds ``Retry-After`` asks to wait, given in seconds or as an HTTP-date.

    A date is compared with the response's own ``Date``, so that a wrong local clock does no harm.

    Returns:
        Seconds, never negative; None when the header is absent or unreadable.

    """
    value = headers.get(hdrs.RETRY_AFTER, "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    until = http_date(value)
    if until is None:
        return None
    now = http_date(headers.get(hdrs.DATE, ""))
    return max(0.0, until - (time.time() if now is None else now))


def http_date(value: str) -> float | None:
    """Return an HTTP-date as seconds since 1970, None when it is unreadable."""
    try:
        moment = parsedate_to_datetime(value)
        # An HTTP-date is UTC, also in the old form that does not say so.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
