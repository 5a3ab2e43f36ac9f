"""``get_or_duplicate``: finds the copy of a batch that has a unique name, or makes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import define

from prolific_async._api.batches import duplicate_batch
from prolific_async._http.retry import may_poll_again
from prolific_async._logging import log as _log
from prolific_async._recovery.batch_search import copies_of
from prolific_async._recovery.named_copy import NamedCopy
from prolific_async.errors import OutcomeUnknownError, ProlificError
from prolific_async.models import Copies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._api.batches import BatchesAPI
    from prolific_async._api.partial_batches import SourceBatch
    from prolific_async._recovery.batch_search import BatchSearch
    from prolific_async._recovery.duplicate import Duplicator, PendingDuplicates
    from prolific_async.models import Batch
    from prolific_async.policies import PollPolicy, RetryPolicy


@define(eq=False, repr=False)
class SourceCopies:
    """Duplicates one batch and searches for its copies; reads the batch at most once."""

    _search: BatchSearch
    _duplicator: Duplicator
    _source: SourceBatch | Batch | None

    async def find_copies(self, batch: str, /, *, name: str) -> Copies:
        """Return the batches of the source's workspace that have a name, without the source."""
        if self._source is None:
            self._source = (await self._search.source(batch)).source
        return copies_of(await self._search.named(self._source, name))

    async def duplicate(self, batch: str, /, *, name: str) -> Batch:
        """Duplicate the batch and return the copy."""
        return await self._duplicator.duplicate(batch, name=name)


class NamedCopies:
    """Finds or makes copies by their unique names.

    Args:
        api: Reads a copy that is unreadable in the list.
        search: Searches for copies.
        duplicator: Makes copies.
        pending: The duplicates of this client.
        retry: How often a duplicate is sent at most.
        poll: The gaps between searches.
        sleep: Sleeps for the given seconds, or until the client is closed.

    """

    def __init__(
        self,
        api: BatchesAPI,
        search: BatchSearch,
        duplicator: Duplicator,
        pending: PendingDuplicates,
        *,
        retry: RetryPolicy,
        poll: PollPolicy,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._api = api
        self._search = search
        self._duplicator = duplicator
        self._pending = pending
        self._retry = retry
        self._poll = poll
        self._sleep = sleep

    def named_copy(
        self, source_id: str, name: str, *, settle_seconds: float, source: Batch | None = None
    ) -> NamedCopy:
        """Return an object that searches for the copy with a name, or sends the duplicate.

        Args:
            source_id: The batch to copy.
            name: Name of the copy.
            settle_seconds: Seconds after which a lost duplicate that is not in the list counts as
                not run.
            source: The batch to copy, if it was read before; else the first search reads it.

        """
        duplicates = SourceCopies(self._search, self._duplicator, source)
        path = duplicate_batch(source_id, prefix=self._api.prefix).path
        return NamedCopy(duplicates, source_id, name, path=path, settle_seconds=settle_seconds)

    async def get(
        self, source_id: str, name: str, *, settle_seconds: float, source: Batch | None = None
    ) -> Batch:
        """Return the copy of a batch that has a unique name; make it if there is none.

        The arguments are those of ``named_copy``.

        Raises:
            OutcomeUnknownError: More than one batch has the name, or a copy may have been made
                that was not found.
            ProlificError: A request failed, and no copy was made.

        """
        copy = self.named_copy(source_id, name, settle_seconds=settle_seconds, source=source)
        self._heed_other_calls(copy)
        try:
            copy_id = await self._make(copy)
            return copy.copy or await self._read(copy_id, copy.path)
        finally:
            copy.lost = None  # an error's traceback may hold this frame: a reference cycle

    def _heed_other_calls(self, copy: NamedCopy) -> None:
        """Let other duplicates of this client that may make a copy of the name settle first."""
        now = asyncio.get_running_loop().time()
        latest = self._pending.latest_possible_run(copy.name, now)
        if latest is not None and latest + copy.settle_seconds > now:
            copy.assume_sent(latest)

    async def _make(self, copy: NamedCopy) -> str:
        """Search and send in turns until the copy is found, and return its id."""
        sent = 0
        gap = self._poll.initial
        while (copy_id := await self._find(copy)) is None:
            if copy.may_send:  # a duplicate may have begun since, or take longer than expected
                self._heed_other_calls(copy)
            if not copy.may_send:
                await self._sleep(min(gap, copy.settles_in))
                gap = self._poll.next_gap(gap)
                continue
            if copy.lost is not None and sent == self._retry.max_attempts:
                raise copy.lost
            sent += 1
            if not await copy.send():
                _log.info("%s; it is searched for", copy.lost)
        return copy_id

    async def _find(self, copy: NamedCopy) -> str | None:
        """Search for the copy; while a duplicate settles, transient failures count as not found."""
        try:
            return await copy.find()
        except OutcomeUnknownError:
            raise
        except ProlificError as failure:
            if copy.lost is None:
                raise
            if not may_poll_again(failure) or not copy.settles_in:
                # No "from failure": the error's cause is the failure of the duplicate, if any.
                raise copy.search_failed_error(failure)  # noqa: B904
            _log.info("%s; it is searched for again: %s", copy.lost, failure)
            return None

    async def _read(self, copy_id: str, path: str) -> Batch:
        """Return a copy that is unreadable in the list, read by its id."""
        try:
            return await self._api.get(copy_id)
        except ProlificError as failure:
            raise OutcomeUnknownError("POST", path, (), (copy_id,), failure) from failure
