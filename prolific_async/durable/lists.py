"""Workspaces' lists for many who look for a batch at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from prolific_async._posts.search import Found
    from prolific_async.batches import Batches


class Lists:
    """Lists workspaces, each by one request at a time, however many ask."""

    def __init__(self, batches: Batches) -> None:
        self._search = batches._search  # noqa: SLF001 - of this package, and for none else
        self._asked: dict[str, _List] = {}

    async def of(self, workspace_id: str) -> list[Found]:
        """Return a workspace's batches, by a request that began after this call."""
        shared = self._asked.setdefault(workspace_id, _List())
        begun_before = shared.begun
        shared.callers += 1
        try:
            async with shared.lock:
                # Without an outcome, whoever began the request was cancelled.
                if shared.begun == begun_before or shared.outcome is None:
                    shared.begun += 1
                    shared.outcome = None
                    shared.outcome = await self._outcome(workspace_id)
                outcome = shared.outcome
        finally:
            shared.callers -= 1
            if not shared.callers:
                del self._asked[workspace_id]
        if isinstance(outcome, ProlificError):
            raise outcome
        return outcome

    async def _outcome(self, workspace_id: str) -> list[Found] | ProlificError:
        try:
            return await self._search.batches_of(workspace_id)
        except ProlificError as error:
            return error


class _List:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.begun = 0
        self.callers = 0
        self.outcome: list[Found] | ProlificError | None = None
