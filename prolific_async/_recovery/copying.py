"""Makes and finds copies of batches: a new copy, the only one with a name, or all with a name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prolific_async._recovery.batch_search import BatchSearch
from prolific_async._recovery.duplicate import Duplicator
from prolific_async._recovery.get_or_duplicate import NamedCopies, SourceCopies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._api.batches import BatchesAPI
    from prolific_async._recovery.duplicate import PendingDuplicates
    from prolific_async._recovery.single_flight import SingleFlight
    from prolific_async.models import Batch, Copies
    from prolific_async.policies import PollPolicy, RetryPolicy


class Copying:
    """Makes copies of batches and finds them, for one client or view.

    Args:
        api: Sends the requests.
        pending: The duplicates of the client.
        attempts: The calls of ``get_or_duplicate`` that are under way, by source and name.
        retry: How often searches and duplicates are repeated.
        poll: The gaps between the searches for a copy with a unique name.
        sleep: Sleeps for the given seconds, or until the client is closed.

    Attributes:
        duplicate: As ``Duplicator.duplicate``.
        create: As ``Duplicator.create``.
        named_copy: As ``NamedCopies.named_copy``.

    """

    def __init__(
        self,
        api: BatchesAPI,
        pending: PendingDuplicates,
        attempts: SingleFlight[tuple[str, str], Batch],
        *,
        retry: RetryPolicy,
        poll: PollPolicy,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._attempts = attempts
        self._search = BatchSearch(api)
        self._duplicator = Duplicator(api, self._search, pending, retry=retry, sleep=sleep)
        self._named_copies = NamedCopies(
            api, self._search, self._duplicator, pending, retry=retry, poll=poll, sleep=sleep
        )
        self.duplicate = self._duplicator.duplicate
        self.create = self._duplicator.create
        self.named_copy = self._named_copies.named_copy

    async def get_or_duplicate(
        self, source_id: str, name: str, *, settle_seconds: float, source: Batch | None = None
    ) -> Batch:
        """Return the copy of a batch that has a unique name; make it if there is none.

        Calls with the same source and name share the attempt that is under way.

        Args:
            source_id: The batch to copy.
            name: Name of the copy.
            settle_seconds: Seconds after which a lost duplicate that is not in the list counts as
                not run.
            source: The batch to copy, if it was read before.

        Raises:
            ProlificError: As ``NamedCopies.get``.

        """
        attempt = partial(
            self._named_copies.get,
            source_id,
            name,
            settle_seconds=settle_seconds,
            source=source,
        )
        return await self._attempts.run((source_id, name), attempt)

    async def find_copies(
        self, source_id: str, name: str, *, source: Batch | None = None
    ) -> Copies:
        """Return the batches of a source's workspace that have a name, without the source.

        Args:
            source_id: The batch that was copied.
            name: Name of the copies.
            source: The batch that was copied, if it was read before.

        """
        search = SourceCopies(self._search, self._duplicator, source)
        return await search.find_copies(source_id, name=name)
