"""The ways to wait for many batches that benchmarks.waits compares, each used in its ordinary way.

All send the token, open at most a hundred connections, poll every `gap` seconds and return the
whole batch once it is READY. Each starts waits for a list of ids and returns their tasks; when a
wait ends, it calls `seen` with the position of the id and the batch.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import backoff
from azure.core.polling import AsyncLROPoller, AsyncPollingMethod

from benchmarks.waits_server import ROOT
from prolific_async import PollPolicy, ProlificClient

Seen = Callable[[int, Any], None]
Start = Callable[[Sequence[str], Seen], list[asyncio.Task[None]]]
Subject = Callable[[str, float], AbstractAsyncContextManager[Start]]

TOKEN = "benchmark-token"
CONNECTIONS = 100
READY = "READY"
OURS = "prolific_async"
OURS_ALL = f"{OURS}, wait_all"
NAIVE = "naive loop"
BACKOFF = "backoff"
AZURE = "azure-core"
BARE = "bare tasks"


def tasks_of(wait: Callable[[str], Awaitable[Any]]) -> Start:
    """Start one task for each wait, as in an application that waits in its request handlers."""

    async def one(position: int, batch_id: str, seen: Seen) -> None:
        seen(position, await wait(batch_id))

    def start(batch_ids: Sequence[str], seen: Seen) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(one(position, batch_id, seen))
            for position, batch_id in enumerate(batch_ids)
        ]

    return start


def client_of(url: str, gap: float) -> ProlificClient:
    poll = PollPolicy(initial=gap, maximum=gap, factor=1, timeout=None)
    return ProlificClient(TOKEN, base_url=url, poll=poll, max_connections=CONNECTIONS)


@asynccontextmanager
async def ours(url: str, gap: float) -> AsyncIterator[Start]:
    async with client_of(url, gap) as client:
        yield tasks_of(client.batches.wait_until_ready)


@asynccontextmanager
async def ours_all(url: str, gap: float) -> AsyncIterator[Start]:
    async with client_of(url, gap) as client:

        async def wait(batch_ids: Sequence[str], seen: Seen) -> None:
            for position, batch in enumerate(await client.batches.wait_all(batch_ids)):
                seen(position, batch)

        yield lambda batch_ids, seen: [asyncio.create_task(wait(batch_ids, seen))]


@asynccontextmanager
async def session_of(url: str) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """Open a session and yield a function that GETs a path and returns its JSON."""
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Token {TOKEN}"},
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
    ) as session:

        async def get(path: str) -> Any:
            async with session.get(f"{url}{ROOT}/{path}") as response:
                return await response.json()

        yield get


@asynccontextmanager
async def naive(url: str, gap: float) -> AsyncIterator[Start]:
    async with session_of(url) as get:

        async def until_ready(path: str) -> Any:
            while True:
                answer = await get(path)
                if answer.get("status") == READY:
                    return answer
                await asyncio.sleep(gap)

        async def wait(batch_id: str) -> Any:
            await until_ready(f"{batch_id}/status")
            return await until_ready(batch_id)

        yield tasks_of(wait)


@asynccontextmanager
async def with_backoff(url: str, gap: float) -> AsyncIterator[Start]:
    async with session_of(url) as get:
        until_ready = backoff.on_predicate(
            backoff.constant,
            lambda answer: answer.get("status") != READY,
            interval=gap,
            jitter=None,
            logger=None,
        )(get)

        async def wait(batch_id: str) -> Any:
            await until_ready(f"{batch_id}/status")
            return await until_ready(batch_id)

        yield tasks_of(wait)


class Polling(AsyncPollingMethod[Any]):
    """The smallest polling method for AsyncLROPoller; azure's own need azure's HTTP pipeline."""

    def __init__(self, get: Callable[[str], Awaitable[Any]], path: str, gap: float) -> None:
        self._get = get
        self._path = path
        self._gap = gap

    def initialize(
        self, client: Any, initial_response: Any, deserialization_callback: Callable[[Any], Any]
    ) -> None:
        del client
        self._answer = initial_response
        self._callback = deserialization_callback

    async def run(self) -> None:
        while True:
            self._answer = await self._get(self._path)
            if self.finished():
                return
            await asyncio.sleep(self._gap)

    def status(self) -> str:
        return str(self._answer.get("status"))

    def finished(self) -> bool:
        return self.status() == READY

    def resource(self) -> Any:
        return self._callback(self._answer)


@asynccontextmanager
async def azure(url: str, gap: float) -> AsyncIterator[Start]:
    async with session_of(url) as get:

        def poller(path: str) -> AsyncLROPoller[Any]:
            return AsyncLROPoller(None, {}, lambda answer: answer, Polling(get, path, gap))

        async def wait(batch_id: str) -> Any:
            await poller(f"{batch_id}/status").wait()
            return await poller(batch_id).result()

        yield tasks_of(wait)


@asynccontextmanager
async def bare(url: str, gap: float) -> AsyncIterator[Start]:
    """Await one future in each task, which shows the cost of the caller's own tasks."""
    del url, gap

    async def wait(batch_id: str) -> Any:
        del batch_id
        return await asyncio.get_running_loop().create_future()

    yield tasks_of(wait)


SUBJECTS: Mapping[str, Subject] = {
    OURS: ours,
    OURS_ALL: ours_all,
    NAIVE: naive,
    BACKOFF: with_backoff,
    AZURE: azure,
    BARE: bare,
}
