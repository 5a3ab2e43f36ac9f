"""The datasets of the simulated service, for tests to add, read and change without a request."""

import uuid
from collections.abc import Mapping
from typing import Any

from prolific_async.simulator.dataset_jobs import add_rows, end_due
from prolific_async.simulator.dataset_models import Dataset, DatasetSnapshot, ImportJob
from prolific_async.simulator.dataset_schema import schema_problem
from prolific_async.simulator.models import READY
from prolific_async.simulator.workspace_contents import (
    Snapshots,
    WorkspaceContents,
    as_json,
    count,
    locked,
)

__all__ = ["DatasetContents"]


class DatasetContents(WorkspaceContents):
    """Adds, shows and changes datasets and their imports."""

    @property
    def datasets(self) -> Mapping[str, DatasetSnapshot]:
        """The datasets by id, oldest first. Reading them does not count as a poll."""
        state = self._state

        def read(dataset: Dataset) -> DatasetSnapshot:
            end_due(dataset, state.now(), state.utc_now)
            return dataset.snapshot()

        return Snapshots(state, state.datasets, read)

    @locked
    def add_dataset(
        self,
        *,
        datapoints: int = 200,
        status: str = READY,
        filename: str = "datapoints.csv",
        workspace_id: str | None = None,
        name: str = "Dataset",
        schema: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a dataset that no batch uses yet.

        Args:
            datapoints: Number of datapoints, 0 or more.
            status: UNINITIALISED, PROCESSING, READY or ERROR; only READY can be set up. It does
                not change by itself; with UNINITIALISED and no datapoints it waits for an upload.
            filename: Shown by get and list.
            workspace_id: The default workspace if left out.
            name: As the service shows it.
            schema: Makes it one of version 4, which has no status. With datapoints, a batch can be
                set up with it, as after a complete import.

        Returns:
            Its id, a UUID string.

        Raises:
            KeyError: There is no such workspace.
            ValueError: `datapoints` is not a whole number from 0 on, or `schema` breaks a rule.
            TypeError: `schema` cannot be encoded as JSON.
        """
        shown_schema = as_json(schema)
        if schema is not None and (problem := schema_problem(shown_schema)):
            raise ValueError(f"add_dataset: schema: {problem}")
        dataset = self._add_dataset(workspace_id, datapoints, status, filename)
        dataset.name = name
        if schema is not None:
            dataset.version, dataset.schema, dataset.schema_number = 4, shown_schema, 1
            if dataset.datapoints:
                now = self._state.utc_now()
                job = ImportJob(
                    id=str(uuid.uuid4()), filename=filename, created_at=now, updated_at=now
                )
                job.status, job.shown = "complete", {"accepted_count": dataset.datapoints}
                dataset.imports[job.id] = job
        return dataset.id

    @locked
    def set_dataset_status(self, dataset_id: str, status: str) -> None:
        """Set the status of a dataset of version 3, which lasts until the next upload.

        Args:
            dataset_id: The dataset. Its running imports end without an effect.
            status: Any text, also one that the service never sends.

        Raises:
            KeyError: There is no such dataset.
        """
        dataset = self._dataset(dataset_id)
        for job in dataset.running:
            job.run = None
        dataset.running.clear()
        dataset.status = status

    @locked
    def set_import(self, import_id: str, status: str, /, **shown: Any) -> None:
        """Set the status of an import, which no longer changes by itself.

        `complete` and `partial` add the rows of the file that has been uploaded.

        Args:
            import_id: The import, of a dataset of version 4.
            status: Any text, also one that the service never sends.
            **shown: Further keys of its document, such as `accepted_count`, `rejected_count`,
                `errors` or `reason`, instead of those that it has.

        Raises:
            KeyError: There is no such import.
            TypeError: A value cannot be encoded as JSON.
        """
        for dataset in self._state.datasets.values():
            if import_id in dataset.imports:
                job = dataset.imports[import_id]
                job.shown, job.status, job.run = as_json(shown), status, None
                if job in dataset.running:
                    dataset.running.remove(job)
                if job.rows is not None and status in ("complete", "partial"):
                    rows, job.rows = job.rows, None
                    add_rows(dataset, rows)
                return
        raise KeyError(f"there is no import {import_id!r}")

    @locked
    def set_migration(self, job_id: str, status: str, /, **shown: Any) -> None:
        """Set the status of a migration, which no longer changes by itself: see `set_import`."""
        for dataset in self._state.datasets.values():
            if job_id in dataset.migrations:
                job = dataset.migrations[job_id]
                job.shown, job.status, job.run = as_json(shown), status, None
                if job in dataset.running:
                    dataset.running.remove(job)
                return
        raise KeyError(f"there is no migration {job_id!r}")

    @locked
    def fail_imports(self, dataset_id: str, reason: str | None = "The import failed.") -> None:
        """Make the running imports of a dataset, and all later ones, fail.

        With version 3 the dataset ends in ERROR, with version 4 the import in `failed`.

        Args:
            dataset_id: The dataset.
            reason: As the import shows it; None lets later imports succeed again.

        Raises:
            KeyError: There is no such dataset.
        """
        self._dataset(dataset_id).import_failure = reason

    def _dataset(self, dataset_id: str) -> Dataset:
        if dataset_id not in self._state.datasets:
            raise KeyError(f"there is no dataset {dataset_id!r}")
        return self._state.datasets[dataset_id]

    def _add_dataset(
        self, workspace_id: str | None, datapoints: int, status: str, filename: str
    ) -> Dataset:
        datapoints = count("datapoints", datapoints)
        return self._state.add_dataset(
            self.workspace_id if workspace_id is None else workspace_id,
            datapoints=datapoints,
            filename=filename,
            status=status,
        )
