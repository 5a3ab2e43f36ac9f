"""``PresignedUrl``: an address that needs no token, and is a secret itself.

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
_LONG_ENOUGH = 20  # characters of a part that may be a secret; a name or a date has fewer
_TOO_SHORT = 7  # characters of the beginning of a secret that tell nothing
_REFUSED = frozenset({400, 401, 403})
_SHOWN_HEADERS = (hdrs.CONTENT_TYPE, hdrs.DATE, hdrs.RETRY_AFTER, hdrs.SERVER, "X-Amz-Request-Id")


class PresignedUrl:
    """A URL that anybody who has it may use, until it expires.

    Attributes:
        method: The method that it is good for.
        content_type: What is sent as ``Content-Type``.
        expires: When it expires, in loop time; None if that is not known.

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
        """Return whether it has expired, at a loop time."""
        return self.expires is not None and now >= self.expires

    def problem(
        self, service: URL, *, key: str = "upload_url", methods: tuple[str, ...] = ("PUT", "POST")
    ) -> str | None:
        """Return the problem of the URL, None if it may be used.

        Args:
            service: The service's own address, whose host must be loopback for http.
            key: The key of the response that it came under.
            methods: The methods that it may be good for.

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
            _ = url.host, url.port  # which are parsed only now
        except ValueError:
            return None
        return url

    def reveal(self) -> URL:
        """Return the URL, exactly as it was signed."""
        return URL(self._text, encoded=True)

    def hide(self, text: str) -> str:
        """Return a text with "[link]" in place of the URL and of what makes it a secret.

        The text may end in the middle of them: it may be cut.
        """
        query = self._text.partition("?")[2]
        values = [pair.rpartition("=")[2] for pair in query.split("&")]
        values += [unquote(value) for value in values]
        for secret in (self._text, query, *values):
            if len(secret) >= _LONG_ENOUGH:
                # Percent-encodings have either case.
                text = re.sub(re.escape(secret), "[link]", text, flags=re.IGNORECASE)
                text = _without_beginning(secret, text)
        return text


def _without_beginning(secret: str, text: str) -> str:
    """Return a text with "[link]" in place of the beginning of a secret that it ends with."""
    end = text[-len(secret) :].lower()
    for length in range(len(secret) - 1, _TOO_SHORT, -1):
        if end.endswith(secret[:length].lower()):
            return f"{text[:-length]}[link]"
    return text


def content_type_of(filename: str) -> str:
    """Return the Content-Type of a file for which the service named none."""
    ending = filename[filename.rfind(".") :].lower()
    return _BY_ENDING.get(ending, "application/octet-stream")


def expiry(
    expires_at: datetime | None, headers: Mapping[str, str], received: float
) -> float | None:
    """Return when a URL expires in loop time, whatever the clock of this machine shows.

    Args:
        expires_at: What the service said; None if it said nothing.
        headers: Headers of that response, whose ``Date`` is the service's clock.
        received: The loop time at which it came.

    """
    if expires_at is None:
        return None
    now = http_date(headers.get(hdrs.DATE, ""))
    return received + expires_at.timestamp() - (time.time() if now is None else now)


def is_refused_as_expired(error: ProlificError) -> bool:
    """Return whether a request was refused because its URL had expired."""
    return (
        isinstance(error, APIStatusError)
        and error.status in _REFUSED
        and "expired" in f"{error.error_code} {error.detail}".lower()
    )


def shown_headers(headers: Mapping[str, str], link: PresignedUrl) -> dict[str, str]:
    """Return the headers of a storage's response that an error may show."""
    return {name: link.hide(headers[name]) for name in _SHOWN_HEADERS if name in headers}


def shown_refusal(body: str, link: PresignedUrl) -> str:
    """Return the part of a storage's refusal that an error may show.

    Of S3's document that is code and message, as JSON in the form of the service's errors: the
    rest repeats the signature and what was signed.
    """
    code = re.search("<Code>([^<]*)</Code>", body)
    if code is None:
        return link.hide(body)
    message = re.search("<Message>([^<]*)</Message>", body)
    detail = link.hide(unescape(message[1])) if message else ""
    return json.dumps({"error_code": link.hide(code[1]), "detail": detail})
