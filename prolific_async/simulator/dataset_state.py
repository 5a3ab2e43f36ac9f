"""`Datasets`: uploads, imports, appends and changes of the schema, as requests make them."""

import uuid
from typing import Any, BinaryIO

import attrs

from prolific_async.simulator.batch_syncs import start_auto_syncs
from prolific_async.simulator.dataset_jobs import add_rows, end_due
from prolific_async.simulator.dataset_models import (
    Dataset,
    ImportedRows,
    ImportJob,
    Migration,
    Run,
)
from prolific_async.simulator.import_reader import ImportReader
from prolific_async.simulator.responses import RefusedError
from prolific_async.simulator.row_import import (
    CONTENT_TYPES,
    check_records,
    group_field,
    suffix,
)
from prolific_async.simulator.setup_durations import Ending, RowsPerSecond
from prolific_async.simulator.state import State
from prolific_async.simulator.storage import Upload, Uploads
from prolific_async.simulator.uploaded_rows import jsonl_records

__all__ = ["MAX_RECORDS", "Datasets"]

MAX_RECORDS = 1000


@attrs.define(eq=False)
class Datasets:
    """The datasets of a state.

    Args:
        state: The state that is read and changed.
        uploads: Makes presigned URLs; the files that are sent to them are given to `store`.
        speed: When imports, migrations and syncs end.
    """

    state: State
    uploads: Uploads
    speed: Ending | RowsPerSecond
    _reader: ImportReader = attrs.field(init=False, factory=ImportReader)

    def poll(self, dataset: Dataset) -> Dataset:
        """Count a poll of all jobs that run on a dataset, update it, and return it."""
        for job in dataset.running:
            if job.run:
                job.run.polls += 1
        return self.update(dataset)

    def poll_job(self, dataset: Dataset, job: ImportJob | Migration) -> None:
        """Count a poll of one import or migration, and end it if it is due."""
        if job.run:
            job.run.polls += 1
            # Only this one: a dataset may have thousands.
            end_due(dataset, self.state.now(), self.state.utc_now, [job])

    def update(self, dataset: Dataset) -> Dataset:
        """End the jobs that are due, and return the dataset. Does not count as a poll."""
        end_due(dataset, self.state.now(), self.state.utc_now)
        return dataset

    def new_upload(self, dataset: Dataset, filename: str) -> Upload:
        """Return a presigned URL, and add the import that its file will start.

        Raises RefusedError for a type of file that the generation does not take.
        """
        types = CONTENT_TYPES[dataset.version]
        content_type = types.get(suffix(filename))
        if content_type is None:
            raise RefusedError(400, {"filename": [f"It must end in {' or '.join(types)}."]})
        upload = self.uploads.new_url(dataset.id, filename, content_type)
        now = self.state.utc_now()
        dataset.imports[upload.id] = ImportJob(
            id=upload.id, filename=filename, created_at=now, updated_at=now
        )
        return upload

    def store(self, upload: Upload, file: BinaryIO) -> None:
        """Start the import of a file that has arrived. Closes the file, at once or later.

        A file that arrives again for the same URL changes nothing [?].
        """
        with self.state.lock:
            dataset = self.state.datasets[upload.dataset_id]
            job = dataset.imports[upload.id]
            if job.status != "uninitialised":
                file.close()
                return
            dataset.filename = upload.filename
            job.updated_at = self.state.utc_now()
            if not dataset.has_status and dataset.schema is None:
                job.status, job.parked = "pending_schema", file
                return
            self._start_import(dataset, job, file)

    def set_schema(self, dataset: Dataset, schema: dict[str, Any]) -> Migration | None:
        """Set a checked schema; return the migration that it starts, if there was one before.

        The first schema starts the imports that wait for it.

        Raises:
            RefusedError: The dataset is of version 3, a migration runs [?], or the group field
                would change although there are datapoints.
        """
        self._need_version_4(dataset)
        if any(isinstance(job, Migration) for job in self.update(dataset).running):
            raise RefusedError(409, "A migration runs.")
        before = dataset.schema
        if before and dataset.datapoints and group_field(before) != group_field(schema):
            raise RefusedError(400, {"schema": ["task_group_id is fixed once there are records."]})
        dataset.schema = schema
        dataset.schema_number += 1
        if before is None:
            for job in dataset.imports.values():
                if job.parked is not None:
                    file, job.parked = job.parked, None
                    self._start_import(dataset, job, file)
            return None
        now = self.state.utc_now()
        migration = Migration(
            id=str(uuid.uuid4()),
            schema_version=dataset.schema_number,
            created_at=now,
            updated_at=now,
            run=self._run(dataset.datapoints),
        )
        dataset.migrations[migration.id] = migration
        dataset.running.append(migration)
        return migration

    def append(self, dataset: Dataset, lines: bytes) -> ImportedRows:
        """Add the records of a JSONL body, and start the syncs of batches that sync by themselves.

        Raises:
            RefusedError: The dataset has no schema, an import or migration runs, or there are no
                records or more than `MAX_RECORDS`.
        """
        self._need_version_4(dataset)
        if dataset.schema is None:
            raise RefusedError(400, "The dataset has no schema.")
        if self.update(dataset).running:
            raise RefusedError(409, "An import or a migration runs.")
        records = list(jsonl_records(iter(lines.splitlines(keepends=True))))
        if not 1 <= len(records) <= MAX_RECORDS:
            raise RefusedError(400, f"Send 1 to {MAX_RECORDS} records, not {len(records)}.")
        rows = check_records(records, dataset.schema, first=1)
        add_rows(dataset, rows)
        start_auto_syncs(self.state, dataset, self.ending(rows.accepted))
        return rows

    def close(self) -> None:
        """Stop reading files, and close those that wait for a schema."""
        self._reader.close()
        with self.state.lock:
            for dataset in self.state.datasets.values():
                for job in dataset.imports.values():
                    if job.parked is not None:
                        job.parked.close()

    def ending(self, rows: int) -> Ending:
        """Return when work on a number of rows ends."""
        return self.speed.ending(rows) if isinstance(self.speed, RowsPerSecond) else self.speed

    def _start_import(self, dataset: Dataset, job: ImportJob, file: BinaryIO) -> None:
        job.status, dataset.status = "processing", "PROCESSING"
        run = job.run = Run(None, started=self.state.now())
        dataset.running.append(job)

        def read(rows: ImportedRows) -> None:
            with self.state.lock:
                job.rows = rows
                run.ending = self.ending(rows.accepted + rows.rejected)

        self._reader.read(file, job.filename, dataset.schema, read)
        self.update(dataset)

    def _run(self, rows: int) -> Run:
        return Run(self.ending(rows), started=self.state.now())

    def _need_version_4(self, dataset: Dataset) -> None:
        if dataset.has_status:
            raise RefusedError(400, "The dataset is of version 3, which has no schema.")
