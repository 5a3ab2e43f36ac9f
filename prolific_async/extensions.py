"""Names of the core for its extensions, which import nothing that begins with an underscore.

The extras of this package are extensions. Applications need none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prolific_async import _validation as arguments
from prolific_async._api.batches import duplicate_batch
from prolific_async._http.retry import may_poll_again
from prolific_async._logging import log
from prolific_async._messages import brief
from prolific_async._numbers import number
from prolific_async._recovery.named_copy import NamedCopy

if TYPE_CHECKING:
    from prolific_async.batches import Batches

__all__ = ["NamedCopy", "arguments", "brief", "log", "may_poll_again", "named_copy", "number"]


def named_copy(batches: Batches, source_id: str, name: str, *, settle_seconds: float) -> NamedCopy:
    """Return what finds or makes the copy of a batch under a unique name, by a client.

    Args:
        batches: The client's.
        source_id: The batch to copy.
        name: Name of the copy.
        settle_seconds: Seconds after which a lost duplicate that does not show did not run.

    """
    path = duplicate_batch(source_id, prefix=batches._prefix).path  # noqa: SLF001 - its own
    return NamedCopy(batches, source_id, name, path=path, settle_seconds=settle_seconds)
