"""Typed API calls for exports: they build each request and decode its response.

No method waits or recovers a lost call. The URL of an archive is a secret: only ``url`` and
``needed_url`` return it, and it is removed from what the other methods return.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (request, list and delete an export,
export status). They do not say if a list is an array or an object with ``results``: both are read.
"""

from __future__ import annotations

import asyncio
import builtins
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from prolific_async._api.batch_lists import ServiceTime
from prolific_async._api.batches import batch_path
from prolific_async._api.download_urls import download_url, needed_url
from prolific_async._api.path_segments import path_segment
from prolific_async._http.request import Request
from prolific_async._http.responses import adding_details, check_not_html, http_date
from prolific_async._http.retry import did_not_run, may_get_again, may_have_run
from prolific_async._json.converter import load
from prolific_async._json.pages import RESULTS
from prolific_async.errors import DecodeError, NotFoundError, ProlificError
from prolific_async.export_models import Export
from prolific_async.statuses import JobStatus

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from prolific_async._http.presigned import PresignedUrl
    from prolific_async._http.transport import Transport

_LINK = ("http_method", "expires_at")  # keys that belong to the URL of an archive


def create_export(batch_id: object, wanted: dict[str, str], *, prefix: str = "") -> Request:
    """Build the POST that starts an export; it has no body.

    Args:
        batch_id: The batch.
        wanted: The filter, sent as the query: any of ``study_id``, ``from`` and ``to``.
        prefix: Path of a gateway before the service's own paths, "" for none.

    """
    path = batch_path(batch_id, prefix) + "/export"
    query = urlencode(wanted, quote_via=quote, safe="")
    read = partial(_read_created, str(batch_id), wanted)
    return Request("POST", path, query, read=read, hides_response=True)


def list_exports(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a batch's exports."""
    return Request("GET", batch_path(batch_id, prefix) + "/export", hides_response=True)


def get_export(batch_id: object, export_id: object, *, prefix: str = "") -> Request:
    """Build the GET of an export."""
    read = partial(_read_export, str(batch_id), str(export_id))
    return Request("GET", _path(batch_id, export_id, prefix), read=read, hides_response=True)


def delete_export(batch_id: object, export_id: object, *, prefix: str = "") -> Request:
    """Build the DELETE of an export."""
    return Request("DELETE", _path(batch_id, export_id, prefix))


def _path(batch_id: object, export_id: object, prefix: str) -> str:
    return f"{batch_path(batch_id, prefix)}/export/{path_segment(export_id)}"


def _read_created(
    batch_id: str, wanted: dict[str, str], data: Any, method: str, path: str
) -> Export | None:
    asked_for = {"filter": wanted} if wanted else {}
    shown = {"status": "generating"} | asked_for | _without_link(load(dict, data, method, path))
    if shown["status"] == JobStatus.COMPLETE and "export_id" not in shown:
        return None
    return load(Export, shown | {"batch_id": batch_id}, method, path)


def _read_export(batch_id: str, export_id: str, data: Any, method: str, path: str) -> Export:
    ids = {"batch_id": batch_id, "export_id": export_id}  # missing from the response if complete
    return load(Export, _without_link(load(dict, data, method, path)) | ids, method, path)


def _without_link(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in data.items() if "url" not in key.lower() and key not in _LINK
    }


class Exports(NamedTuple):
    """The exports of a batch.

    Attributes:
        exports: The exports, in the service's order.
        time: The service's clock when they were listed.

    """

    exports: list[Export]
    time: ServiceTime


class ExportsAPI:
    """The API calls for exports. What they return is bound to no client.

    Each method may raise ConfigurationError (the client is closed), TransportError, APIStatusError
    and DecodeError, and ValueError for an invalid id.

    Args:
        transport: Sends the requests.

    """

    def __init__(self, transport: Transport) -> None:
        self._prefix = transport.prefix
        self._transport = transport
        self._send = transport.send

    def create(self, batch_id: str, wanted: dict[str, str]) -> Coroutine[Any, Any, Export | None]:
        """Start an export and return it; sent again only when the POST surely did not run.

        Returns None if the service answers with a complete export without its id, as it did in
        2026.
        """
        request = create_export(batch_id, wanted, prefix=self._prefix)
        return self._send(request, None, did_not_run)

    def without_id(self, batch_id: str) -> DecodeError:
        """Return the error of a complete export whose id is neither in the response nor listed."""
        request = create_export(batch_id, {}, prefix=self._prefix)
        return DecodeError(("$.export_id: it is missing",), None, request.method, request.path)

    async def list(self, batch_id: str) -> Exports:
        """Return the exports of a batch."""
        request = list_exports(batch_id, prefix=self._prefix)
        response = await self._send(request, None, may_get_again)
        time = ServiceTime(
            http_date(response.headers.get("Date", "")), asyncio.get_running_loop().time()
        )
        data, details = response.data, response.error_details
        # The response may echo the token, and some loggers print the local variables of errors.
        del response
        with adding_details(details):
            return Exports(_read_list(batch_id, data, request), time)

    async def url(self, batch_id: str, export_id: str) -> PresignedUrl | None:
        """Return a URL of an export's archive, None while the export is not complete."""
        request = get_export(batch_id, export_id, prefix=self._prefix)
        return await download_url(self._transport, request)

    async def needed_url(self, batch_id: str, export_id: str) -> PresignedUrl:
        """Return a URL of the archive of a complete export.

        Raises:
            DecodeError: Also if the response has no URL.

        """
        request = get_export(batch_id, export_id, prefix=self._prefix)
        return await needed_url(self._transport, request)

    def path(self, batch_id: str, export_id: str) -> str:
        """Return the path of an export."""
        return _path(batch_id, export_id, self._prefix)

    async def delete(self, batch_id: str, export_id: str) -> None:
        """Delete an export; sent again as a GET is.

        A 404 is a success if an earlier attempt may have run.
        """
        may_be_gone = False

        def again(error: ProlificError) -> bool:
            nonlocal may_be_gone
            may_be_gone |= may_have_run(error)
            return may_get_again(error)

        request = delete_export(batch_id, export_id, prefix=self._prefix)
        try:
            response = await self._send(request, None, again, raw=True)
        except NotFoundError:
            if not may_be_gone:
                raise
            return
        if response.data:  # usually empty
            check_not_html(request, response.headers, "the service says that it is deleted")


def _read_list(batch_id: str, data: Any, request: Request) -> builtins.list[Export]:
    call = (request.method, request.path)
    at = "$"
    if isinstance(data, dict):
        at, data = f"$.{RESULTS}", data.get(RESULTS)
    elements: list[Any] = load(list, data, *call, at=at)
    exports = []
    for index, one in enumerate(elements):
        here = f"{at}[{index}]"
        shown = _without_link(load(dict, one, *call, at=here))
        exports.append(load(Export, shown | {"batch_id": batch_id}, *call, at=here))
    return exports
