"""What the service sends, and what a wait saw of it: frozen, slotted values, named as on the wire.

Facts about the fields: https://docs.prolific.com/api-reference/ai-task-builder (get, create and
duplicate a batch). Fields that newer answers add are optional, and keys that no release knows yet
are kept in ``extra``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from enum import StrEnum
from types import EllipsisType
from typing import Any, Self
from uuid import UUID

from attrs import field, frozen

# For annotations: a batch has its resource, and that has batches.
import prolific_async
from prolific_async._json.converter import WireModel
from prolific_async._json.scalars import IntOrDigits, JsonObject
from prolific_async.errors import ConfigurationError, ProlificError
from prolific_async.policies import PollPolicy


class BatchStatus(StrEnum):
    """Where a batch stands.

    The enum is open: a value that no release has seen yet is kept as it came, and equals its
    string. Source: https://docs.prolific.com/api-reference/ai-task-builder (batch status).
    """

    UNINITIALISED = "UNINITIALISED"
    """It has no tasks: setup was not called, or was so just now."""
    PROCESSING = "PROCESSING"
    """Its tasks are being built."""
    READY = "READY"
    """It can be attached to a study."""
    ERROR = "ERROR"
    """Its setup failed; the data may be unusable."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # Not registered with the enum: unseen values must not pile up in a long-lived process.
        unseen = str.__new__(cls, value)
        unseen._name_ = unseen._value_ = value
        return unseen


@frozen(repr=False)
class DatasetRef(WireModel):
    """A dataset as a batch names it; ``total_datapoint_count`` is the number of its rows."""

    id: str
    total_datapoint_count: int
    filename: str | None = None


@frozen(repr=False)
class TaskDetails(WireModel):
    """What participants are told; introduction and steps are basic HTML."""

    task_name: str
    task_introduction: str | None = None
    task_steps: str | None = None


@frozen(hash=False, repr=False)
class Batch(WireModel):
    """A snapshot of one batch.

    It compares by value and hashes by ``id``. One that came from a client is bound to it and has
    the verbs below; its client takes no part in comparing, pickling or ``to_dict``. On one that was
    built by hand, or unpickled, each verb raises ConfigurationError.

    Attributes:
        id: What every call takes; a UUID, as text.
        created_at: When it was made, in UTC.
        created_by: Id of the user who made it.
        datasets: What its tasks are made from; may be empty.
        name: What people call it; need not be unique.
        status: Where it stood when this snapshot was taken.
        total_task_count: Tasks that it holds, 0 before setup.
        total_instruction_count: Instructions, such as questions, of each task.
        workspace_id: The workspace that it belongs to.
        task_details: What participants are told.
        schema_version: Generation of the service's format.
        total_task_groups: Groups that its tasks form.
        batch_items: Pages of the newer layout, None on batches that were made without.
        auto_sync_enabled: Whether data added to its dataset later becomes tasks by itself.
        tasks_per_group: Tasks in each group.
        extra: Keys of the answer that this release has no name for, read-only.

    """

    id: str
    created_at: datetime
    created_by: str
    datasets: tuple[DatasetRef, ...]
    name: str
    status: BatchStatus
    total_task_count: int
    total_instruction_count: int
    workspace_id: str
    task_details: TaskDetails | None = None
    schema_version: IntOrDigits | None = None
    total_task_groups: int | None = None
    batch_items: tuple[JsonObject, ...] | None = None
    auto_sync_enabled: bool | None = None
    tasks_per_group: int | None = None
    # Any, as cattrs resolves every annotation and Batches is not to be imported here.
    _batches: Any = field(default=None, init=False, eq=False, repr=False)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        """Show what tells batches apart, in one line; ``to_dict`` shows all of it."""
        return f"<Batch {self.id} {self.name!r} {self.status}, {self.total_task_count} tasks>"

    def bind(self, batches: prolific_async.batches.Batches) -> Self:
        """Give the verbs a client; the client does this itself with what it returns."""
        object.__setattr__(self, "_batches", batches)
        return self

    @property
    def _bound(self) -> prolific_async.batches.Batches:
        if self._batches is None:
            raise ConfigurationError(
                f"batch {self.id} came from no client; call client.batches with its id instead"
            )
        batches: prolific_async.batches.Batches = self._batches
        return batches

    async def duplicate(
        self, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Batch:
        """Make a copy of this batch: see ``Batches.duplicate``."""
        return await self._bound.duplicate(self, name=name, upload_new_dataset=upload_new_dataset)

    async def find_copies(self, *, name: str) -> Copies:
        """Return the batches of its workspace that bear a name: see ``Batches.find_copies``."""
        return await self._bound.find_copies(self, name=name)

    async def setup(
        self, *, dataset_id: str | UUID | None = None, tasks_per_group: int | None = None
    ) -> None:
        """Have this batch's tasks built: see ``Batches.setup``."""
        await self._bound.setup(self, dataset_id=dataset_id, tasks_per_group=tasks_per_group)

    async def refresh(self) -> Batch:
        """Return this batch as it is now: see ``Batches.get``."""
        return await self._bound.get(self)

    async def get_status(self) -> BatchStatus | None:
        """Return this batch's status as it is now: see ``Batches.get_status``."""
        return await self._bound.get_status(self)

    async def wait_until_ready(
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Batch:
        """Return this batch once it is READY: see ``Batches.wait_until_ready``."""
        return await self._bound.wait_until_ready(
            self, timeout=timeout, poll=poll, on_event=on_event
        )

    def watch(
        self, *, timeout: float | EllipsisType | None = ..., poll: PollPolicy | None = None
    ) -> AsyncGenerator[StatusEvent]:
        """Yield each poll of this batch until READY: see ``Batches.watch``."""
        return self._bound.watch(self, timeout=timeout, poll=poll)


@frozen
class Copies:
    """The batches of a workspace that bear a name, as ``Batches.find_copies`` returns them.

    Its length counts all of them, so that it is false when there are none.

    Attributes:
        batches: Those that can be read, bound to the client.
        unreadable: The ids of the others, as in OutcomeUnknownError.

    """

    batches: tuple[Batch, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all of them."""
        return (*(batch.id for batch in self.batches), *self.unreadable)

    def __len__(self) -> int:
        return len(self.batches) + len(self.unreadable)


@frozen
class StatusEvent:
    """One poll of a wait.

    Attributes:
        batch_id: The batch that was polled.
        status: The newest status known, None when there is none yet; a poll that fails, or that
            the service answers without a status, leaves it as it was.
        previous: The newest status known before this poll.
        polls: Polls of this wait so far, this one included.
        elapsed: Seconds from the start of the wait to this poll's answer.
        next_in: Seconds from then to this wait's next poll, None when this was the last.
        error: Why the poll failed, survived or fatal; None when it did not. It keeps at most
            64 KiB of the answer: of more, a text is cut and JSON becomes its text or None.

    """

    batch_id: str
    status: BatchStatus | None
    previous: BatchStatus | None
    polls: int
    elapsed: float
    next_in: float | None
    error: ProlificError | None = None
