"""``client.datasets``: the calls on datasets, the rows that a batch's tasks are made from."""

from __future__ import annotations

from collections.abc import Callable, Sized
from types import EllipsisType
from typing import Any, TypeAlias
from uuid import UUID

from prolific_async import _validation
from prolific_async._api.datasets import DatasetsAPI
from prolific_async._http.transport import Transport
from prolific_async._polling.wait_methods import WaitMethods
from prolific_async._recovery.unknown_outcome import sent_once
from prolific_async._resources.appending import Appending
from prolific_async._resources.client_state import ClientState
from prolific_async._resources.job_waits import JobWaits
from prolific_async._resources.uploading import Uploader
from prolific_async._sources import row_keys
from prolific_async._sources.append_slices import check_records
from prolific_async._sources.source import Source
from prolific_async._sources.types import Records, SourceLike
from prolific_async.dataset_models import Dataset, Upload
from prolific_async.dataset_schema import V3, DatasetSchema
from prolific_async.job_models import AppendResult, Progress, SchemaMigration
from prolific_async.models import StatusEvent
from prolific_async.policies import PollPolicy, RetryPolicy
from prolific_async.statuses import DatasetStatus, JobStatus

DatasetOrId: TypeAlias = Dataset | str | UUID
"""A dataset, or its id as text or as a UUID; for the signatures of your own helpers."""


