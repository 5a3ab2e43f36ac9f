"""``Export``: the job that packs the answers to a batch into an archive.

Facts about the fields: https://docs.prolific.com/api-reference/ai-task-builder (request, list and
delete an export, export status).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import EllipsisType

from attrs import field, frozen

# For annotations: a job refers to its resource, and the resource to jobs.
import prolific_async
from prolific_async._bound_models import BoundJob
from prolific_async._json.converter import load
from prolific_async._json.scalars import JsonObject
from prolific_async.errors import DecodeError
from prolific_async.job_models import Progress
from prolific_async.models import StatusEvent
from prolific_async.policies import PollPolicy
from prolific_async.statuses import JobStatus


@frozen(repr=False)
class Export(BoundJob):
    """An archive of the answers to a batch, which the service makes in the background.

    ``client.batches.export`` and ``exports`` return it. A batch has at most ten, until some are
    deleted. The link to the archive is a secret and not kept here: ``download`` asks for it.

    Attributes:
        export_id: Its id; a UUID, as text.
        batch_id: The batch.
        status: Its status when this was read: GENERATING, COMPLETE or FAILED.
        filter: The answers that it holds, as the JSON of the request; None for all.
        created_at: When it was requested, in UTC; None if that is not known.
        extra: Unknown keys of the response, read-only.

    Source: https://docs.prolific.com/api-reference/ai-task-builder/request-batch-export

    """

    export_id: str
    batch_id: str
    status: JobStatus
    filter: JsonObject | None = field(default=None, hash=False)
    created_at: datetime | None = None

    @property
    def id(self) -> str:
        """The export's id, under the attribute name that all jobs share."""
        return self.export_id

    @property
    def study_id(self) -> str | None:
        """The study whose answers it holds; None for all studies."""
        study_id = (self.filter or {}).get("study_id")
        return study_id if isinstance(study_id, str) else None

    @property
    def since(self) -> datetime | None:
        """The earliest time of the answers that it holds, in UTC; None for no limit."""
        return self._moment("from")

    @property
    def until(self) -> datetime | None:
        """The latest time of the answers that it holds, in UTC; None for no limit."""
        return self._moment("to")

    def _moment(self, key: str) -> datetime | None:
        try:
            return load(datetime, (self.filter or {}).get(key))
        except DecodeError:
            return None

    def __repr__(self) -> str:
        """Show its id, status and filter, in one line; ``to_dict`` shows all of it."""
        known = {"study": self.study_id, "since": self.since, "until": self.until}
        told = "".join(f", {what} {one}" for what, one in known.items() if one is not None)
        return f"<Export {self.id} {self.status}{told}>"

    async def wait(
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Export:
        """Wait until the archive is there, and return the export as it is then.

        Args:
            timeout: Seconds for everything, None for no limit; by default the policy's.
            poll: How often to poll and what to tolerate; by default the client's policy.
            on_event: A plain function that is called with every poll; what it raises is logged.

        Raises:
            JobFailedError: The export failed.
            WaitFailedError: Polling failed for good, or the client was closed.
            WaitTimeoutError: The timeout is over.

        """
        batches: prolific_async.Batches = self._owner("client.batches")
        return await batches.job_waits.export(
            self, batches, timeout=timeout, poll=poll, on_event=on_event
        )

    async def download(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Path:
        """Download the archive to a path, and return the path; ``ExportArchive`` reads it.

        It waits while the export is generating, as ``wait`` does. The archive is written to a file
        beside the path whose name ends in ".part", and moved to the path once it is complete. If
        its connection is lost, the download goes on from there. After an error or a cancellation
        the path is as it was before, and the other file is removed; a process that is killed leaves
        it.

        Args:
            path: The path of the file.
            overwrite: Whether a file that is there is replaced.
            on_progress: A plain function that is called with a ``Progress`` while bytes come; what
                it raises is logged.

        Raises:
            FileExistsError: There is a file, and ``overwrite`` is False. It is kept.
            OSError: The file cannot be written: the disk is full, say.
            JobFailedError: The export failed.
            WaitFailedError: Polling failed for good, or the client was closed.
            WaitTimeoutError: The export took longer than the policy's timeout.
            TransportError: The connection was lost as often as the retry policy allows, or no byte
                came for ``request_timeout``.
            APIStatusError: The storage, or the service, refused it.
            DecodeError: The response is no file, or has no link to one.

        """
        batches: prolific_async.Batches = self._owner("client.batches")
        return await batches.export_jobs.download(
            self, batches, path, overwrite=overwrite, on_progress=on_progress
        )

    async def delete(self) -> None:
        """Delete this export and its archive; that cannot be undone.

        The call is repeated as a read is. That a repeat finds no such export is a success.

        Raises:
            ConflictError: It is generating.
            NotFoundError: It was deleted before.
            DecodeError: A page of HTML came instead of the service's response.

        """
        batches: prolific_async.Batches = self._owner("client.batches")
        await batches.export_jobs.delete(self)
