"""``PresignedUrl``: a URL of a file in a storage, which needs no token but is itself a secret.

Facts: the pages "Get dataset upload URL" and "Request export" of https://docs.prolific.com, and the
error responses of S3.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime
from html import unescape
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote

from aiohttp import hdrs
from yarl import URL

from prolific_async._http.base_url import is_loopback
from prolific_async._http.responses import http_date
from prolific_async.errors import APIStatusError

if TYPE_CHECKING:
    from prolific_async.errors import ProlificError

_BY_ENDING = {".csv": "text/csv", ".jsonl": "application/x-ndjson", ".zip": "application/zip"}
_LONG_ENOUGH = 20  # characters of a part that may be secret; names and dates have fewer
_TOO_SHORT = 7  # leading characters of a cut secret that give nothing away
_REFUSED = frozenset({400, 401, 403})
_SHOWN_HEADERS = (hdrs.CONTENT_TYPE, hdrs.DATE, hdrs.RETRY_AFTER, hdrs.SERVER, "X-Amz-Request-Id")


class PresignedUrl:
    """A URL that anybody who has it may use, until it expires.

    Attributes:
        method: HTTP method that the URL is signed for.
        content_type: ``Content-Type`` to send with an upload.
        expires: Loop time at which the URL expires, None if unknown.

    """

    __slots__ = ("_text", "content_type", "expires", "method")

    def __init__(
        self,
        text: str,
        *,
        method: str = "PUT",
        content_type: str = "application/octet-stream",
        expires: float | None = None,
    ) -> None:
        self._text = text
        self.method = method
        self.content_type = content_type
        self.expires = expires

    def __repr__(self) -> str:
        return "[presigned URL]"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a presigned URL cannot be pickled")

    def is_expired(self, now: float) -> bool:
        """Return whether the URL has expired at a loop time."""
        return self.expires is not None and now >= self.expires

    def problem(
        self, service: URL, *, key: str = "upload_url", methods: tuple[str, ...] = ("PUT", "POST")
    ) -> str | None:
        """Return why the URL must not be used, as "path: reason", None if it may be.

        Args:
            service: Base URL of the service. Only if its host is loopback may the URL be http,
                to loopback as well.
            key: Key of the URL in the service's response, for the reason.
            methods: HTTP methods that are allowed.

        """
        url = self._parsed()
        if url is None or not url.host:
            return f"$.{key}: a URL is needed"
        local = url.scheme == "http" and is_loopback(url.host) and is_loopback(service.host)
        if url.scheme != "https" and not local:
            return f"$.{key}: an address with https:// is needed"
        if url.user is not None or url.password is not None:
            return f"$.{key}: it must hold no user and password"
        if self.method not in methods:
            return f"$.http_method: {methods[0]} is needed"
        if not re.fullmatch(r"[!-~][ -~]*", self.content_type):
            return "$.content_type: a media type is needed"
        return None

    def _parsed(self) -> URL | None:
        if not re.fullmatch(r"[!-~]+", self._text):
            return None
        try:
            url = self.reveal()
            _ = url.host, url.port  # yarl parses them only now
        except ValueError:
            return None
        return url

    def reveal(self) -> URL:
        """Return the URL, exactly as it was signed."""
        return URL(self._text, encoded=True)

    def hide(self, text: str) -> str:
        """Return a text with "[link]" in place of the URL and of the long values of its query.

        The text may be cut: a secret of which it has only the beginning is replaced, too.
        """
        query = self._text.partition("?")[2]
        values = [pair.rpartition("=")[2] for pair in query.split("&")]
        values += [unquote(value) for value in values]
        for secret in (self._text, query, *values):
            if len(secret) >= _LONG_ENOUGH:
                # Percent-encoding may be in upper or lower case.
                text = re.sub(re.escape(secret), "[link]", text, flags=re.IGNORECASE)
                text = _without_beginning(secret, text)
        return text


def _without_beginning(secret: str, text: str) -> str:
    """Return a text with "[link]" in place of a cut secret at its end."""
    end = text[-len(secret) :].lower()
    for length in range(len(secret) - 1, _TOO_SHORT, -1):
        if end.endswith(secret[:length].lower()):
            return f"{text[:-length]}[link]"
    return text


def content_type_of(filename: str) -> str:
    """Return the Content-Type for a file name, for when the service names none."""
    ending = filename[filename.rfind(".") :].lower()
    return _BY_ENDING.get(ending, "application/octet-stream")


def expiry(
    expires_at: datetime | None, headers: Mapping[str, str], received: float
) -> float | None:
    """Return the loop time at which a URL expires, None if unknown.

    Args:
        expires_at: Expiry that the service named, None if it named none.
        headers: Headers of the service's response, whose ``Date`` is the service's clock; without
            it, the clock of this machine is used.
        received: Loop time at which the response came.

    """
    if expires_at is None:
        return None
    now = http_date(headers.get(hdrs.DATE, ""))
    return received + expires_at.timestamp() - (time.time() if now is None else now)


def is_refused_as_expired(error: ProlificError) -> bool:
    """Return whether a storage refused a request because the URL had expired."""
    return (
        isinstance(error, APIStatusError)
        and error.status in _REFUSED
        and "expired" in f"{error.error_code} {error.detail}".lower()
    )


def shown_headers(headers: Mapping[str, str], url: PresignedUrl) -> dict[str, str]:
    """Return the headers of a storage's response that are safe to show in an error."""
    return {name: url.hide(headers[name]) for name in _SHOWN_HEADERS if name in headers}


def shown_refusal(body: str, url: PresignedUrl) -> str:
    """Return the part of a storage's error response that is safe to show in an error.

    Of S3's XML document, that is code and message, as JSON like the service's errors: the rest
    repeats the signature and what was signed.
    """
    code = re.search("<Code>([^<]*)</Code>", body)
    if code is None:
        return url.hide(body)
    message = re.search("<Message>([^<]*)</Message>", body)
    detail = url.hide(unescape(message[1])) if message else ""
    return json.dumps({"error_code": url.hide(code[1]), "detail": detail})