class Datasets:
    """Makes datasets, reads them, uploads files and records, and changes their schemas.

    A dataset is given as a ``Dataset``, as its id in text, or as a ``uuid.UUID``. There are two
    generations: one that is made with a schema is of V4, one without of V3.

    Every call may raise ConfigurationError (the client is closed, or used from a second loop),
    TransportError, APIStatusError and DecodeError, and, before anything is sent, ValueError for an
    invalid argument. The methods list only further errors.

    Attributes:
        job_waits: Waits for the jobs that it began, for their own ``wait``.

    """

    def __init__(
        self, transport: Transport, retry: RetryPolicy, poll: PollPolicy, state: ClientState
    ) -> None:
        self._api = DatasetsAPI(transport)
        self._uploader = Uploader(transport, self._api)
        self._sleep = transport.sleep
        self._retry = retry
        self._poll = poll
        self._job_starts = state.job_starts
        waits = WaitMethods[Any](state.wait_runner, {}, transport.request_timeout, retry)
        self.job_waits = JobWaits(waits, state.job_starts, poll)

    async def create(
        self, workspace_id: str, *, name: str, schema: DatasetSchema | None = None
    ) -> Dataset:
        """Make a dataset without rows, and return it.

        The POST is repeated only if it surely did not run. The service lists no datasets, so one
        whose response is lost cannot be searched for; it holds nothing and costs nothing.

        Args:
            workspace_id: The workspace to make it in.
            name: Its name.
            schema: The fields of its rows, which makes it one of V4; by default it is one of V3,
                which takes one file.

        Returns:
            The dataset, bound to this client.

        Raises:
            OutcomeUnknownError: The POST may have run.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/create-task-builder-dataset

        """
        workspace_id = _validation.identifier(workspace_id)
        name = _validation.new_name(name)
        fields = None if schema is None else _validation.dataset_schema(schema)
        dataset = await sent_once(self._api.create(workspace_id, name=name, schema=fields))
        self._job_starts.add(dataset.id)
        return dataset.bind(self)

    async def get(self, dataset: DatasetOrId) -> Dataset:
        """Read a dataset and return it, bound to this client."""
        return (await self._api.get(_validation.dataset_id(dataset))).bind(self)

    async def get_status(self, dataset: DatasetOrId) -> DatasetStatus | None:
        """Return the status of a V3 dataset, None if the service sends none.

        The status of a V4 dataset says nothing: each of its imports has its own.

        Source: https://docs.prolific.com/api-reference/ai-task-builder (dataset status).
        """
        return await self._api.get_status(_validation.dataset_id(dataset))

    async def upload(
        self,
        dataset: DatasetOrId,
        source: SourceLike,
        *,
        filename: str | None = None,
        key: str | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Upload:
        """Upload a file or rows to a dataset, and return once the service has stored the file.

        Its rows are imported afterwards: ``await upload.wait()`` returns the dataset once they are.
        A V3 dataset takes one file, a V4 dataset any number. Rows are sent as ``rows.csv`` (V3) or
        ``rows.jsonl`` (V4).

        The file is sent again after a lost connection, a time-out or a 5xx, and to a new address
        when the first has expired. The transfer may take any time, but no longer than
        ``request_timeout`` in which no byte moves. The API token does not go with it.

        Args:
            dataset: The dataset.
            source: A path (``~`` is not expanded), bytes, a file that was opened in binary mode, or
                an iterable, plain or async, of bytes or of rows, which are mappings of column names
                to cells. A plain iterable is read in the event loop. A generator may reuse one dict
                or buffer for all of its items.
            filename: Name of the file, needed for bytes. It ends in .csv or .zip (V3), or in .csv
                or .jsonl (V4).
            key: Name of the column that joins answers to rows later. Its text, unique in the
                source, is sent a second time as ``META_ROW_KEY``, which participants do not see;
                the schema of a V4 dataset must have that field, of the type "metadata".
            on_progress: A plain function that is called after each piece; what it raises is logged.

        Returns:
            The upload, bound to this client.

        Raises:
            ValueError: Also if the source is empty or cannot be sent, changes while it is sent, or
                the dataset takes no such file, or no more files.
            TypeError: The source is of another type, such as a DataFrame; the message says what to
                pass instead.
            OSError: The file cannot be read.

        Source: https://docs.prolific.com/api-reference/ai-task-builder (working with datasets).

        """
        dataset_id = _validation.dataset_id(dataset)
        on_progress = _validation.plain_function("on_progress", on_progress)
        given = Source(source, filename=filename, key=key)
        upload = await self._uploader.upload(dataset_id, given, on_progress)
        self._job_starts.add(upload.id, dataset_id, rows=upload.rows)
        return upload.bind(self)

    async def append(
        self,
        dataset: DatasetOrId,
        records: Records,
        *,
        key: str | None = None,
        timeout: float | EllipsisType | None = ...,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> AppendResult:
        """Add records to a V4 dataset, in slices of up to 1,000 records and 4 MiB.

        While an import or a migration runs, the service refuses (409), and the slice is sent again
        later. A slice whose response is lost is sent again at once, since the service stores
        identical records only once. If a batch of the dataset has ``auto_sync_enabled``, tasks for
        the new records are built automatically; more tasks under an active study may mean more pay.

        Args:
            dataset: The dataset, which has a schema.
            records: An iterable, plain or async, of mappings; any number. A plain one is read in
                the event loop.
            key: Name of the field that joins answers to records later. Its text, unique in each
                call, is sent a second time as ``META_ROW_KEY``, a field of the type "metadata" that
                the schema must have.
            timeout: Seconds for everything, None for no limit. By default the policy's, or a minute
                and a second for ten records if that is longer and ``len(records)`` is known.
            on_progress: A plain function that is called after each slice; what it raises is logged.

        Returns:
            How many records were accepted and how many rejected, and why. Check it: the service
            answers with a success even when it accepted none.

        Raises:
            RequestTimeoutError: The timeout is over.
            ValueError: Also if a record cannot be sent; ``result`` tells what was accepted
                before it.
            TypeError: ``records`` is no iterable of mappings.
            Exception: Each error that comes after the first request has ``result``, what was
                accepted before it.

        Source: https://docs.prolific.com/api-reference/ai-task-builder (append datapoints).

        """
        dataset_id = _validation.dataset_id(dataset)
        check_records(records)
        key = row_keys.checked_key(key)
        known = len(records) if isinstance(records, Sized) else None
        default = _validation.default_limit(self._poll, known)
        limit = default if timeout is ... else _limit(timeout)
        on_progress = _validation.plain_function("on_progress", on_progress)
        schema = None
        if isinstance(dataset, Dataset):
            schema = dataset.schema
            if dataset.generation == V3:
                raise ValueError(
                    f"dataset {dataset_id} has no schema, so it takes one file: call upload"
                )
        if key is not None and not row_keys.takes_keys(schema):  # unknown or outdated
            row_keys.check_schema((await self._api.get(dataset_id)).schema)
        appending = Appending(
            self._api, dataset_id, self._retry, self._poll, self._sleep, on_progress
        )
        return await appending.run(records, key=key, limit=limit)

    async def update_schema(
        self, dataset: DatasetOrId, schema: DatasetSchema
    ) -> SchemaMigration | None:
        """Give a V4 dataset another schema.

        Uploads that wait for a schema (``pending_schema``) go on with the first one. The PATCH is
        repeated only if it surely did not run: each one makes a new version of the schema.

        Args:
            dataset: The dataset.
            schema: All of its fields. Which one is the ``task_group_id`` cannot be changed once
                there are rows.

        Returns:
            The migration of the rows to the new schema, bound to this client; None if there is
            nothing to migrate.

        Raises:
            OutcomeUnknownError: The PATCH may have run; ``get`` shows the schema.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/update-task-builder-dataset

        """
        dataset_id = _validation.dataset_id(dataset)
        fields = _validation.dataset_schema(schema)
        updated = await sent_once(self._api.update_schema(dataset_id, fields))
        if updated.migration_job_id is None:
            return None
        # All that is known of it without another request, which could fail.
        migration = SchemaMigration(updated.migration_job_id, dataset_id, JobStatus.PROCESSING)
        self._job_starts.add(migration.id, rows=updated.total_datapoint_count)
        return migration.bind(self)

    async def wait_until_ready(
        self,
        dataset: DatasetOrId,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Dataset:
        """Wait until batches can be set up with a dataset, and return it.

        A V3 dataset is ready when its status is READY. A V4 dataset has no status: the wait goes on
        while an import runs, and the dataset is ready when an import was complete or partial or
        when it has datapoints. An upload's own ``wait`` tells whether its whole file was imported.

        Args:
            dataset: The dataset.
            timeout: Seconds for everything, None for no limit. By default the policy's, or a minute
                and a second for ten rows if that is longer and this client has uploaded them.
            poll: How often to poll and what to tolerate; by default the client's policy.
            on_event: A plain function that is called with every poll; what it raises is logged.
                ``status`` is that of the dataset (V3) or of the import that counts (V4).

        Returns:
            The dataset as it was then, bound to this client.

        Raises:
            JobFailedError: The file could not be imported (V3).
            NothingUploadedError: For ``uninitialised_grace``, no import ran or had accepted
                rows (V4).
            WaitFailedError: Polling failed for good, or the client was closed.
            WaitTimeoutError: The timeout is over.

        """
        dataset_id = _validation.dataset_id(dataset)
        return await self.job_waits.dataset(
            dataset_id, self, timeout=timeout, poll=poll, on_event=on_event
        )


def _limit(timeout: float | None) -> float | None:
    seconds = _validation.timeout(timeout)
    if seconds == 0:
        raise ValueError("timeout must be above 0: it bounds the requests, too")
    return seconds
