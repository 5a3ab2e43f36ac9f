"""Helpers of the core for extensions, such as the extras of this package.

Extensions import no name that begins with an underscore; what they need beside the public names is
here. Applications need none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# For annotations with classes that are imported on their first use.
import prolific_async
from prolific_async import _validation as arguments
from prolific_async._http.retry import may_poll_again
from prolific_async._json.converter import JsonModel
from prolific_async._logging import log
from prolific_async._message_parts import brief
from prolific_async._numbers import number
from prolific_async._part_file import PartFile
from prolific_async._recovery.named_copy import NamedCopy
from prolific_async._recovery.setup import set_up_once
from prolific_async.batches import Batches
from prolific_async.models import WaitStatus

__all__ = [
    "JsonModel",
    "NamedCopy",
    "PartFile",
    "arguments",
    "brief",
    "dataset_status",
    "log",
    "may_poll_again",
    "named_copy",
    "number",
    "observe_other_waits",
    "set_up_once",
]


def named_copy(batches: Batches, source_id: str, name: str, *, settle_seconds: float) -> NamedCopy:
    """Return an object that finds or makes the one copy of a batch that has a unique name.

    Args:
        batches: The ``batches`` of the client to use.
        source_id: The batch to copy.
        name: Name of the copy.
        settle_seconds: Seconds after which a lost duplicate that is not in the list counts as not
            run.

    """
    return batches._copying.named_copy(source_id, name, settle_seconds=settle_seconds)  # noqa: SLF001 - its own


def dataset_status(dataset: prolific_async.Dataset) -> WaitStatus | None:
    """Return the status that a wait for a dataset watches: its own (V3), or its imports' (V4)."""
    from prolific_async._polling.job_kinds import status_of_dataset  # noqa: PLC0415 - on its first use

    return status_of_dataset(dataset)


def observe_other_waits(
    batches: Batches, observer: Callable[[str, str], Callable[[Any], object] | None]
) -> None:
    """Report every wait for a dataset or a job that begins from now on.

    Args:
        batches: The ``batches`` of the client.
        observer: As in ``Batches.add_wait_observer``, but called with a kind, such as "import", and
            the id of the dataset or job. In place of a batch its listener gets the wait's result.

    """
    wait_runner = batches.state.wait_runner
    wait_runner.job_observers += (lambda key: observer(key.kind.name, key.id),)
