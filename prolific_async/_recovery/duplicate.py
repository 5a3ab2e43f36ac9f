"""Duplicates and creates batches; if the response is lost, the new batch is searched for by name.

What is said here of a duplicate and its copy also holds for a create and its batch. The search must
not return the copy of another call, so ``PendingDuplicates`` remembers the calls and copies of this
client. Those of other clients are unknown, hence the advice to use unique names.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define

from prolific_async._http.retry import may_get_again, may_have_run, may_poll_again, pauses
from prolific_async._logging import log as _log
from prolific_async._recovery.batch_search import CallStart, copies_of
from prolific_async._recovery.unknown_outcome import call_of, unknown_outcome
from prolific_async.errors import ProlificError
from prolific_async.models import Copies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from prolific_async._api.batches import BatchesAPI
    from prolific_async._recovery.batch_search import BatchSearch, Found
    from prolific_async.models import Batch
    from prolific_async.policies import RetryPolicy

    _Search: TypeAlias = Callable[
        [str, "PendingDuplicate"], Awaitable[tuple[CallStart, dict[str, Found]]]
    ]

_REMEMBERED = 3600.0  # seconds before the oldest open call that still matter: no POST runs longer
_CLEANUP = 1.0  # seconds between cleanups: each stays short, and not every call pays for one
_DEFAULT_SUFFIX = " (Copy)"
"""What the service appends to a source's name to name a copy, if the caller gives no name.

Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/duplicate-task-builder-batch
"""


@define(eq=False, repr=False)
class PendingDuplicate:
    """One call of ``duplicate`` or ``create``, until its copy is known.

    Attributes:
        name: Name of the copy, without space around it; None for the default name.
        began: When the call began, in loop time.
        copy: Id of the copy, None until it is known.
        may_have_run: Whether there may be a copy although ``copy`` is None, as after cancellation.

    """

    name: str | None
    began: float
    copy: str | None = None
    may_have_run: bool = True


class PendingDuplicates:
    """A client's calls that make batches, under way or lost, and the copies that they returned.

    Attributes:
        returned_at: When each copy was returned, in loop time, by its id; old ones are forgotten.

    """

    def __init__(self) -> None:
        self._open: set[PendingDuplicate] = set()
        # OrderedDict, as finding the first key of a dict is slow after many deletions.
        self._lost: OrderedDict[PendingDuplicate, float] = OrderedDict()
        self.returned_at: OrderedDict[str, float] = OrderedDict()
        self._names: dict[str | None, int] = {}  # number of open and lost calls, by name
        self._cleanup_at = -math.inf

    def open(self, name: str | None, now: float) -> PendingDuplicate:
        """Remember a call that begins; ``close`` must be called at its end."""
        # The service may strip a name.
        pending = PendingDuplicate(name and name.strip(), now)
        self._open.add(pending)
        self._names[pending.name] = self._names.get(pending.name, 0) + 1
        if now >= self._cleanup_at:
            self._clean_up(now)
        return pending

    def close(self, pending: PendingDuplicate, now: float) -> None:
        """End a call; remember its copy, or that it is lost if there may be a copy."""
        self._open.remove(pending)
        if pending.copy is not None:
            self.returned_at[pending.copy] = now
        elif pending.may_have_run:
            self._lost[pending] = now
            return
        self._drop_name(pending)

    def is_taken(self, batch_id: str) -> bool:
        """Return whether a batch was returned as a copy not long ago."""
        return batch_id in self.returned_at

    def is_only_call_for_name(self, pending: PendingDuplicate) -> bool:
        """Return whether no other call of this client can have made a copy with the same name.

        Always False for the default name, which copies of other clients have, too.
        """
        if pending.name is None or self._names[pending.name] > 1:
            return False
        return not (pending.name.endswith(_DEFAULT_SUFFIX) and None in self._names)

    def latest_possible_run(self, name: str, now: float) -> float | None:
        """Return the latest loop time at which a duplicate with a name may have run, or None.

        This is ``now`` if such a duplicate is open, else the end of the latest lost one.
        """
        name = name.strip()
        if name not in self._names:
            return None
        if any(one.name == name for one in self._open):
            return now
        return max(ended for one, ended in self._lost.items() if one.name == name)

    def _drop_name(self, pending: PendingDuplicate) -> None:
        count = self._names.pop(pending.name) - 1
        if count:
            self._names[pending.name] = count

    def _clean_up(self, now: float) -> None:
        """Forget copies and lost calls that are too old to matter to any open call."""
        self._cleanup_at = now + _CLEANUP
        horizon = min(pending.began for pending in self._open) - _REMEMBERED
        _forget(self.returned_at, horizon)
        for lost in _forget(self._lost, horizon):
            self._drop_name(lost)


def _forget(entries: OrderedDict[Any, float], horizon: float) -> list[Any]:
    """Remove the entries older than the horizon, which come first, and return their keys."""
    forgotten = []
    while entries and next(iter(entries.values())) < horizon:
        forgotten.append(entries.popitem(last=False)[0])
    return forgotten


class Duplicator:
    """Duplicates and creates batches; two calls of one client never return the same batch.

    Args:
        api: Sends the requests.
        search: Searches for batches whose response was lost.
        pending: The duplicates of this client.
        retry: Number of searches, and the pauses between them.
        sleep: Sleeps for the given seconds, or until the client is closed.
        utc_now: Returns the time of this machine's clock, in seconds since 1970.

    """

    def __init__(
        self,
        api: BatchesAPI,
        search: BatchSearch,
        pending: PendingDuplicates,
        *,
        retry: RetryPolicy,
        sleep: Callable[[float], Awaitable[object]],
        utc_now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._search = search
        self._pending = pending
        self._retry = retry
        self._sleep = sleep
        self._utc_now = utc_now

    # Not "async", as they only return a coroutine: one less to resume for each call.

    def duplicate(
        self, batch_id: str, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Coroutine[Any, Any, Batch]:
        """Duplicate a batch and return the copy; search for it if the response is lost.

        Raises:
            OutcomeUnknownError: The POST may have run, and no batch is surely its copy.
            ProlificError: The POST failed and made no copy.

        """
        return self._make(
            name,
            lambda: self._api.duplicate(batch_id, name=name, upload_new_dataset=upload_new_dataset),
            self._copies_of,
            batch_id,
        )

    def create(
        self, workspace_id: str, name: str, send: Callable[[], Awaitable[Batch]]
    ) -> Coroutine[Any, Any, Batch]:
        """Create a batch and return it; search for it if the response is lost.

        Args:
            workspace_id: The workspace in which the batch is created.
            name: Name of the batch.
            send: Sends the POST and returns the batch.

        Raises:
            OutcomeUnknownError: The POST may have run, and no batch is surely the new one.
            ProlificError: The POST failed and made no batch.

        """
        return self._make(name, send, self._batches_in, workspace_id)

    async def _make(
        self,
        name: str | None,
        send: Callable[[], Awaitable[Batch]],
        search: _Search,
        searched_id: str,
    ) -> Batch:
        now = asyncio.get_running_loop().time
        pending = self._pending.open(name, now())
        try:
            try:
                copy = await send()
            except ProlificError as failure:
                pending.may_have_run = may_have_run(failure)
                if not pending.may_have_run:
                    raise
                candidates, is_sure = await self._find(
                    search, searched_id, pending, call_of(failure)
                )
                if not is_sure:
                    raise unknown_outcome(failure, candidates) from failure
                (copy,) = candidates.batches
                lost = type(failure).__name__
                _log.info("%s %s: %s, but found: %s", *call_of(failure), lost, copy.id)
            pending.copy = copy.id
            return copy
        finally:
            self._pending.close(pending, now())

    async def _copies_of(
        self, source_id: str, pending: PendingDuplicate
    ) -> tuple[CallStart, dict[str, Found]]:
        source, date = await self._search.source(source_id)
        age = asyncio.get_running_loop().time() - pending.began
        start = CallStart(date, age, self._utc_now)
        name = source.name + _DEFAULT_SUFFIX if pending.name is None else pending.name
        return start, await self._search.named(source, name.strip(), start.earliest)

    async def _batches_in(
        self, workspace_id: str, pending: PendingDuplicate
    ) -> tuple[CallStart, dict[str, Found]]:
        found, time = await self._search.named_in_workspace(workspace_id, pending.name or "")
        return CallStart(time.date, time.at - pending.began, self._utc_now), found

    async def _find(
        self, search: _Search, searched_id: str, pending: PendingDuplicate, call: tuple[str, str]
    ) -> tuple[Copies, bool]:
        """Return the batches that may be the copy, and whether the only one certainly is the copy.

        Searches again while no batch is new: the POST may still be running, or the list may lag.
        ``call`` is the method and path of the POST, for the log.
        """
        candidates: dict[str, Found] = {}
        for pause in islice(chain((0.0,), pauses(self._retry)), self._retry.max_attempts):
            try:
                await self._sleep(pause)
                start, named = await search(searched_id, pending)
            except ProlificError as failure:
                # The search has already repeated its GETs after failures of ``may_get_again``.
                if may_poll_again(failure) and not may_get_again(failure):
                    continue
                break
            # An invalid workspace id or a callback of the application can raise anything: the
            # caller must still learn that the POST may have run.
            except Exception as failure:  # noqa: BLE001
                _log.error(
                    "%s %s: the search for the batch it may have made raised an unexpected error",
                    *call,
                    exc_info=failure,
                )
                break
            candidates = {
                batch_id: batch
                for batch_id, batch in named.items()
                if start.may_be_new(batch) and not self._pending.is_taken(batch_id)
            }
            new = copies_of({key: one for key, one in candidates.items() if start.is_new(one)})
            if (
                len(new) == len(new.batches) == 1
                and self._pending.is_only_call_for_name(pending)
                and start.is_surely_new(new.batches[0])
            ):
                return new, True
            if new.batches:  # else search again: an unreadable one may be half written yet
                break
        return copies_of(candidates), False
