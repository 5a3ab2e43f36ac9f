"""What an order says, checked before it is recorded."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Self

from attrs import frozen

from prolific_async._http.endpoints import checked_id
from prolific_async._numbers import number, whole
from prolific_async.models import Batch

if TYPE_CHECKING:
    from uuid import UUID

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")  # in PostgreSQL, and in UTF-8


@frozen
class Terms:
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
            dataset_id=None if dataset_id is None else checked_id(dataset_id),
            tasks_per_group=tasks_per_group,
            began=time.time(),
            timeout=None if timeout == math.inf else timeout,
        )

    def seconds_left(self) -> float | None:
        """Return the seconds that are left, 0 when there are none, None for no limit."""
        if self.timeout is None:
            return None
        return max(0.0, self.began + self.timeout - time.time())


def source_id(batch: Batch | str | UUID) -> str:
    """Return the id of the batch to copy."""
    return checked_id(batch.id if isinstance(batch, Batch) else batch)


def checked_name(name: object) -> str:
    """Return a name without the space around it, which a service may take away."""
    if not isinstance(name, str) or not name.strip() or _UNSTORABLE.search(name):
        raise ValueError(f"name must be text, unique in the workspace: {name!r}")
    return name.strip()
