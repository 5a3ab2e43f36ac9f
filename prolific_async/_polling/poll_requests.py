"""Requests of polls: sends them, and reads their responses."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, cast

from prolific_async._api.batches import get_batch, get_batch_status
from prolific_async._http.retry import capped_retry_after
from prolific_async._json.converter import load
from prolific_async._logging import log as _log
from prolific_async._open_enum import OpenEnum
from prolific_async._polling.kinds import named
from prolific_async._polling.list_parser import read
from prolific_async._polling.poll_results import GroupResult, PollResult, failed_list, failed_poll
from prolific_async.errors import (
    ProlificError,
    RateLimitedError,
    RequestTimeoutError,
    TransportError,
)
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Container

    from prolific_async._api.batches import BatchesAPI
    from prolific_async._http.request import PollTiming, Request
    from prolific_async._http.transport import Transport
    from prolific_async._polling.kinds import Key, TargetKey
    from prolific_async._polling.known_workspaces import KnownWorkspaces
    from prolific_async._polling.list_parser import ListMemory
    from prolific_async.models import WaitStatus
    from prolific_async.policies import RetryPolicy

_LISTS_AT_MOST = 64  # workspaces whose previous list is kept for comparison
_SEARCHES = 3  # batches that one search reads, each with the list of its workspace, at most
_REFUSED = 1.0  # seconds from a 429 to the next poll of the list, at least


class PollRequests:
    """Polls batches, datasets, jobs and lists, and learns the workspaces of batches.

    Attributes:
        get: Reads a whole batch, as ``BatchesAPI.get``.
        get_status: Reads a batch's status, as ``BatchesAPI.get_status``.

    """

    def __init__(
        self, api: BatchesAPI, workspaces: KnownWorkspaces, retry: RetryPolicy, transport: Transport
    ) -> None:
        self.get = api.get
        self.get_status = api.get_status
        self._api = api
        self._send = transport.send
        self._workspaces = workspaces
        self._retry = retry
        self._lists: OrderedDict[str, ListMemory] = OrderedDict()

    def forget(self, workspace_id: str | None) -> None:
        """Forget the list of a workspace that has no poll targets any more."""
        if workspace_id is not None:
            self._lists.pop(workspace_id, None)
        self._workspaces.shrink()

    async def poll(self, key: TargetKey, timing: PollTiming, *, whole: bool) -> PollResult:
        """Poll a dataset or job: its status, or the whole object that its waits return."""
        kind = key.kind
        found = await self._send(self._request(key, whole=whole), timing)
        if found is None or isinstance(found, OpenEnum):
            return PollResult(cast("WaitStatus | None", found))
        status = kind.status_of(found)
        # A value without a status would confirm the previous status (see ``PollResult``), which
        # only a read with ``get`` does.
        is_value = status is not None if kind.get is None else whole
        return PollResult(status, found) if is_value else PollResult(status, job=found)

    def failed(self, key: Key, error: BaseException | None) -> PollResult:
        """Return the result of a poll that raised an error, or whose task was cancelled."""
        if isinstance(error, ProlificError):
            _log.info("a poll of %s failed: %s", named(key), error)
            return failed_poll(error)
        request = self._request(key, whole=False)
        lost = TransportError(request.method, request.path, "the poll was broken off")
        return failed_poll(lost)

    def cut_off(self, key: Key, *, whole: bool) -> RequestTimeoutError:
        """Return the error of a poll that is cut off at a wait's deadline."""
        request = self._request(key, whole=whole)
        return RequestTimeoutError(
            request.method, request.path, "the wait's deadline came before the response"
        )

    def _request(self, key: Key, *, whole: bool) -> Request:
        prefix = self._api.prefix
        if isinstance(key, str):
            return (get_batch if whole else get_batch_status)(key, prefix=prefix)
        kind = key.kind
        build = kind.get if whole and kind.get is not None else kind.get_status
        return build(key, prefix)

    async def poll_list(
        self,
        workspace_id: str | None,
        batch_ids: list[str],
        wanted: Container[str],
        timing: PollTiming,
    ) -> GroupResult:
        """Poll the list of a workspace, or search for the workspaces of unknown batches.

        Args:
            workspace_id: The workspace, None to search.
            batch_ids: The batches that the poll is made for.
            wanted: Ids of all batches that have waits.
            timing: How each request is sent.

        """
        if workspace_id is None:
            return await self._search(batch_ids, wanted, timing)
        try:
            listing = await read(
                await self._api.list_body(workspace_id, timing),  # unnamed, so that it can be freed
                wanted,
                partial(load, Batch),
                self._lists.pop(workspace_id, None),
            )
        except RateLimitedError as error:
            return self._result_of_429(error, "the list", {})
        except (ProlificError, ValueError) as error:
            return failed_list(error)
        self._lists[workspace_id] = listing.memory
        if len(self._lists) > _LISTS_AT_MOST:
            self._lists.popitem(last=False)
        self._workspaces.learn_all(listing.new_ids, workspace_id)
        return GroupResult(found=listing.results, size=listing.size)

    async def _search(
        self, batch_ids: list[str], wanted: Container[str], timing: PollTiming
    ) -> GroupResult:
        """Read batches and the lists of their workspaces until a list shows several of them."""
        found: dict[str, PollResult] = {}
        size = 0
        gave_up = "no list that was read shows two of the batches"
        for batch_id in batch_ids[:_SEARCHES]:
            if batch_id in found:
                continue
            try:
                batch = await self.get(batch_id, timing)
            except ProlificError as error:
                found[batch_id] = self.failed(batch_id, error)
                if isinstance(error, RateLimitedError):
                    return self._result_of_429(error, f"batch {batch_id}", found)
                if isinstance(error, TransportError):
                    gave_up = str(error)
                    break
                continue
            self._workspaces.learn(batch_id, batch.workspace_id)
            found[batch_id] = result = PollResult(batch.status, batch)
            listed = await self.poll_list(batch.workspace_id, batch_ids, wanted, timing)
            if listed.refused_for is not None:
                return GroupResult(
                    found=found, failure=listed.failure, refused_for=listed.refused_for
                )
            if listed.failure is not None:
                gave_up = listed.failure
                break
            size += listed.size
            others = {one: listed.found[one] for one in batch_ids if one in listed.found}
            # An unchanged list has no new ids, but the workspaces may have been forgotten since.
            self._workspaces.learn_all(others, batch.workspace_id)
            found |= others | {batch_id: result}
            if len(others) > 1:
                return GroupResult(found=found, size=size, again=True)
            self._lists.pop(batch.workspace_id, None)  # a single batch is polled without lists
        return GroupResult(found=found, size=size, gave_up=gave_up)

    def _result_of_429(
        self, error: RateLimitedError, name: str, found: dict[str, PollResult]
    ) -> GroupResult:
        seconds = max(capped_retry_after(error, self._retry), min(_REFUSED, self._retry.maximum))
        failure = f"{name} was answered with 429"
        return GroupResult(found=found, failure=failure, refused_for=seconds)
