"""``ExportJobs``: starts, lists, downloads and deletes the exports of batches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prolific_async import _validation
from prolific_async._api.exports import ExportsAPI
from prolific_async._message_parts import brief
from prolific_async._recovery.exports import ExportStarter
from prolific_async._resources.downloading import DownloadTarget

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from prolific_async._http.presigned import PresignedUrl
    from prolific_async._http.transport import Transport
    from prolific_async._polling.job_starts import JobStarts
    from prolific_async._resources.job_waits import JobWaits
    from prolific_async.export_models import Export
    from prolific_async.job_models import Progress

    Owner = Any  # the resource that an export is bound to


class ExportJobs:
    """Starts, lists, downloads and deletes exports, for one client or view.

    ``owner`` is the resource to which returned exports are bound.

    Args:
        transport: Sends the requests.
        job_starts: Remembers when each export began.
        job_waits: Waits for exports.

    """

    def __init__(self, transport: Transport, job_starts: JobStarts, job_waits: JobWaits) -> None:
        self._transport = transport
        self._job_starts = job_starts
        self._job_waits = job_waits
        self._api = ExportsAPI(transport)
        self._starter = ExportStarter(self._api, retry=transport.retry, sleep=transport.sleep)

    async def start(
        self, batch_id: str, owner: Owner, study_id: object, since: object, until: object
    ) -> Export:
        """Start an export and return it.

        Raises:
            ValueError: ``study_id`` is invalid; a time has no offset or is out of range; or
                ``until`` is before ``since``.
            ProlificError: As ``ExportStarter.start``.

        """
        export = await self._starter.start(batch_id, _export_filter(study_id, since, until))
        self._job_starts.add(export.id)
        return export.bind(owner)

    async def all(self, batch_id: str, owner: Owner) -> list[Export]:
        """Return the exports of a batch."""
        listed = await self._api.list(batch_id)
        return [export.bind(owner) for export in listed.exports]

    async def download(
        self,
        export: Export,
        owner: Owner,
        path: str | os.PathLike[str],
        *,
        overwrite: bool,
        on_progress: Callable[[Progress], object] | None,
    ) -> Path:
        """Wait until an export is complete, download its archive, and return the path.

        Raises:
            OSError: As ``DownloadTarget.fetch``.
            ProlificError: As ``DownloadTarget.fetch``, or the wait failed.

        """
        batch_id, export_id = _ids(export)
        target = DownloadTarget(path, overwrite=overwrite, on_progress=on_progress)
        await target.check()
        first = await self._api.url(batch_id, export_id)
        if first is None:
            await self._job_waits.export(export, owner, timeout=..., poll=None, on_event=None)
        api_path = self._api.path(batch_id, export_id)

        async def get_url() -> PresignedUrl:
            nonlocal first
            url, first = first, None
            return url or await self._api.needed_url(batch_id, export_id)

        return await target.fetch(self._transport, api_path, get_url)

    async def delete(self, export: Export) -> None:
        """Delete an export."""
        await self._api.delete(*_ids(export))


def _ids(export: Export) -> tuple[str, str]:
    return _validation.identifier(export.batch_id), _validation.identifier(export.export_id)


def _export_filter(study_id: object, since: object, until: object) -> dict[str, str]:
    """Check the filter of an export, and return its query parameters without those that are None.

    Raises:
        ValueError: As ``ExportJobs.start``.

    """
    moments = {"from": _moment("since", since), "to": _moment("until", until)}
    first, last = moments["from"], moments["to"]
    if first is not None and last is not None and last < first:
        raise ValueError(f"until must not be before since: {last} is before {first}")
    wanted = {"study_id": _validation.optional_identifier(study_id)} | {
        key: None if one is None else one.isoformat().replace("+00:00", "Z")
        for key, one in moments.items()
    }
    return {key: value for key, value in wanted.items() if value is not None}


def _moment(name: str, given: object) -> datetime | None:
    if given is None:
        return None
    if not isinstance(given, datetime) or given.utcoffset() is None:
        shown = brief(repr(given))
        raise ValueError(f"{name} must be a datetime with an offset (tzinfo): {shown}")
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name} with its offset is out of range: {brief(repr(given))}") from None
