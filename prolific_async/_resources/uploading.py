"""Uploads a file or rows to a dataset: checks, encodes and sends them to an upload URL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import frozen

from prolific_async._api.datasets import get_upload_url
from prolific_async._http.upload import upload
from prolific_async.dataset_models import Upload
from prolific_async.dataset_schema import V3
from prolific_async.job_models import Progress
from prolific_async.statuses import DatasetStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async._api.datasets import DatasetsAPI
    from prolific_async._api.upload_urls import UploadUrl
    from prolific_async._http.presigned import PresignedUrl
    from prolific_async._http.transport import Transport
    from prolific_async._sources.payload import Payload
    from prolific_async._sources.source import Source
    from prolific_async.dataset_models import Dataset


@frozen(eq=False, repr=False)
class Uploader:
    """Uploads sources to datasets.

    Args:
        transport: The client's transport, for its settings.
        api: Reads datasets, and asks for upload URLs.

    """

    _transport: Transport
    _api: DatasetsAPI

    async def upload(
        self,
        dataset_id: str,
        source: Source,
        on_progress: Callable[[Progress], object] | None,
    ) -> Upload:
        """Send a source to a dataset, and return once the storage has the file.

        Raises:
            ValueError: The source cannot be read or sent, or the dataset takes no more files.
            ProlificError: A request or the transfer failed.

        """
        async with source:  # an unreadable source fails here, before anything is sent
            dataset = await self._api.get(dataset_id)
            _check_takes_files(dataset)
            payload = await source.payload(dataset.generation, dataset.schema)
            url = await self._send(dataset_id, payload, on_progress)
            # Inside "async with": the size can be read only while the source is open.
            return Upload(
                url.import_id or dataset_id,
                dataset_id,
                payload.filename,
                payload.size,
                payload.rows,
                url.import_id,
            )

    async def _send(
        self, dataset_id: str, payload: Payload, on_progress: Callable[[Progress], object] | None
    ) -> UploadUrl:
        """Send a file, and return the upload URL that accepted it."""
        url = await self._api.upload_url(dataset_id, payload.filename)
        now = asyncio.get_running_loop().time
        began = now()

        async def renew() -> PresignedUrl:
            nonlocal url
            url = await self._api.upload_url(dataset_id, payload.filename)
            return url.presigned_url

        def report_progress(sent: int) -> None:
            assert on_progress is not None  # noqa: S101 - for the type checker
            on_progress(Progress("upload", sent, payload.size, "bytes", now() - began))

        path = get_upload_url(dataset_id, payload.filename, prefix=self._transport.prefix).path
        await upload(
            self._transport,
            path,
            payload,
            url.presigned_url,
            renew=renew,
            on_progress=None if on_progress is None else report_progress,
        )
        return url


def _check_takes_files(dataset: Dataset) -> None:
    """Check that a dataset accepts a file: a V3 dataset accepts only one.

    A wait after a second upload would end at once, as the first file has made the dataset READY.

    Raises:
        ValueError: A V3 dataset has its file already.

    """
    status = dataset.status
    if dataset.generation == V3 and status not in (None, DatasetStatus.UNINITIALISED):
        raise ValueError(
            f"dataset {dataset.id} has its file ({status}): a dataset without a schema takes one, "
            "so upload to a new dataset"
        )
