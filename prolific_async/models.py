"""Models of batches, workspaces and the events of a wait; frozen, with the names of the JSON.

Facts about the fields: https://docs.prolific.com/api-reference/ai-task-builder (get, create and
duplicate a batch). Fields that only newer responses have are optional, and unknown keys are kept in
``extra``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import datetime
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, overload
from uuid import UUID

from attrs import Factory, field, frozen

# For annotations: a batch refers to its resource, and the resource to batches.
import prolific_async
from prolific_async._json.converter import JsonModel, WireModel
from prolific_async._json.scalars import IntOrDigits, JsonObject
from prolific_async._open_enum import OpenEnum
from prolific_async.errors import ConfigurationError, ProlificError
from prolific_async.policies import PollPolicy
from prolific_async.unset import UNSET, Unset

if TYPE_CHECKING:
    import prolific_async.layout  # at run time, on its first use
    from prolific_async.statuses import DatasetStatus, JobStatus

    WaitStatus: TypeAlias = "BatchStatus | DatasetStatus | JobStatus"
    """A status that a wait has seen: of a batch, a dataset without a schema (V3), or a job."""
else:

    def __getattr__(name: str) -> object:
        """Make ``WaitStatus`` on its first use, as waits for batches need no other enums."""
        if name != "WaitStatus":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from prolific_async.statuses import DatasetStatus, JobStatus  # noqa: PLC0415

        return BatchStatus | DatasetStatus | JobStatus


class BatchStatus(OpenEnum):
    """The status of a batch.

    The enum is open: an unknown value is kept unchanged, and equals its string.

    Source: https://docs.prolific.com/api-reference/ai-task-builder (batch status).
    """

    UNINITIALISED = "UNINITIALISED"
    """It has no tasks: setup was not called, or only just now."""
    PROCESSING = "PROCESSING"
    """Its tasks are being built."""
    READY = "READY"
    """It can be attached to a study."""
    ERROR = "ERROR"
    """Its setup failed; the data may be unusable."""


@frozen(repr=False)
class DatasetRef(WireModel):
    """A dataset of a batch.

    Attributes:
        id: The dataset's id; a UUID, as text.
        total_datapoint_count: The number of its rows.
        filename: Name of the uploaded file, None if the service does not send it.

    """

    id: str
    total_datapoint_count: int
    filename: str | None = None


@frozen(repr=False)
class TaskDetails(WireModel):
    """The texts that participants see.

    Attributes:
        task_name: The headline.
        task_introduction: What the task is about, in basic HTML.
        task_steps: What to do, in basic HTML.

    """

    task_name: str
    task_introduction: str | None = None
    task_steps: str | None = None


@frozen(hash=False, repr=False)
class Batch(WireModel):
    """A snapshot of one batch.

    It compares by value and hashes by ``id``. A batch that a client returned is bound to it, which
    its methods use; comparing, pickling and ``to_dict`` ignore the client. The methods of a batch
    that was built by hand or unpickled raise ConfigurationError.

    Attributes:
        id: The batch's id, which every call takes; a UUID, as text.
        created_at: When it was made, in UTC.
        created_by: Id of the user who made it.
        datasets: The datasets that its tasks are made from; may be empty.
        name: Its name; need not be unique.
        status: Its status when this snapshot was taken.
        total_task_count: The number of its tasks, 0 before setup.
        total_instruction_count: Instructions, such as questions, of each task.
        workspace_id: The workspace that it belongs to.
        task_details: The texts that participants see.
        schema_version: Version of the service's format.
        total_task_groups: The number of groups of its tasks.
        batch_items: Pages of the newer layout as raw JSON, None if the batch has no layout;
            ``layout`` reads them.
        auto_sync_enabled: Whether data that is added to its dataset later becomes tasks by itself.
        tasks_per_group: Tasks in each group.
        extra: Unknown keys of the response, read-only.

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
        """Bind this batch to a client, for its methods, and return it; clients do so themselves.

        If it is bound to another client or view already, a bound copy is returned instead.
        """
        is_free = self._batches is None or self._batches is batches
        bound = self if is_free else type(self).from_dict(self.to_dict())
        object.__setattr__(bound, "_batches", batches)
        return bound

    @property
    def layout(self) -> tuple[prolific_async.layout.Page, ...] | None:
        """The pages of this batch, with their ids; None if the batch has no layout.

        They are read from ``batch_items`` at each access. They are not checked by the rules of
        ``prolific_async.layout``, and items of unknown types are ``UnknownItem``.

        Raises:
            DecodeError: A part of ``batch_items`` is not of its documented shape.

        """
        from prolific_async.layout import pages  # noqa: PLC0415 - imported on its first use

        return None if self.batch_items is None else pages.read(self.batch_items)

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

    async def get_or_duplicate(self, *, name: str, settle_seconds: float = 30.0) -> Batch:
        """Return the one copy of this batch with a name: see ``Batches.get_or_duplicate``."""
        return await self._bound.get_or_duplicate(self, name=name, settle_seconds=settle_seconds)

    async def duplicate_and_wait(
        self,
        *,
        name: str | None = None,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | EllipsisType | None = ...,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Batch:
        """Return a READY copy of this batch: see ``Batches.duplicate_and_wait``."""
        return await self._bound.duplicate_and_wait(
            self,
            name=name,
            dataset_id=dataset_id,
            tasks_per_group=tasks_per_group,
            timeout=timeout,
            on_event=on_event,
        )

    @overload
    async def duplicate_and_wait_all(
        self,
        names: Iterable[str],
        *,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | EllipsisType | None = ...,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: Literal[False] = False,
    ) -> list[Batch]: ...
    @overload
    async def duplicate_and_wait_all(
        self,
        names: Iterable[str],
        *,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | EllipsisType | None = ...,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: bool,
    ) -> list[Batch | ProlificError]: ...
    async def duplicate_and_wait_all(
        self,
        names: Iterable[str],
        *,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | EllipsisType | None = ...,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: bool = False,
    ) -> list[Batch] | list[Batch | ProlificError]:
        """Return a READY copy for each name: see ``Batches.duplicate_and_wait_all``."""
        return await self._bound.duplicate_and_wait_all(
            self,
            names,
            dataset_id=dataset_id,
            tasks_per_group=tasks_per_group,
            timeout=timeout,
            on_event=on_event,
            return_exceptions=return_exceptions,
        )

    async def find_copies(self, *, name: str) -> Copies:
        """Return the batches in this batch's workspace with a name: see ``Batches.find_copies``."""
        return await self._bound.find_copies(self, name=name)

    async def setup(
        self,
        *,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
    ) -> None:
        """Start to build this batch's tasks: see ``Batches.setup``."""
        await self._bound.setup(self, dataset_id=dataset_id, tasks_per_group=tasks_per_group)

    async def update(
        self,
        *,
        name: str | Unset = UNSET,
        task: TaskDetails | Unset = UNSET,
        dataset: prolific_async.Dataset | str | UUID | Unset = UNSET,
        items: prolific_async.layout.LayoutLike | Unset | None = UNSET,
        auto_sync: bool | Unset = UNSET,
    ) -> Batch:
        """Change this batch: see ``Batches.update``."""
        return await self._bound.update(
            self, name=name, task=task, dataset=dataset, items=items, auto_sync=auto_sync
        )

    async def sync(self) -> prolific_async.BatchSync:
        """Start to build tasks for datapoints added since the setup: see ``Batches.sync``."""
        return await self._bound.sync(self)

    async def task_ids(self) -> list[str]:
        """Return the ids of this batch's tasks: see ``Batches.task_ids``."""
        return await self._bound.task_ids(self)

    async def task_group_ids(self) -> list[str]:
        """Return the ids of this batch's task groups: see ``Batches.task_group_ids``."""
        return await self._bound.task_group_ids(self)

    def report(self) -> prolific_async.Report:
        """Return the report of this batch, without reading it yet: see ``Batches.report``."""
        return self._bound.report(self)

    def responses(self) -> AsyncGenerator[prolific_async.TaskResponse]:
        """Yield the participants' answers: see ``Batches.responses``."""
        return self._bound.responses(self)

    async def preview_url(self) -> str:
        """Return the URL at which people see this batch: see ``Batches.preview_url``."""
        return await self._bound.preview_url(self)

    async def export(
        self,
        *,
        study_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> prolific_async.Export:
        """Start an export of this batch's answers: see ``Batches.export``."""
        return await self._bound.export(self, study_id=study_id, since=since, until=until)

    async def exports(self) -> list[prolific_async.Export]:
        """Return the exports of this batch: see ``Batches.exports``."""
        return await self._bound.exports(self)

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


@frozen(repr=False)
class Workspace(WireModel):
    """A workspace, which holds batches, datasets and the projects of studies.

    Its members, with their names and addresses, are in ``extra`` and not in its repr.

    Attributes:
        id: Its id, which ``Batches.list`` takes; 24 hexadecimal digits.
        title: Its name for people.
        description: Its purpose.
        owner: Id of the user who made it.
        extra: Unknown keys of the response, read-only.

    """

    id: str
    title: str
    description: str | None = None
    owner: str | None = None

    def __repr__(self) -> str:
        """Show what tells workspaces apart, in one line; ``to_dict`` shows all of it."""
        return f"<Workspace {self.id} {self.title!r}>"


@frozen
class Copies(JsonModel):
    """The batches of a workspace with a given name, as ``Batches.find_copies`` returns them.

    Its length is the number of all of them, so it is false if there are none.

    Attributes:
        batches: Those that can be read, bound to the client.
        unreadable: The ids of those that cannot be read, as in OutcomeUnknownError.

    """

    batches: tuple[Batch, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all these batches, readable or not."""
        return (*(batch.id for batch in self.batches), *self.unreadable)

    def __len__(self) -> int:
        return len(self.batches) + len(self.unreadable)


def _text_of(error: ProlificError | None) -> str | None:
    return None if error is None else str(error)


@frozen
class StatusEvent(JsonModel):
    """One poll of a wait.

    Events compare by value, their errors by text, so that ``from_dict(event.to_dict()) == event``.

    Attributes:
        batch_id: The batch that was polled, None if it was something else.
        status: The newest status known, None if there is none yet. A poll that fails, or whose
            response has no status, does not change it.
        previous: The newest status known before this poll.
        polls: Polls of this wait so far, this one included.
        elapsed: Seconds from the start of the wait to the response to this poll.
        next_in: Seconds from then to this wait's next poll, None when this was the last.
        error: Why the poll failed, whether or not the wait goes on; None if it succeeded. It keeps
            at most 64 KiB of the response: a longer text is cut, longer JSON becomes its text or
            None. In ``to_dict`` it is its text, which ``from_dict`` reads as a ProlificError.
        kind: What was polled: a "batch", "dataset", "import", "migration", "sync" or "export".
        id: The id of that batch, dataset or job.

    """

    batch_id: str | None
    status: prolific_async.models.WaitStatus | None
    previous: prolific_async.models.WaitStatus | None
    polls: int
    elapsed: float
    next_in: float | None
    error: ProlificError | None = field(default=None, eq=_text_of)
    kind: str = "batch"
    id: str = Factory(lambda self: self.batch_id or "", takes_self=True)
