"""Batches that a call makes: it is sent once, and searched for if the response is lost.

The calls are duplicates, which make copies, and creates; what is said here of a duplicate and its
copy holds for a create and its batch, too. The search goes by name, so it must never find the copy
of another call: ``PendingDuplicates`` remembers the calls and copies of this client. Other clients
cannot be known here, hence the advice to use unique names.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define

from prolific_async._http.retry import get_again, may_have_run, may_poll_again, pauses
from prolific_async._logging import log as _log
from prolific_async._recovery.copy_search import CallStart, copies_of
from prolific_async._recovery.unknown_outcome import call_of, unknown_outcome
from prolific_async.errors import ProlificError
from prolific_async.models import Copies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from prolific_async._api.batches import BatchesAPI
    from prolific_async._recovery.copy_search import CopySearch, Found
    from prolific_async.models import Batch
    from prolific_async.policies import RetryPolicy

    _Search: TypeAlias = Callable[
        [str, "PendingDuplicate"], Awaitable[tuple[CallStart, dict[str, Found]]]
    ]

_REMEMBERED = 3600.0  # seconds before the oldest open call began: no POST runs for that long
_CLEANUP = 1.0  # seconds between removals of what is older: a few at a time, but not at each call

_DEFAULT_SUFFIX = " (Copy)"


def default_name(source_name: str) -> str:
    """Return the name that the service gives a copy when the caller gave none.

    Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/duplicate-task-builder-batch
    """
    return source_name + _DEFAULT_SUFFIX


@define(eq=False, repr=False)
class PendingDuplicate:
    """One call of ``duplicate`` or ``create``, until its copy is known.

    Attributes:
        name: The name that its copy is to have, without space around it; None for the default.
        began: When it began, in loop time.
        copy: The id of its copy, once that is known.
        may_have_run: Whether there may be a copy although none is known, as after a cancellation.

    """

    name: str | None
    began: float
    copy: str | None = None
    may_have_run: bool = True


class PendingDuplicates:
    """The duplicates of a client: those without a known copy, and the copies of the others.

    Times are those of the event loop.

    Attributes:
        copies: The batches that were returned as copies, not long ago, and when.

    """

    def __init__(self) -> None:
        self._open: set[PendingDuplicate] = set()
        # OrderedDict: the first key of a dict is slow to find once many before it were deleted.
        self._lost: OrderedDict[PendingDuplicate, float] = OrderedDict()
        self.copies: OrderedDict[str, float] = OrderedDict()
        self._names: dict[str | None, int] = {}  # how many are open or lost, by name
        self._cleanup_at = -math.inf

    def open(self, name: str | None, now: float) -> PendingDuplicate:
        """Begin a call, which must be closed."""
        # A service may drop space around a name.
        pending = PendingDuplicate(name and name.strip(), now)
        self._open.add(pending)
        self._names[pending.name] = self._names.get(pending.name, 0) + 1
        if now >= self._cleanup_at:
            self._clean_up(now)
        return pending

    def close(self, pending: PendingDuplicate, now: float) -> None:
        """End a call, and remember its copy, or that there may be one."""
        self._open.remove(pending)
        if pending.copy is not None:
            self.copies[pending.copy] = now
        elif pending.may_have_run:
            self._lost[pending] = now
            return
        self._drop_name(pending)

    def is_taken(self, batch_id: str) -> bool:
        """Return whether a batch was returned as a copy, and not long ago."""
        return batch_id in self.copies

    def is_alone(self, pending: PendingDuplicate) -> bool:
        """Return whether no other call of this client can have made a copy of the pending's name.

        Always False for the default name, which the copies of other clients bear, too.
        """
        if pending.name is None or self._names[pending.name] > 1:
            return False
        return not (pending.name.endswith(_DEFAULT_SUFFIX) and None in self._names)

    def latest(self, name: str, now: float) -> float | None:
        """Return when a duplicate of a name may have run at the latest, None if none may have.

        It is now for one that is under way. Those whose copy is known do not count.
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
        """Forget the copies and the lost calls that no open call needs any more."""
        self._cleanup_at = now + _CLEANUP
        horizon = min(pending.began for pending in self._open) - _REMEMBERED
        _forget(self.copies, horizon)
        for lost in _forget(self._lost, horizon):
            self._drop_name(lost)


def _forget(entries: OrderedDict[Any, float], horizon: float) -> list[Any]:
    """Remove the entries before the horizon, which come first, and return their keys."""
    forgotten = []
    while entries and next(iter(entries.values())) < horizon:
        forgotten.append(entries.popitem(last=False)[0])
    return forgotten


class Duplicator:
    """Duplicates batches and creates them. Two calls of one client never return the same batch.

    Args:
        api: Sends the requests.
        search: Finds copies whose response was lost.
        pending: The duplicates of this client.
        retry: Pauses between searches, and their number.
        sleep: Waits so many seconds, or until the client is closed.
        utc_now: This machine's clock, in seconds since 1970.

    """

    def __init__(
        self,
        api: BatchesAPI,
        search: CopySearch,
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

    # What only prepares a call is no coroutine itself, so that nothing here is resumed.

    def duplicate(
        self, batch_id: str, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Coroutine[Any, Any, Batch]:
        """Send a duplicate and return its copy, searched for if the response is lost.

        Raises:
            OutcomeUnknownError: It may have run, and no batch is surely its copy.
            ProlificError: It failed and made no copy.

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
        """Send a create and return its batch, searched for if the response is lost.

        Args:
            workspace_id: The workspace that the batch is made in.
            name: Its name.
            send: Sends the create.

        Raises:
            OutcomeUnknownError: It may have run, and no batch is surely the one that it made.
            ProlificError: It failed and made none.

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
                candidates, is_sure = await self._find(search, searched_id, pending)
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
        name = pending.name
        if name is None:
            name = default_name(source.name).strip()
        return start, await self._search.named(source, name, start.earliest)

    async def _batches_in(
        self, workspace_id: str, pending: PendingDuplicate
    ) -> tuple[CallStart, dict[str, Found]]:
        found, time = await self._search.made_in(workspace_id, pending.name or "")
        return CallStart(time.date, time.at - pending.began, self._utc_now), found

    async def _find(
        self, search: _Search, searched_id: str, pending: PendingDuplicate
    ) -> tuple[Copies, bool]:
        """Return the candidates, and whether the only one is surely the copy.

        Searches again while there is no candidate: the POST may still be running, or the list lag.
        """
        candidates: dict[str, Found] = {}
        for pause in islice(chain((0.0,), pauses(self._retry)), self._retry.max_attempts):
            try:
                await self._sleep(pause)
                start, named = await search(searched_id, pending)
            except ProlificError as failure:
                # The GETs were repeated already, where a repeat helps.
                if may_poll_again(failure) and not get_again(failure):
                    continue
                break
            # The source's workspace may be no id, and a callback of the application can raise
            # anything: the caller must learn all the same that the POST may have run.
            except Exception as failure:  # noqa: BLE001
                _log.error("the search for a lost copy is broken", exc_info=failure)
                break
            candidates = {
                batch_id: batch
                for batch_id, batch in named.items()
                if start.may_precede(batch) and not self._pending.is_taken(batch_id)
            }
            new = copies_of({key: one for key, one in candidates.items() if start.precedes(one)})
            if (
                len(new) == len(new.batches) == 1
                and self._pending.is_alone(pending)
                and start.surely_precedes(new.batches[0])
            ):
                return new, True
            if new.batches:  # an unreadable one may be only half written yet
                break
        return copies_of(candidates), False
