"""The workspaces, and the life of a batch as a state machine, without any I/O.

    UNINITIALISED --set up--> PROCESSING --> READY, or ERROR

Nothing runs in the background: a set-up ends when somebody polls and its ending says that it is
over. Time comes from two functions handed in, the loop's clock in seconds and the time of day.

Requests and tests may come from different threads: both hold the state's lock meanwhile.
"""

import secrets
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import attrs

from prolific_async.simulator.endings import (
    AfterPolls,
    AfterSeconds,
    Ending,
    Immediately,
    is_over,
)
from prolific_async.simulator.records import (
    ERROR,
    PROCESSING,
    READY,
    UNINITIALISED,
    Batch,
    BatchSnapshot,
    Dataset,
    Run,
)

__all__ = ["SetupRefusedError", "State", "checked_ending"]


class SetupRefusedError(Exception):
    """A set-up that the service answers with 400: the field at fault and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field, self.reason = field, reason


@attrs.define(eq=False)
class State:
    """All that the service keeps.

    Args:
        now: The loop's clock, in seconds.
        utc_now: The time of day, aware and UTC.
        setup: When set-ups end: an ending, or a function of the batch that returns one.
    """

    now: Callable[[], float]
    utc_now: Callable[[], datetime]
    setup: Ending | Callable[[BatchSnapshot], Ending]
    batches: dict[str, Batch] = attrs.field(init=False, factory=dict)
    datasets: dict[str, Dataset] = attrs.field(init=False, factory=dict)
    # By workspace as well, so that a list costs what it shows.
    workspaces: dict[str, dict[str, Batch]] = attrs.field(init=False, factory=dict)
    # Reentrant, since a `setup=` function is called under it and may change the state itself.
    lock: AbstractContextManager[Any] = attrs.field(init=False, factory=threading.RLock)

    def add_workspace(self, workspace_id: str | None = None) -> str:
        """Make an empty workspace; returns its id, else 24 hexadecimal digits as the service's are.

        Raises ValueError for an id that is empty or in use.
        """
        if workspace_id is None:
            workspace_id = secrets.token_hex(12)
        if not workspace_id or workspace_id in self.workspaces:
            raise ValueError(f"{workspace_id!r} cannot be a new workspace's id")
        self.workspaces[workspace_id] = {}
        return workspace_id

    def add_dataset(
        self, workspace_id: str, *, datapoints: int, filename: str, status: str
    ) -> Dataset:
        """Make a dataset. Raises KeyError for an unknown workspace."""
        self._known_workspace(workspace_id)
        dataset = Dataset(
            id=str(uuid.uuid4()),
            workspace_id=workspace_id,
            datapoints=datapoints,
            filename=filename,
            status=status,
        )
        self.datasets[dataset.id] = dataset
        return dataset

    def add(self, batch: Batch) -> None:
        """Keep a batch. Raises KeyError for an unknown workspace, ValueError for an id in use."""
        if batch.id in self.batches:
            raise ValueError(f"there is a batch {batch.id!r} already")
        workspace = self._known_workspace(batch.workspace_id)
        if batch.status == PROCESSING:
            batch.run = self._run(batch)
        self.batches[batch.id] = workspace[batch.id] = batch

    def remove(self, batch: Batch) -> None:
        """Forget a batch."""
        del self.batches[batch.id], self.workspaces[batch.workspace_id][batch.id]

    def settle(self, batch: Batch) -> Batch:
        """Bring a batch up to date without polling it; returns it."""
        run = batch.run
        if run and is_over(run.ending, elapsed=self.now() - run.began, polls=run.polls):
            batch.status = ERROR if batch.fails else READY
            batch.run = None
        return batch

    def poll(self, batch: Batch) -> Batch:
        """Count one poll and bring the batch up to date; returns it."""
        if batch.run:
            batch.run.polls += 1
        return self.settle(batch)

    def set_up(self, batch: Batch, *, dataset_id: str | None, tasks_per_group: int) -> None:
        """Accept a set-up.

        Raises:
            SetupRefusedError: There is no dataset, it is unknown or not READY, or the batch has
                been set up already.
        """
        dataset = batch.dataset
        if dataset_id is not None:
            dataset = self.datasets.get(dataset_id)
            if dataset is None or dataset.workspace_id != batch.workspace_id:
                raise SetupRefusedError("dataset_id", "There is no such dataset in the workspace.")
        if dataset is None:
            raise SetupRefusedError("dataset_id", "The batch has no dataset.")
        if dataset.status != READY:
            raise SetupRefusedError("dataset_id", f"The dataset is {dataset.status}, not READY.")
        # Not documented at the service, like all of a second set-up. Accepting one would hide a
        # client that sends the POST twice; after ERROR another try harms nobody.
        if self.settle(batch).status in (PROCESSING, READY):
            raise SetupRefusedError("status", f"The batch is {batch.status} already.")
        # A `setup=` function is shown the batch that is to be; if it raises, nothing has changed.
        run = self._run(
            attrs.evolve(batch, status=PROCESSING, dataset=dataset, tasks_per_group=tasks_per_group)
        )
        batch.status, batch.run = PROCESSING, run
        batch.dataset, batch.tasks_per_group = dataset, tasks_per_group

    def duplicate(self, source: Batch, *, name: str | None, with_dataset: bool) -> Batch:
        """Copy a batch: the dataset is shared or left out, the status starts anew; returns it."""
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
            run=None,
            written=None,
        )
        self.add(copy)
        return copy

    def _run(self, batch: Batch) -> Run:
        ending = self.setup
        if not isinstance(ending, Ending):
            ending = checked_ending(ending(batch.snapshot()))
        return Run(ending, began=self.now())

    def _known_workspace(self, workspace_id: str) -> dict[str, Batch]:
        try:
            return self.workspaces[workspace_id]
        except KeyError:
            raise KeyError(f"there is no workspace {workspace_id!r}") from None


def checked_ending(ending: object) -> Ending:
    """Return `ending` if it is one. Raises TypeError otherwise."""
    if not isinstance(ending, Immediately | AfterSeconds | AfterPolls):
        raise TypeError(
            f"setup: {ending!r} is neither Immediately(), AfterSeconds(…) nor AfterPolls(…)"
        )
    return ending
