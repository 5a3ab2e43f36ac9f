"""Typed API call that returns the URL of a batch's report.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (get the report of a batch).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prolific_async._api.batches import batch_path
from prolific_async._api.download_urls import needed_url
from prolific_async._http.request import Request

if TYPE_CHECKING:
    from prolific_async._http.presigned import PresignedUrl
    from prolific_async._http.transport import Transport


def get_report(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a report's URL; the service documents the trailing slash."""
    return Request("GET", batch_path(batch_id, prefix) + "/report/")


async def report_url(transport: Transport, batch_id: str) -> PresignedUrl:
    """Return a URL of a batch's report.

    Raises:
        DecodeError: The response has no URL.
        ProlificError: The request failed.

    """
    return await needed_url(transport, get_report(batch_id, prefix=transport.prefix))
