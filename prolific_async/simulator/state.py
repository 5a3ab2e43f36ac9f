"""State machine of workspaces, datasets and batches, without I/O.

    UNINITIALISED --setup--> PROCESSING --> READY, or ERROR

Nothing runs in the background: whether a setup has ended is computed when a batch is read.

Requests and tests may run in different threads. Both hold `State.lock` while they use the state.
"""

import secrets
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import attrs

from prolific_async.simulator.batch_syncs_end import end_syncs
from prolific_async.simulator.dataset_jobs import end_due
from prolific_async.simulator.models import (
    ERROR,
    PROCESSING,
    READY,
    UNINITIALISED,
    Batch,
    BatchSnapshot,
    BuiltDatapoints,
    Dataset,
    Run,
)
from prolific_async.simulator.setup_durations import Ending, check_ending, has_ended

__all__ = ["SetupRefusedError", "State"]


@attrs.define
class SetupRefusedError(Exception):
    """A setup that the service refuses with 400: the field at fault, and why."""

    field: str
    reason: str


@attrs.define(eq=False)
class State:
    """Everything that the simulated service stores.

    Args:
        now: Returns the loop's clock, in seconds.
        utc_now: Returns the time of day, aware and UTC.
        setup: When setups end: an `Ending`, or a function of the batch that returns one.
    """

    now: Callable[[], float]
    utc_now: Callable[[], datetime]
    setup: Ending | Callable[[BatchSnapshot], Ending]
    batches: dict[str, Batch] = attrs.field(init=False, factory=dict)
    datasets: dict[str, Dataset] = attrs.field(init=False, factory=dict)
    # Batches by workspace, so that a list takes time for its own batches only.
    workspaces: dict[str, dict[str, Batch]] = attrs.field(init=False, factory=dict)
    titles: dict[str, str] = attrs.field(init=False, factory=dict)  # of the workspaces
    user_id: str = attrs.field(init=False, factory=lambda: secrets.token_hex(12))
    # Reentrant: a `setup=` function is called under it and may change the state.
    lock: AbstractContextManager[Any] = attrs.field(init=False, factory=threading.RLock)

    def add_workspace(self, workspace_id: str | None = None, title: str | None = None) -> str:
        """Add an empty workspace and return its id, by default 24 hexadecimal digits.

        Raises ValueError for an id that is empty or in use.
        """
        if workspace_id is None:
            workspace_id = secrets.token_hex(12)
        if not workspace_id or workspace_id in self.workspaces:
            raise ValueError(f"{workspace_id!r} cannot be a new workspace's id")
        self.workspaces[workspace_id] = {}
        self.titles[workspace_id] = title or f"Workspace {len(self.workspaces)}"
        return workspace_id

    def add_dataset(
        self,
        workspace_id: str,
        *,
        datapoints: int,
        filename: str | None,
        status: str,
        **more: Any,
    ) -> Dataset:
        """Add a dataset. Raises KeyError for an unknown workspace.

        `more` are further attributes of `Dataset`.
        """
        self._known_workspace(workspace_id)
        dataset = Dataset(
            id=str(uuid.uuid4()),
            workspace_id=workspace_id,
            datapoints=datapoints,
            filename=filename,
            status=status,
            created_at=self.utc_now(),
            **more,
        )
        self.datasets[dataset.id] = dataset
        return dataset

    def add(self, batch: Batch) -> None:
        """Add a batch. Raises KeyError for an unknown workspace, ValueError for an id in use."""
        if batch.id in self.batches:
            raise ValueError(f"there is a batch {batch.id!r} already")
        workspace = self._known_workspace(batch.workspace_id)
        if batch.status == PROCESSING:
            batch.running_setup = self._start_setup(batch)
        self.batches[batch.id] = workspace[batch.id] = batch

    def remove(self, batch: Batch) -> None:
        """Delete a batch."""
        del self.batches[batch.id], self.workspaces[batch.workspace_id][batch.id]

    def update(self, batch: Batch) -> Batch:
        """End the batch's setup, syncs and imports that are due, and return the batch.

        It does not count as a poll.
        """
        if batch.dataset is not None and batch.dataset.running:
            end_due(batch.dataset, self.now(), self.utc_now)
        setup = batch.running_setup
        if setup and has_ended(setup.ending, elapsed=self.now() - setup.started, polls=setup.polls):
            batch.status = ERROR if batch.fails else READY
            batch.running_setup = None
        if batch.syncs:
            end_syncs(batch, self.now(), self.utc_now)
        return batch

    def poll(self, batch: Batch) -> Batch:
        """Count a poll, update the batch, and return it."""
        if batch.running_setup:
            batch.running_setup.polls += 1
        return self.update(batch)

    def set_up(self, batch: Batch, *, dataset_id: str | None, tasks_per_group: int) -> None:
        """Start a setup.

        Raises:
            SetupRefusedError: There is no dataset, it is unknown or not READY, or the batch has
                been set up before.
        """
        dataset = batch.dataset
        if dataset_id is not None:
            dataset = self.datasets.get(dataset_id)
            if dataset is None or dataset.workspace_id != batch.workspace_id:
                raise SetupRefusedError("dataset_id", "There is no such dataset in the workspace.")
        if dataset is None:
            raise SetupRefusedError("dataset_id", "The batch has no dataset.")
        end_due(dataset, self.now(), self.utc_now)
        if dataset.not_ready is not None:
            raise SetupRefusedError("dataset_id", dataset.not_ready)
        # The service's documentation does not say what a second setup does. Refusing it reveals a
        # client that sends the POST twice; after ERROR another setup does no harm.
        if self.update(batch).status in (PROCESSING, READY):
            raise SetupRefusedError("status", f"The batch is {batch.status} already.")
        # A `setup=` function gets the batch as it will be. If it raises, nothing has changed.
        built = BuiltDatapoints.of(dataset)
        setup = self._start_setup(
            attrs.evolve(
                batch,
                status=PROCESSING,
                dataset=dataset,
                tasks_per_group=tasks_per_group,
                built=built,
            )
        )
        batch.built = built
        batch.status, batch.running_setup = PROCESSING, setup
        batch.dataset, batch.tasks_per_group = dataset, tasks_per_group

    def duplicate(self, source: Batch, *, name: str | None, with_dataset: bool) -> Batch:
        """Add an UNINITIALISED copy of a batch that shares its dataset or has none; return it."""
        copy = attrs.evolve(
            source,
            id=str(uuid.uuid4()),
            name=f"{source.name} (Copy)" if name is None else name,
            created_at=self.utc_now(),
            dataset=source.dataset if with_dataset else None,
            extra={},
            status=UNINITIALISED,
            tasks_per_group=None,
            source_id=source.id,
            fails=False,
            running_setup=None,
            built=None,
            syncs={},
            submissions=[],
            report=None,
            exports={},
            exports_fail=False,
            encoded=None,
        )
        self.add(copy)
        return copy

    def _start_setup(self, batch: Batch) -> Run:
        ending = self.setup
        if not isinstance(ending, Ending):
            ending = check_ending(ending(batch.snapshot()))
        return Run(ending, started=self.now())

    def _known_workspace(self, workspace_id: str) -> dict[str, Batch]:
        try:
            return self.workspaces[workspace_id]
        except KeyError:
            raise KeyError(f"there is no workspace {workspace_id!r}") from None
