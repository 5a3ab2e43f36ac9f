"""``get_or_duplicate``: the one copy of a batch under a unique name, found or made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import define

from prolific_async._api.batches import duplicate_batch
from prolific_async._http.retry import may_poll_again
from prolific_async._logging import log as _log
from prolific_async._recovery.copy_search import copies_of
from prolific_async._recovery.named_copy import NamedCopy
from prolific_async.errors import OutcomeUnknownError, ProlificError
from prolific_async.models import Copies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._api.batches import BatchesAPI
    from prolific_async._api.partial_batches import Source
    from prolific_async._recovery.copy_search import CopySearch
    from prolific_async._recovery.duplicate import Duplicator, PendingDuplicates
    from prolific_async.models import Batch
    from prolific_async.policies import PollPolicy, RetryPolicy


@define(eq=False, repr=False)
class Duplicates:
    """Searches for the copies of one batch, which is read once at most, and duplicates it."""

    _search: CopySearch
    _duplicator: Duplicator
    _source: Source | Batch | None

    async def find_copies(self, batch: str, /, *, name: str) -> Copies:
        """Return the batches of the source's workspace that bear a name."""
        if self._source is None:
            self._source = (await self._search.source(batch)).source
        return copies_of(await self._search.named(self._source, name))

    async def duplicate(self, batch: str, /, *, name: str) -> Batch:
        """Send a duplicate and return its copy."""
        return await self._duplicator.duplicate(batch, name=name)


class NamedCopies:
    """Finds or makes copies by their unique names.

    Args:
        api: Reads a copy that the list does not show whole.
        search: Finds copies.
        duplicator: Makes them.
        pending: The duplicates of this client.
        retry: How often a duplicate is sent at most.
        poll: The gaps between searches.
        sleep: Waits so many seconds, or until the client is closed.

    """

    def __init__(
        self,
        api: BatchesAPI,
        search: CopySearch,
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
        """Return an object that searches for the copy of a name and sends its duplicate.

        Args:
            source_id: The batch to copy.
            name: Name of the copy.
            settle_seconds: Seconds after which a lost duplicate that does not show did not run.
            source: The batch, if it was read before; else it is read once.

        """
        duplicates = Duplicates(self._search, self._duplicator, source)
        path = duplicate_batch(source_id, prefix=self._api.prefix).path
        return NamedCopy(duplicates, source_id, name, path=path, settle_seconds=settle_seconds)

    async def get(
        self, source_id: str, name: str, *, settle_seconds: float, source: Batch | None = None
    ) -> Batch:
        """Return the copy of a batch under a unique name, which is made if there is none.

        The arguments are those of ``named_copy``.

        Raises:
            OutcomeUnknownError: More than one batch bears the name, or a copy may have been made
                that was not found.
            ProlificError: The service refuses, and no copy was made.

        """
        copy = self.named_copy(source_id, name, settle_seconds=settle_seconds, source=source)
        now = asyncio.get_running_loop().time
        latest = self._pending.latest(name, now())
        if latest is not None and latest + settle_seconds > now():
            copy.assume_sent(latest)
        try:
            copy_id = await self._make(copy)
            return copy.copy or await self._read(copy_id, copy.path)
        finally:
            copy.lost = None  # else it and this frame, which it may have passed, are in a cycle

    async def _make(self, copy: NamedCopy) -> str:
        """Search and send in turns, and return the id of the copy."""
        sent = 0
        gap = self._poll.initial
        while (copy_id := await self._find(copy)) is None:
            if not copy.may_send:
                await self._sleep(min(gap, copy.settles_in))
                gap = self._poll.following(gap)
                continue
            if copy.lost is not None and sent == self._retry.max_attempts:
                raise copy.lost
            sent += 1
            if not await copy.send():
                _log.info("%s; it is searched for", copy.lost)
        return copy_id

    async def _find(self, copy: NamedCopy) -> str | None:
        """Search for the copy; while a duplicate settles, a passing failure counts as not found."""
        try:
            return await copy.find()
        except OutcomeUnknownError:
            raise
        except ProlificError as failure:
            if copy.lost is None:
                raise
            if not may_poll_again(failure) or not copy.settles_in:
                # Its cause is how the duplicate failed, if it did.
                raise copy.unsearched(failure)  # noqa: B904
            _log.info("%s; it is searched for again: %s", copy.lost, failure)
            return None

    async def _read(self, copy_id: str, path: str) -> Batch:
        """Return a copy that the list does not show whole."""
        try:
            return await self._api.get(copy_id)
        except ProlificError as failure:
            raise OutcomeUnknownError("POST", path, (), (copy_id,), failure) from failure
