"""The content of an order, checked before it is recorded, and the id of its workflow."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from attrs import frozen

from prolific_async.extensions import arguments

if TYPE_CHECKING:
    from uuid import UUID

    from prolific_async.dataset_models import Dataset
    from prolific_async.models import Batch

NAME = "prolific_async.order"
"""Name of the workflow; the ids of all orders begin with it."""

MAX_BYTES = 1024
"""Most bytes of UTF-8 in each part of an order's id: PostgreSQL indexes 2,700 bytes in all."""

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")  # NUL by PostgreSQL, half surrogate pairs in UTF-8


@frozen
class OrderSpec:
    """The content of an order, as DBOS stores it.

    Attributes:
        source_id: The batch to copy.
        name: Name of the copy, unique in its workspace.
        dataset_id: As for ``setup``.
        tasks_per_group: As for ``setup``.
        began: When it was ordered, in seconds since 1970.
        timeout: Seconds from then on that everything may take, None for no limit.

    """

    source_id: str
    name: str
    dataset_id: str | None
    tasks_per_group: int | None
    began: float
    timeout: float | None

    @classmethod
    def checked(
        cls,
        batch: Batch | str | UUID,
        name: str,
        *,
        dataset_id: Dataset | str | UUID | None,
        tasks_per_group: int | None,
        timeout: float | None,
    ) -> Self:
        """Check the arguments of an order, and return its content; its time begins now.

        Raises:
            ValueError: An argument is invalid.

        """
        seconds = arguments.timeout(timeout)
        return cls(
            source_id=checked_source_id(batch),
            name=checked_name(name),
            dataset_id=arguments.optional_dataset_id(dataset_id),
            tasks_per_group=arguments.tasks_per_group(tasks_per_group),
            began=time.time(),
            timeout=None if seconds == math.inf else seconds,
        )

    def seconds_left(self) -> float | None:
        """Return the seconds that are left, 0 when there are none, None for no limit."""
        if self.timeout is None:
            return None
        return max(0.0, self.began + self.timeout - time.time())


def order_id(application: str, batch: Batch | str | UUID, name: str) -> str:
    """Return the id of an order's workflow.

    Raises:
        ValueError: An argument is invalid.

    """
    return source_prefix(application, checked_source_id(batch)) + checked_name(name)


def source_prefix(application: str, source_id: str | None) -> str:
    """Return the prefix of an application's order ids, or of those with one source batch."""
    prefix = f"{NAME}:{application}:"
    # Quoted, since a colon ends the source's id.
    return prefix if source_id is None else f"{prefix}{quote(source_id, safe='')}:"


def first_queue(application: str) -> str:
    """Return the name of the queue of orders that no worker has begun."""
    return f"{application}:orders"


def is_order(workflow_id: str) -> bool:
    """Return whether a workflow is an order, and not one of the application's own."""
    return workflow_id.startswith(f"{NAME}:")


def checked_source_id(batch: Batch | str | UUID) -> str:
    """Check the batch to copy, and return its id."""
    source_id = arguments.batch_id(batch)
    _check_size("a batch's id", source_id, quote(source_id, safe=""))
    return source_id


def checked_name(name: object) -> str:
    """Check a copy's name; return it without spaces at its ends, which the service may drop."""
    return _storable("name", arguments.unique_name(name))


def checked_executor_id(executor_id: object) -> str:
    """Check the name of a worker's process, and return it."""
    if not isinstance(executor_id, str) or not executor_id:
        raise ValueError(f"executor_id must be text and not empty: {executor_id!r}")
    return _storable("executor_id", executor_id)


def _storable(argument: str, text: str) -> str:
    """Check that the database can store and index a text, and return it."""
    if _UNSTORABLE.search(text):
        raise ValueError(f"{argument} must hold no NUL and no half surrogate pair: {text!r:.60}")
    _check_size(argument, text, text)
    return text


def _check_size(argument: str, text: str, indexed: str) -> None:
    if len(indexed.encode()) > MAX_BYTES:
        raise ValueError(f"{argument} must have at most {MAX_BYTES} bytes of UTF-8: {text[:40]!r}…")
