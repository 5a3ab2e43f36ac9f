"""``OrderState`` and ``OrderStatus``: the status of an order, read from the database."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from dbos import error as dbos_error

from prolific_async.durable.order_spec import NAME, OrderSpec, first_queue, source_prefix
from prolific_async.errors import ProlificError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dbos import DBOSClient, WorkflowStatus

_ADVICE_AFTER_TIMEOUT = (
    "this outcome is final: wait for its copy with client.batches, or order one of another name"
)


class OrderState(StrEnum):
    """The state of an order."""

    QUEUED = "queued"
    """It waits for a worker, for the first time or after an outage or a move."""

    RUNNING = "running"
    """A worker has begun it; that worker may be down."""

    READY = "ready"
    """Its copy is READY."""

    FAILED = "failed"
    """It ended in an error and stays so."""

    CANCELLED = "cancelled"
    """It was cancelled and stays so."""

    @property
    def is_over(self) -> bool:
        """Whether the order has ended."""
        return self not in (OrderState.QUEUED, OrderState.RUNNING)


_STATES = {
    "ENQUEUED": OrderState.QUEUED,
    "DELAYED": OrderState.QUEUED,
    "PENDING": OrderState.RUNNING,
    "SUCCESS": OrderState.READY,
    "ERROR": OrderState.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": OrderState.FAILED,
    "CANCELLED": OrderState.CANCELLED,
}

ENDED = [name for name, state in _STATES.items() if state.is_over]
"""DBOS's statuses of a workflow that has ended."""


@frozen(kw_only=True)
class OrderStatus:
    """The status of an order when the database was read.

    Attributes:
        workflow_id: Its id in DBOS.
        source_id: The batch to copy.
        name: Name of the copy.
        state: Its state.
        copy_id: The copy, once its setup was accepted; ``client.batches`` can watch it.
        copy_may_exist: Whether there is a copy or may be one. False in the state CANCELLED means
            that no duplicate was sent for the order and none will be.
        ordered_at: When the order was given.
        timeout: Seconds from then on that it may take, None for no limit.
        ended_at: When it ended; None before.
        failure: The error that ``result`` raises in the state FAILED, else None.

    """

    workflow_id: str
    source_id: str
    name: str
    state: OrderState
    copy_id: str | None
    copy_may_exist: bool
    ordered_at: datetime
    timeout: float | None
    ended_at: datetime | None
    failure: BaseException | None = field(default=None, eq=False)


class OrderNotFoundError(ProlificError, dbos_error.DBOSNonExistentWorkflowError):
    """The database has no such order.

    Attributes:
        workflow_id: The order's id in DBOS.

    """

    def __init__(self, workflow_id: str) -> None:
        dbos_error.DBOSNonExistentWorkflowError.__init__(self, "target", workflow_id)
        self.args = (workflow_id,)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return f"{self.workflow_id} is not in the database: it was not ordered, or was deleted"


class OrderCancelledError(ProlificError, dbos_error.DBOSAwaitedWorkflowCancelledError):
    """The order was cancelled, by ``Order.cancel`` or in DBOS.

    Attributes:
        workflow_id: The order's id in DBOS.

    """

    def __init__(self, workflow_id: str) -> None:
        dbos_error.DBOSAwaitedWorkflowCancelledError.__init__(self, workflow_id)
        self.args = (workflow_id,)

    def __str__(self) -> str:
        return f"{self.workflow_id} was cancelled and stays so: order a copy by another name"


def outcome_of(workflow: WorkflowStatus) -> Any:
    """Return the result of an order that has ended.

    Raises:
        Exception: The failure of the order.

    """
    failure = _failure_of(workflow)
    if failure is not None:
        raise failure
    return workflow.output


def read_status(client: DBOSClient, workflow_id: str) -> OrderStatus:
    """Read the status of one order.

    Raises:
        OrderNotFoundError: There is no such order.

    """
    for status in read_statuses(client, [workflow_id]):
        return status
    raise OrderNotFoundError(workflow_id)


def read_statuses(
    client: DBOSClient, ids: list[str], copies: Mapping[str, str | None] | None = None
) -> list[OrderStatus]:
    """Read the statuses of orders.

    Args:
        client: DBOS's client.
        ids: The orders' ids in DBOS.
        copies: Ids of known copies by the order's id; each saves a query.

    """
    known = copies or {}
    return [
        _status_of(client, workflow, known.get(workflow.workflow_id))
        for workflow in client.list_workflows(workflow_ids=ids)
    ]


def orders_reader(
    application: str,
    *,
    source_id: str | None,
    states: frozenset[OrderState],
    limit: int,
    offset: int,
) -> Callable[[DBOSClient], list[OrderStatus]]:
    """Return a function that reads a page of an application's orders, the newest first."""

    def read(client: DBOSClient) -> list[OrderStatus]:
        if not states:  # DBOS takes an empty list for no filter
            return []
        found = client.list_workflows(
            name=NAME,
            application_name=application,
            workflow_id_prefix=source_prefix(application, source_id),
            status=[name for name, state in _STATES.items() if state in states],
            sort_desc=True,
            limit=limit,
            offset=offset,
        )
        return [_status_of(client, workflow, None) for workflow in found]

    return read


def _status_of(client: DBOSClient, workflow: WorkflowStatus, copy_id: str | None) -> OrderStatus:
    spec = spec_of(workflow)
    application = workflow.application_name or ""
    state = _STATES[workflow.status]
    may_exist = True
    if state is OrderState.READY and isinstance(workflow.output, dict):
        copy_id = workflow.output["id"]
    elif state is OrderState.QUEUED and workflow.queue_name == first_queue(application):
        may_exist = False
    elif copy_id is None:
        steps = client.list_workflow_steps(workflow.workflow_id)
        # Each step records None before a duplicate is sent, and the last one the copy's id.
        outputs = [step["output"] for step in steps if step["error"] is None]
        copy_id = next((one for one in outputs if one is not None), None)
        may_exist = bool(outputs)
    failure = _failure_of(workflow) if state is OrderState.FAILED else None
    return OrderStatus(
        workflow_id=workflow.workflow_id,
        source_id=spec.source_id,
        name=spec.name,
        state=state,
        copy_id=copy_id,
        copy_may_exist=may_exist,
        ordered_at=datetime.fromtimestamp(spec.began, UTC),
        timeout=spec.timeout,
        ended_at=(
            None
            if workflow.completed_at is None
            else datetime.fromtimestamp(workflow.completed_at / 1000, UTC)
        ),
        failure=failure,
    )


def spec_of(workflow: WorkflowStatus) -> OrderSpec:
    """Return the content of an order from its workflow."""
    given = workflow.input
    assert given is not None  # noqa: S101 - it was loaded
    return OrderSpec(**given["kwargs"])


def _failure_of(workflow: WorkflowStatus) -> Exception | None:
    if workflow.status == "CANCELLED":
        return OrderCancelledError(workflow.workflow_id)
    if workflow.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return dbos_error.DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded(workflow.workflow_id)
    if workflow.status != "ERROR":
        return None
    error = workflow.error
    if isinstance(error, WaitTimeoutError):
        error.advice = _ADVICE_AFTER_TIMEOUT
    if isinstance(error, Exception):
        return error
    return dbos_error.DBOSException(f"the error of {workflow.workflow_id} cannot be read")
