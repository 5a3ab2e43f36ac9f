"""What an answer means: the data of a success, or the error that it is; without any I/O.

Facts: https://docs.prolific.com/api-reference (API Fundamentals: errors, rate limits) and the
pages of the single endpoints.
"""

from __future__ import annotations

import asyncio
import codecs
import math
import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from multidict import CIMultiDict

from prolific_async import errors
from prolific_async._wire.json import decode as decode_json
from prolific_async._wire.pages import read_page
from prolific_async._wire.turns import Turns, holds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prolific_async._http.endpoints import Request

MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer, decompressed, that are read at most."""

MAX_SHOWN = 64 * 1024
"""Bytes of an answer that is no JSON, or no success, that its error shows at most."""

_DECODED = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
"""Content-Encodings of which nothing is left when aiohttp gives a body away."""

_SECRET_FROM = 16  # characters; shorter ones may stand in any answer by chance

_BY_STATUS: Mapping[int, type[errors.APIStatusError]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    422: errors.ValidationError,
    429: errors.RateLimitedError,
}


class Answer(NamedTuple):
    """A success that was read: its headers and its decoded JSON, None for an empty body."""

    headers: Mapping[str, str]
    data: Any


def decode(
    request: Request,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str = "",
    raw: bool = False,
) -> Answer:
    """Turn an answer into its data, which for ``raw`` is the body itself.

    Raises:
        APIStatusError: The status is not 2xx.
        DecodeError: A 2xx whose body is not JSON, or holds the secret.

    """
    if not is_success(status):
        raise _refused(request, status, headers, body, secret)
    if len(secret) >= _SECRET_FROM and secret.encode() in body:
        raise _echo(request, body, secret)
    if raw:
        return Answer(headers, body)
    if not body or body.isspace():
        return Answer(headers, None)
    try:
        # The codec that takes a byte order mark away costs eight times as much.
        text = body.decode("utf-8-sig" if body.startswith(codecs.BOM_UTF8) else "utf-8")
        return Answer(headers, decode_json(text))
    except ValueError as error:
        reason = str(error)
    # Raised here, since the parser's own error holds the whole text.
    raise _no_json(request, headers, body, reason, secret)


async def decode_long(
    request: Request,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str = "",
    raw: bool = False,
) -> Answer:
    """Do what ``decode`` does with a body that is long, and let the loop have its turns."""
    await asyncio.sleep(0)  # to have put a body together takes its time, too
    if not is_success(status):
        raise _refused(request, status, headers, body, secret)
    if len(secret) >= _SECRET_FROM and await holds(body, secret.encode(), Turns()):
        raise _echo(request, body, secret)
    await asyncio.sleep(0)
    if raw:
        return Answer(headers, body)
    try:
        return Answer(headers, await read_page(body))
    except ValueError as error:
        reason = str(error)
    raise _no_json(request, headers, body, reason, secret)


def _refused(
    request: Request, status: int, headers: Mapping[str, str], body: bytes, secret: str
) -> errors.APIStatusError:
    """Return the error of an answer that is not 2xx; the secret is taken out of what it shows."""
    hidden = CIMultiDict((name, hide(value, secret)) for name, value in headers.items())
    return _status_error(request, status, hidden, _shown(body, secret))


def _echo(request: Request, body: bytes, secret: str) -> errors.DecodeError:
    """Return the error of a success that echoes the secret: to hide it would change the answer."""
    return undecodable(request, "it holds the token", _shown(body, secret))


def check_echo(request: Request, piece: bytes, secret: str) -> bytes:
    """Return the end of a piece of a success, with which a secret may begin that goes on.

    Raises:
        DecodeError: The secret is in the piece.

    """
    if len(secret) < _SECRET_FROM:
        return b""
    if secret.encode() in piece:
        raise undecodable(request, "it holds the token")
    return piece[1 - len(secret) :]


def _no_json(
    request: Request, headers: Mapping[str, str], body: bytes, reason: str, secret: str
) -> errors.DecodeError:
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _DECODED:
        reason = f"its Content-Encoding {encoding} cannot be decoded here"
    problem = f"not readable JSON but {headers.get('Content-Type', 'of no type')} ({reason})"
    return undecodable(request, hide(problem, secret), _shown(body, secret))


def is_success(status: int) -> bool:
    """Tell whether a status is 2xx."""
    return 200 <= status < 300  # noqa: PLR2004 - HTTP's own classes


def undecodable(request: Request, problem: str, body: Any = None) -> errors.DecodeError:
    """Return the error of an answer that is bad as a whole."""
    return errors.DecodeError((f"$: {problem}",), body, request.method, request.path)


def malformed(request: Request, message: str, secret: str) -> errors.DecodeError:
    """Return the error of an answer that is no HTTP, from what its parser says.

    What the parser quotes of the answer is left out: it is cut, so that half of an echoed secret
    may be in it.
    """
    reason = re.sub(r"(?<!\w)(bytearray\()?b?['\"].*", "…", message, flags=re.DOTALL)
    return undecodable(request, f"not HTTP ({hide(reason, secret)})")


def _shown(body: bytes, secret: str) -> str:
    """Return what an error shows of a body: the beginning of a long one."""
    text = hide(body[:MAX_SHOWN].decode("utf-8-sig", "replace"), secret)
    if len(body) > MAX_SHOWN and secret:
        # The cut may go through the secret, of which each character may have been escaped as six.
        text = text[: -6 * len(secret)]
    return text


def hide(text: str, secret: str) -> str:
    """Take a secret out of a text, also where JSON escapes some of its characters."""
    if not secret:
        return text
    if "\\" not in text:
        return text.replace(secret, "[token]")  # a tenth of what the pattern may cost
    # Each way to write a character begins with a literal: that makes the search three times faster.
    characters = (
        rf"(?:{re.escape(one)}|\\{re.escape(one)}|\\u(?i:{ord(one):04x}))" for one in secret
    )
    return re.sub("".join(characters), "[token]", text)


def _status_error(
    request: Request, status: int, headers: Mapping[str, str], text: str
) -> errors.APIStatusError:
    server = errors.ServerError if status >= 500 else errors.APIStatusError  # noqa: PLR2004
    try:
        body = decode_json(text)
    except ValueError:
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
    """Find code, title and detail in the shapes that the service's errors come in.

    Nested ``{"error": {…}}``, flat ``{"message", "detail"}``, either of the two alone, and the
    layout validation's ``{"type", "message", "issues"}``, whose type serves as the code.
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
    """Read ``Retry-After``, as seconds or as an HTTP-date, in seconds from now.

    A date is held against the answer's own ``Date``, so that a wrong clock here does no harm.

    Returns:
        Seconds, never negative; None when the header is absent or unreadable.

    """
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    until = http_date(value)
    if until is None:
        return None
    now = http_date(headers.get("Date", ""))
    return max(0.0, until - (time.time() if now is None else now))


def http_date(value: str) -> float | None:
    """Read an HTTP-date as seconds since 1970, None when it is unreadable."""
    try:
        moment = parsedate_to_datetime(value)
        # An HTTP-date is UTC, also in the old form that does not say so.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
