"""``Report``: the answers to a batch, row by row."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import NoReturn

from prolific_async._api.reports import get_report, report_url
from prolific_async._http.download import Download
from prolific_async._http.error_translation import add_yielded
from prolific_async._http.transport import Transport
from prolific_async._report.rows import ReportReader
from prolific_async._resources.downloading import DownloadTarget
from prolific_async._time_slices import TimeSlices
from prolific_async.errors import ConnectionLostError, TransportError
from prolific_async.job_models import Progress
from prolific_async.report_models import ReportRow


class Report:
    """The report of a batch: a CSV with a row for each datapoint and instruction.

    ``client.batches.report`` makes it and sends nothing: each call of its methods asks for the
    report as it is then. Only rows with an answer are in it, in an order that may change. Answers
    are stored when a participant hands in a whole task group.

    With the ``key`` that its rows were uploaded with, each answer finds its row:

    ```python
    async for row in client.batches.report(batch_id).rows():
        for annotation in row.annotations:
            print(row.key, annotation.participant_id, annotation.response)
    ```

    Both methods may raise the errors of every call of ``client.batches``, also for responses of the
    storage, and list only further errors.

    Attributes:
        batch_id: The batch.

    """

    def __init__(self, transport: Transport, batch_id: str) -> None:
        self.batch_id = batch_id
        self._transport = transport
        self._path = get_report(batch_id, prefix=transport.prefix).path
        self._get_link = partial(report_url, transport, batch_id)

    def __repr__(self) -> str:
        return f"<Report of batch {self.batch_id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Report cannot be pickled: it has a client, so keep its batch_id instead")

    async def rows(self) -> AsyncGenerator[ReportRow]:
        """Yield the rows as they arrive; little of the report is held in memory.

        The HTML escaping of the service is undone. A lost connection is resumed where the storage
        allows for that, and the report is begun again where no row was yielded yet. It may take any
        time, but ``request_timeout`` seconds in which nothing comes count as a lost connection.

        To end early, close the generator as by ``contextlib.aclosing``, so that its connection is
        closed at once. Cells of up to 4 MiB are read.

        Raises:
            TransportError: Also after some rows; its text tells how many.
            DecodeError: Also if the report is no CSV of the documented form.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-report

        """
        call = ("GET", self._path)
        reader, received = ReportReader(call), 0
        slices = TimeSlices()
        download = Download(self._transport, self._path, self._get_link)
        try:
            async with aclosing(download.pieces()) as pieces:
                async for piece in pieces:
                    if piece.start != received:  # the download was begun anew
                        if reader.count:
                            raise ConnectionLostError(*call, "the report could not be resumed")
                        reader = ReportReader(call)
                    received = piece.start + len(piece.data)
                    for rows in reader.feed(piece.data):
                        for row in rows:
                            yield row
                        await slices.yield_if_due()
        except TransportError as error:
            add_yielded(error, reader.count, "row")
            raise
        for rows in reader.finish():
            for row in rows:
                yield row
            await slices.yield_if_due()

    async def download(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Path:
        """Save the report as the service has written it, and return its path.

        The file appears under the path only when it is complete: it is written beside the path with
        a name that ends in ".part", and moved there at the end. If the connection is lost, the
        download goes on from there where the storage allows for that. After an error or a
        cancellation the path is as it was before.

        The file is UTF-8, and its text is escaped as HTML, which ``rows`` undoes.

        Args:
            path: The path of the file; its directory must be there.
            overwrite: Whether a file that is there is replaced.
            on_progress: A plain function that is called with a ``Progress`` in bytes while they
                come; what it raises is logged.

        Raises:
            FileExistsError: There is a file, and ``overwrite`` is False. It is kept.
            OSError: The file cannot be written: the disk is full, say.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-report

        """
        target = DownloadTarget(path, overwrite=overwrite, on_progress=on_progress)
        await target.check()
        return await target.fetch(self._transport, self._path, self._get_link)
