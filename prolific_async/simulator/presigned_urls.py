"""Presigned URLs: each allows one kind of request to one object without a token, until it expires.

The service's are those of Amazon S3, whose refusals and their order are imitated here.
"""

import math
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import attrs
from aiohttp import hdrs

from prolific_async.simulator.storage_errors import StorageRefusedError

__all__ = ["LIFETIME", "PresignedUrl", "PresignedUrls", "hide_signature"]

LIFETIME = 3600.0
"""Seconds until a URL expires, as those of the service's exports do."""

_SIGNATURE = "X-Amz-Signature"  # the query parameter that makes a URL a secret


@attrs.define(eq=False)
class PresignedUrl:
    """A URL that needs no token.

    Args:
        method: The only method that it is good for.
        url: The URL, a secret.
        expires_at: When it expires, on the clock of the service's timestamps.
        content_type: The `Content-Type` that the request must have; None for any.
        target: The `Upload` or `StoredFile` that it leads to.
    """

    method: str
    url: str = attrs.field(repr=False)
    expires_at: datetime
    content_type: str | None
    _query: str = attrs.field(repr=False)
    _expires: float  # on the simulator's clock
    target: Any = None

    def check(
        self, method: str, query: str, headers: Mapping[str, str], *, token: str, now: float
    ) -> None:
        """Check a request to this URL's path.

        Args:
            method: Its method.
            query: Its query, as it was sent.
            headers: Its headers.
            token: The API token, which the storage must never see.
            now: The simulator's clock.

        Raises:
            StorageRefusedError: It is not the request that was signed, or came too late, or
                carries credentials beside the signature.
        """
        if query != self._query:
            raise _mismatch()
        if hdrs.AUTHORIZATION in headers or any(
            token in value.split() for value in headers.values()
        ):
            raise StorageRefusedError(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
                "Signature query string parameter or the Authorization header should be specified",
                {"ArgumentName": "Authorization"},
            )
        if now >= self._expires:
            expired = {"Expires": self.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
            raise StorageRefusedError(403, "AccessDenied", "Request has expired", expired)
        if method != self.method:
            raise _mismatch()
        if self.content_type is not None and headers.get(hdrs.CONTENT_TYPE) != self.content_type:
            raise _mismatch()

    def expire(self) -> None:
        """Make the URL expire now."""
        self._expires = -math.inf

    def forget(self, now: float) -> bool:
        """Drop the target if the URL has expired; return whether it has."""
        if now < self._expires:
            return False
        self.target = None
        return True


class PresignedUrls:
    """The presigned URLs that were given out, by their paths.

    Args:
        now: Returns the simulator's clock, in seconds, by which URLs expire.
        utc_now: Returns the time of day, for `expires_at`.
        lifetime: Seconds that a URL is valid.
    """

    def __init__(
        self, now: Callable[[], float], utc_now: Callable[[], datetime], lifetime: float = LIFETIME
    ) -> None:
        self.now = now
        self.utc_now = utc_now
        self.lifetime = lifetime
        self.base_url = ""
        self._by_path: dict[str, PresignedUrl] = {}
        self._valid: deque[PresignedUrl] = deque()  # those that expire first at the left

    def sign(self, method: str, *path: str, content_type: str | None = None) -> PresignedUrl:
        """Return a new URL.

        Args:
            method: The method that it is good for.
            path: Segments of its path, of which at least one is new.
            content_type: The `Content-Type` that the request must have; None for any.
        """
        raw_path = "/" + "/".join(quote(segment, safe="") for segment in path)
        at = self.utc_now()
        query = urlencode(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Date": at.strftime("%Y%m%dT%H%M%SZ"),
                "X-Amz-Expires": f"{self.lifetime:.0f}",
                "X-Amz-SignedHeaders": "host" if content_type is None else "content-type;host",
                _SIGNATURE: secrets.token_hex(32),
            }
        )
        signed = PresignedUrl(
            method=method,
            url=f"{self.base_url}{raw_path}?{query}",
            expires_at=at + timedelta(seconds=self.lifetime),
            content_type=content_type,
            query=query,
            expires=self.now() + self.lifetime,
        )
        self._by_path[raw_path] = signed
        # Else the files of all URLs that were ever given out would be kept.
        while self._valid and self._valid[0].forget(self.now()):
            self._valid.popleft()
        self._valid.append(signed)
        return signed

    def expire(self) -> None:
        """Make all URLs that were given out expire now."""
        for signed in self._by_path.values():
            signed.expire()

    def find(self, raw_path: str, query: Mapping[str, str]) -> PresignedUrl:
        """Return the URL of a path.

        Raises:
            StorageRefusedError: The request is not signed, or nothing was signed for this path.
        """
        if _SIGNATURE not in query:
            raise StorageRefusedError(403, "AccessDenied", "Access Denied")
        if (signed := self._by_path.get(raw_path)) is None:
            raise _mismatch()
        return signed


def hide_signature(query: Mapping[str, str]) -> Mapping[str, str]:
    """Return query parameters without the signature, which makes a URL a secret."""
    if _SIGNATURE not in query:
        return query
    return MappingProxyType({**query, _SIGNATURE: "[signature]"})


def _mismatch() -> StorageRefusedError:
    return StorageRefusedError(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    )
