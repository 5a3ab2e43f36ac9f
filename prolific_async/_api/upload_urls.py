"""Reads the response that has the upload URL for a dataset's file.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (working with datasets).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from attrs import frozen

from prolific_async._http.presigned import PresignedUrl, content_type_of, expiry
from prolific_async._json.converter import WireModel, load
from prolific_async.errors import DecodeError


class UploadUrl(NamedTuple):
    """The URL to which a file is uploaded.

    Attributes:
        presigned_url: The presigned URL, a secret.
        import_id: Id of the import that the upload starts (V4), None for V3.

    """

    presigned_url: PresignedUrl
    import_id: str | None


@frozen(eq=False, repr=False)
class _Wire(WireModel):
    upload_url: str
    http_method: str = "PUT"
    content_type: str | None = None
    expires_at: datetime | None = None
    import_id: str | None = None


def read_upload_url(
    data: Any,
    headers: Mapping[str, str],
    received: float,
    *,
    filename: str,
    call: tuple[str, str],
) -> UploadUrl:
    """Read the upload URL in a response.

    Args:
        data: The response's JSON.
        headers: The response's headers.
        received: The loop time at which the response arrived.
        filename: Name of the file; its ending gives the content type if the response does not.
        call: Method and path of the request.

    Raises:
        DecodeError: The response does not have the documented form. The error does not show the
            body, which may contain the URL.

    """
    try:
        wire = load(_Wire, data, *call)
    except DecodeError as error:
        problems = error.problems
    else:
        presigned_url = PresignedUrl(
            wire.upload_url,
            method=wire.http_method,
            content_type=wire.content_type or content_type_of(filename),
            expires=expiry(wire.expires_at, headers, received),
        )
        return UploadUrl(presigned_url, wire.import_id)
    del data  # some loggers print the local variables of a traceback
    raise DecodeError(problems, None, *call)
