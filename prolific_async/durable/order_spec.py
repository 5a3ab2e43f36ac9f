"""What an order says, checked before it is recorded."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from attrs import frozen

from prolific_async._numbers import number, whole
from prolific_async._validation import identifier
from prolific_async.models import Batch

if TYPE_CHECKING:
    from uuid import UUID

NAME = "prolific_async.order"
"""Of the workflow, with which the ids of all orders begin."""

MOST_BYTES = 1024
"""Of each part of an order's id, in UTF-8: PostgreSQL indexes 2,700 bytes together."""

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")  # in PostgreSQL, and in UTF-8


@frozen
class OrderSpec:
    """What an order is to bring about; what DBOS keeps of it.

    Attributes:
        source_id: The batch to copy.
        name: Name of the copy, unique in its workspace.
        dataset_id: As for ``setup``.
        tasks_per_group: As for ``setup``.
        began: When it was ordered, in seconds since the epoch.
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
        dataset_id: str | UUID | None,
        tasks_per_group: int | None,
        timeout: float | None,
    ) -> Self:
        """Return the terms of an order that is given now.

        Raises:
            ValueError: An argument makes no sense.

        """
        if tasks_per_group is not None:
            tasks_per_group = whole("tasks_per_group", tasks_per_group, least=1)
        if timeout is not None:
            timeout = number("timeout", timeout, infinite=True, or_none=True)
        return cls(
            source_id=source_id(batch),
            name=checked_name(name),
            dataset_id=None if dataset_id is None else identifier(dataset_id),
            tasks_per_group=tasks_per_group,
            began=time.time(),
            timeout=None if timeout == math.inf else timeout,
        )

    def seconds_left(self) -> float | None:
        """Return the seconds that are left, 0 when there are none, None for no limit."""
        if self.timeout is None:
            return None
        return max(0.0, self.began + self.timeout - time.time())


def order_id(application: str, batch: Batch | str | UUID, name: str) -> str:
    """Return the id of an order's workflow.

    Raises:
        ValueError: An argument makes no sense.

    """
    # The source's id is quoted, so that none of its colons ends it.
    source = quote(source_id(batch), safe="")
    return f"{NAME}:{application}:{source}:{checked_name(name)}"


def is_order(workflow_id: str) -> bool:
    """Tell an order's workflow from the application's own ones."""
    return workflow_id.startswith(f"{NAME}:")


def source_id(batch: Batch | str | UUID) -> str:
    """Return the id of the batch to copy."""
    checked = identifier(batch.id if isinstance(batch, Batch) else batch)
    if len(quote(checked, safe="")) > MOST_BYTES:
        raise ValueError(f"a batch's id must have at most {MOST_BYTES} bytes: {checked[:40]!r}…")
    return checked


def checked_name(name: object) -> str:
    """Return a name without the space around it, which a service may take away."""
    if not isinstance(name, str) or not name.strip() or _UNSTORABLE.search(name):
        raise ValueError(f"name must be text, unique in the workspace: {name!r}")
    checked = name.strip()
    if len(checked.encode()) > MOST_BYTES:
        raise ValueError(f"name must have at most {MOST_BYTES} bytes of UTF-8: {checked[:40]!r}…")
    return checked


def checked_executor_id(executor_id: object) -> str:
    """Return the name of a worker's process, which the database indexes, too."""
    if (
        not isinstance(executor_id, str)
        or not executor_id
        or _UNSTORABLE.search(executor_id)
        or len(executor_id.encode()) > MOST_BYTES
    ):
        raise ValueError(
            f"executor_id must be this process's own name, of at most {MOST_BYTES} bytes: "
            f"{executor_id!r:.60}"
        )
    return executor_id
