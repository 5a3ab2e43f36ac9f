"""The methods of ``client.batches`` that read and export the answers to batches."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

# For annotations with classes that are imported on their first use.
import prolific_async
from prolific_async import _validation
from prolific_async._http.transport import Transport
from prolific_async._polling.job_starts import JobStarts
from prolific_async._resources.job_waits import JobWaits
from prolific_async.models import Batch

if TYPE_CHECKING:
    from prolific_async._resources.exports import ExportJobs


class BatchAnswers:
    """Reads and exports the answers to batches.

    Args:
        transport: Sends the requests.
        job_starts: Remembers when each export began.
        job_waits: Waits for exports.

    """

    def __init__(self, transport: Transport, job_starts: JobStarts, job_waits: JobWaits) -> None:
        self._transport = transport
        self._job_starts = job_starts
        self.job_waits = job_waits

    @cached_property
    def export_jobs(self) -> ExportJobs:
        """Starts, lists, downloads and deletes exports; also used by the methods of ``Export``."""
        from prolific_async._resources.exports import ExportJobs  # noqa: PLC0415 - on its first use

        return ExportJobs(self._transport, self._job_starts, self.job_waits)

    def responses(self, batch: Batch | str | UUID) -> AsyncGenerator[prolific_async.TaskResponse]:
        """Yield the participants' answers, each response as soon as it has arrived.

        Answers are stored when a participant hands in a whole group of tasks; there is one response
        for each participant, task and instruction, in the service's order. However many there are,
        only a few are in memory at a time. The request occupies one of the client's connections
        until the last response has arrived or the generator is closed. At most half of
        ``max_connections`` serve such streams at once, so that waits and other calls go on. Further
        streams wait until another stream ends, so do not read more than that side by side; with
        ``max_connections=1``, other calls wait as well. To leave a loop early, close the generator,
        as by ``contextlib.aclosing``::

            async with aclosing(client.batches.responses(batch_id)) as responses:
                async for response in responses:
                    print(response.key, response.answers[0].value)

        The body may take any time, but RequestTimeoutError is raised when nothing arrives for
        ``request_timeout`` seconds. If the connection breaks before the first response, the request
        is sent again as other GETs are. If it breaks later, the error tells how many responses had
        arrived, and another call begins with the first response again.

        Args:
            batch: The batch.

        Raises:
            ConnectionLostError, RequestTimeoutError: Also after the first response; the message
                then tells how many had arrived.
            DecodeError: Also if a response cannot be read or is longer than 4,194,304 characters,
                or if there are fewer responses than the service counts.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-task-responses

        """
        batch_id = _validation.batch_id(batch)
        self._transport.check_usable()
        from prolific_async._api.task_responses import (  # noqa: PLC0415 - on its first use
            stream_responses,
        )

        return stream_responses(self._transport, batch_id)

    def report(self, batch: Batch | str | UUID) -> prolific_async.Report:
        """Return the report of a batch, without reading it yet: see ``Report``.

        Args:
            batch: The batch.

        Returns:
            The report, which ``rows`` reads and ``download`` saves.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-report

        """
        from prolific_async.report import Report  # noqa: PLC0415 - imported on its first use

        return Report(self._transport, _validation.batch_id(batch))

    async def export(
        self,
        batch: Batch | str | UUID,
        *,
        study_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> prolific_async.Export:
        """Start an export of a batch's answers to an archive; call its ``download`` next.

        While an export is generating, the service returns it to every request for the same answers.
        The POST is repeated only if it surely did not run. If its response is lost, the batch's
        exports are searched: an export of the same answers that is generating, or was made since
        the call began, is returned. If the service returns a complete export without its id, the
        newest complete export of the same answers is returned.

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
            DecodeError: Also if the service returns an export without its id, and no complete
                export of the same answers is found.
            APIStatusError: Also if the batch has ten exports already, the maximum; the error then
                advises to delete one.

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
