"""The calls of ``client.batches`` that export answers."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

# For annotations: what is imported on its first use.
import prolific_async
from prolific_async import _validation
from prolific_async._http.transport import Transport
from prolific_async._polling.begun_jobs import BegunJobs
from prolific_async.models import Batch

if TYPE_CHECKING:
    from prolific_async._exports import ExportJobs


class BatchExports:
    """Exports the answers to batches.

    Args:
        transport: Sends the requests.
        begun: Keeps when an export began.

    """

    def __init__(self, transport: Transport, begun: BegunJobs) -> None:
        self._export_settings = transport, begun

    @cached_property
    def export_jobs(self) -> ExportJobs:
        """Begins, lists, downloads and deletes exports, for their own methods."""
        from prolific_async._exports import ExportJobs  # noqa: PLC0415 - on its first use

        return ExportJobs(*self._export_settings)

    async def export(
        self,
        batch: Batch | str | UUID,
        *,
        study_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> prolific_async.Export:
        """Start an export of the answers to a batch, an archive; ``download`` it next.

        While an export is generating, the service returns it to every request for the same answers.
        The POST is repeated only if it surely did not run. If its response is lost, the export is
        searched for among those of the batch: one of the same answers that was made since the call,
        or that is generating, is returned.

        Args:
            batch: The batch.
            study_id: Export only the answers of this study.
            since: Export only answers from this time on, which must have an offset.
            until: Export only answers up to this time, which must have an offset.

        Returns:
            The export, bound to this client.

        Raises:
            OutcomeUnknownError: The POST may have run, and no export is surely the one that it
                made.
            APIStatusError: A batch has at most ten exports. The error says so if that is why it was
                refused: delete one of ``exports``.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/request-batch-export

        """
        batch_id = _validation.batch_id(batch)
        return await self.export_jobs.start(batch_id, self, study_id, since, until)

    async def exports(self, batch: Batch | str | UUID) -> list[prolific_async.Export]:
        """Return the exports of a batch that were not deleted, in the service's order.

        Args:
            batch: The batch.

        Returns:
            The exports, bound to this client.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/list-batch-export-jobs

        """
        return await self.export_jobs.all(_validation.batch_id(batch), self)
