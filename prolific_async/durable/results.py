"""The results that this process awaits, with one look into the database for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbos import DBOSClient, WorkflowHandleAsync

AT_ONCE = 1000
"""Workflows that one statement names: SQLite takes 32,766 parameters."""

_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


class Results:
    """Tells what became of workflows.

    Args:
        client: Of the database.
        look_every: Seconds between looks.

    """

    def __init__(self, client: DBOSClient, look_every: float) -> None:
        self._client = client
        self._look_every = look_every
        self._awaited: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._look_now = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def of(self, workflow_id: str) -> Any:
        """Return what a workflow returned, or raise what it raised, once it has ended."""
        handle: WorkflowHandleAsync[Any]
        handle = await self._client.retrieve_workflow_async(workflow_id)
        ended = asyncio.get_running_loop().create_future()
        self._awaited[workflow_id].add(ended)
        self._look_now.set()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            await ended
        finally:
            self._awaited[workflow_id].discard(ended)
            if not self._awaited[workflow_id]:
                del self._awaited[workflow_id]
        return await handle.get_result()

    async def close(self) -> None:
        """End the looks, and cancel whoever awaits a result."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for ended in self._pending(list(self._awaited)):
            ended.cancel()

    async def _look(self) -> None:
        try:
            while self._awaited:
                self._look_now.clear()
                ids = list(self._awaited)
                for start in range(0, len(ids), AT_ONCE):
                    for ended in self._pending(await self._ended(ids[start : start + AT_ONCE])):
                        ended.set_result(None)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_every):
                        await self._look_now.wait()
        except Exception as error:  # noqa: BLE001 - they all get it
            for ended in self._pending(list(self._awaited)):
                ended.set_exception(error)
        finally:
            self._looking = None

    async def _ended(self, ids: list[str]) -> list[str]:
        found = await self._client.list_workflows_async(
            workflow_ids=ids, status=_ENDED, load_input=False, load_output=False
        )
        return [workflow.workflow_id for workflow in found]

    def _pending(self, ids: list[str]) -> list[asyncio.Future[None]]:
        return [ended for one in ids for ended in self._awaited.get(one, ()) if not ended.done()]
