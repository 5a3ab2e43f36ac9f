"""Presigned URLs: where a dataset's file is uploaded to.

Whoever has such a link can upload with it, so it is a secret: it stands in no repr, JSON, pickle,
log record or error.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (working with datasets).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn

from attrs import frozen

from prolific_async._json.converter import WireModel, load


class SecretUrl:
    """A URL whose repr hides it, and which cannot be pickled; ``reveal`` returns the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the URL as text."""
        return self._text

    def __repr__(self) -> str:
        return "[url]"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a presigned URL cannot be pickled: ask for a new one")


@frozen(eq=False)
class UploadUrl:
    """Where and how a file is uploaded.

    Attributes:
        url: The link.
        method: HTTP method of the upload.
        content_type: The ``Content-Type`` that the upload must have, None if any will do.
        expires_at: When the link ends, in UTC; None if the service does not tell.
        import_id: The import that the upload begins (V4), None for V3.

    """

    url: SecretUrl
    method: str
    content_type: str | None
    expires_at: datetime | None
    import_id: str | None


@frozen(eq=False, repr=False)
class _Wire(WireModel):
    upload_url: str
    http_method: str = "PUT"
    content_type: str | None = None
    expires_at: datetime | None = None
    import_id: str | None = None


def read_upload_url(data: Any, method: str, path: str) -> UploadUrl:
    """Read the response to the request for a URL.

    Raises:
        DecodeError: It does not have the documented form.

    """
    wire = load(_Wire, data, method, path)
    return UploadUrl(
        SecretUrl(wire.upload_url),
        wire.http_method,
        wire.content_type,
        wire.expires_at,
        wire.import_id,
    )
