"""The polls that the poller asks for: at one batch, at a workspace's list, or into the unknown."""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

from prolific_async._api import requests
from prolific_async._http.retry import hint
from prolific_async._logging import log as _log
from prolific_async._messages import brief
from prolific_async._polling.kept_errors import NEWEST, bounded
from prolific_async._polling.list_parser import read
from prolific_async._polling.poll_result import PollResult
from prolific_async._polling.targets import GroupResult
from prolific_async._polling.workspaces import Workspaces
from prolific_async._tracebacks import without_frames
from prolific_async.errors import ProlificError, RateLimitedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async._api.requests import Request
    from prolific_async._http.transport import Transport
    from prolific_async._polling.list_parser import Memory
    from prolific_async.models import Batch, BatchStatus
    from prolific_async.policies import RetryPolicy

FEW = {"auto": 8, "status": math.inf, "list": 1}
"""By strategy: batches of a workspace that wait, from which on its list is polled."""

_LISTS_AT_MOST = 64  # lists that are held against the next ones
_SCOUTS = 3  # unknown batches in a row whose lists may know no other before that is given up
_REFUSED = 1.0  # seconds at least until a list that was refused is asked for again


class StatusSource:
    """Makes polls, and learns from all of them which workspace a batch belongs to."""

    def __init__(
        self,
        transport: Transport,
        retry: RetryPolicy,
        read_batch: Callable[[Request, Any], Batch],
        read_status: Callable[[Request, Any], BatchStatus | None],
    ) -> None:
        self._send = transport.send
        self._prefix = transport.prefix
        self._retry = retry
        self._read_batch = read_batch
        self._read_status = read_status
        self.workspaces = Workspaces()
        self.learn = self.workspaces.learn
        self._lists: OrderedDict[str, Memory] = OrderedDict()

    def forget(self, workspace_id: str | None) -> None:
        """Drop what was kept for a workspace of which no batch is waited for any more."""
        if workspace_id is not None:
            self._lists.pop(workspace_id, None)
        self.workspaces.shrink()

    async def at(
        self,
        batch_id: str,
        whole: bool,  # noqa: FBT001 - the poller's call
        sent: Callable[[], object],
        patience: float = math.inf,
    ) -> PollResult:
        """Poll at one batch, in one attempt."""
        request = requests.poll(batch_id, whole=whole, prefix=self._prefix)
        try:
            answer = await self._send(request, poll=True, within=patience, sent=sent)
            if whole:
                batch = self._read_batch(request, answer.data)
                return PollResult(batch.status, batch)
            return PollResult(self._read_status(request, answer.data))
        except ProlificError as error:
            _log.info("a poll of batch %s failed: %s", batch_id, error)
            return PollResult(error=without_frames(bounded(error, NEWEST)))

    def lost(self, batch_id: str) -> PollResult:
        """Return what a poll saw whose task ended without a result."""
        request = requests.poll(batch_id, whole=False, prefix=self._prefix)
        return PollResult(
            error=TransportError(request.method, request.path, "the poll was broken off")
        )

    async def at_all(
        self,
        workspace_id: str | None,
        batch_ids: list[str],
        wanted: Callable[[str], bool],
        patience: float,
        sent: Callable[[], object],
    ) -> GroupResult:
        """Poll at a workspace's list, or find out the workspace of one of many unknown batches."""
        if workspace_id is not None:
            return await self._at_list(workspace_id, wanted, patience, sent)
        found: dict[str, PollResult] = {}
        size = 0
        gave_up = "nothing shows which belong together"
        for scout in batch_ids[:_SCOUTS]:
            if scout in found:
                continue
            found[scout] = seen = await self.at(scout, True, sent, patience)  # noqa: FBT003 - the poller's call
            if isinstance(seen.error, RateLimitedError):
                return self._refused(seen.error, f"batch {scout}", found)
            if isinstance(seen.error, TransportError):
                gave_up = str(seen.error)
                break
            if seen.batch is None:
                continue
            poll = await self._at_list(seen.batch.workspace_id, wanted, patience, sent)
            if poll.refused_for is not None:
                return GroupResult(found, failure=poll.failure, refused_for=poll.refused_for)
            if poll.failure is not None:
                gave_up = poll.failure
                break
            size += poll.size
            others = {one: poll.found[one] for one in batch_ids if one in poll.found}
            # Again, as the list may have been the same as before, and they forgotten since.
            self.workspaces.learn_all(others, seen.batch.workspace_id)
            found |= others | {scout: seen}
            if len(others) > 1:
                return GroupResult(found, size, again=True)
            self._lists.pop(seen.batch.workspace_id, None)  # of no use for one batch
        return GroupResult(found, size, gave_up=gave_up)

    async def _at_list(
        self,
        workspace_id: str,
        wanted: Callable[[str], bool],
        patience: float,
        sent: Callable[[], object],
    ) -> GroupResult:
        try:
            request = requests.list_batches(workspace_id, prefix=self._prefix)
            answer = await self._send(request, poll=True, raw=True, within=patience, sent=sent)
            listing = await read(
                answer.data,
                wanted,
                partial(self._read_batch, request),
                self._lists.pop(workspace_id, None),
            )
        except RateLimitedError as error:
            return self._refused(error, "the list", {})
        except (ProlificError, ValueError) as error:
            told = str(error) if isinstance(error, ProlificError) else f"no list ({error})"
            return GroupResult(failure=brief(told))
        self._lists[workspace_id] = listing.memory
        if len(self._lists) > _LISTS_AT_MOST:
            self._lists.popitem(last=False)
        self.workspaces.learn_all(listing.news, workspace_id)
        return GroupResult(listing.polls, len(answer.data))

    def _refused(
        self, error: RateLimitedError, what: str, found: dict[str, PollResult]
    ) -> GroupResult:
        wait = max(hint(error, self._retry), min(_REFUSED, self._retry.maximum))
        return GroupResult(found, failure=f"{what} was answered with 429", refused_for=wait)
