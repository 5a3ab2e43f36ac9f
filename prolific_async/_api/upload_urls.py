"""The response that says where a dataset's file is uploaded to.

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
    """Where a file is uploaded.

    Attributes:
        link: The presigned URL, a secret.
        import_id: The import that the upload begins (V4), None for V3.

    """

    link: PresignedUrl
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
    """Read the response to the request for a URL.

    Args:
        data: Its JSON.
        headers: Its headers.
        received: The loop time at which it came.
        filename: The name of the file, whose ending tells a content type if the service does not.
        call: Method and path of the request.

    Raises:
        DecodeError: It does not have the documented form. Its body, which may have the link, is
            left out.

    """
    try:
        wire = load(_Wire, data, *call)
    except DecodeError as error:
        problems = error.problems
    else:
        link = PresignedUrl(
            wire.upload_url,
            method=wire.http_method,
            content_type=wire.content_type or content_type_of(filename),
            expires=expiry(wire.expires_at, headers, received),
        )
        return UploadUrl(link, wire.import_id)
    del data  # loggers show the local variables of an error's frames
    raise DecodeError(problems, None, *call)
