"""A real server for an application, and browsers that watch it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from attrs import field, frozen, mutable
from fastapi import FastAPI

from prolific_async import ProlificClient

PATIENCE = 100.0
"""Seconds that nothing takes, however slow the machine is."""


@asynccontextmanager
async def serving(app: FastAPI, *, port: int = 0) -> AsyncIterator[str]:
    """Serve an application in this loop; yield its address."""
    listening = socket.create_server(("127.0.0.1", port), backlog=512)
    config = uvicorn.Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    going = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await until(lambda: server.started or going.done())
        assert server.started, "the application did not start"
        yield "http://{}:{}".format(*listening.getsockname())
    finally:
        server.should_exit = True
        await going
        listening.close()


async def until(condition: Callable[[], object]) -> None:
    """Return once a condition is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def open_files() -> int:
    """Return the number of open files and sockets of this process."""
    return len(list(Path("/dev/fd").iterdir()))


def tasks() -> set[str]:
    """Return the names of this loop's tasks, without aiohttp's one for each connection."""
    going = ((task.get_name(), task.get_coro()) for task in asyncio.all_tasks())
    return {name for name, coroutine in going if "RequestHandler" not in repr(coroutine)}


@frozen
class Event:
    """One server-sent event."""

    kind: str
    data: Any
    id: str | None = None


@mutable
class Browser:
    """A client that acts as a browser's EventSource (HTML standard), with shorter pauses."""

    session: aiohttp.ClientSession
    url: str
    retry: float = 0.05
    """Seconds until it connects again, instead of what the server says."""
    events: list[Event] = field(factory=list)
    answers: list[int] = field(factory=list)
    """The status of each answer."""
    told_retry: int | None = None
    pings: int = 0
    last_id: str = ""

    @property
    def statuses(self) -> list[str]:
        return [event.data["status"] for event in self.events if event.kind == "status"]

    async def watch(self) -> None:
        """Connect again and again, until a response says to stop."""
        async with asyncio.timeout(PATIENCE):
            while await self._connect():
                await asyncio.sleep(self.retry)

    async def until(self, kind: str) -> None:
        """Watch until the first event of a kind, then disconnect."""
        watching = asyncio.create_task(self.watch())
        try:
            await until(lambda: kind in [event.kind for event in self.events])
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _connect(self) -> bool:
        """Read one response; return whether to connect again."""
        try:
            return await self._read()
        except aiohttp.ClientError:
            return True

    async def _read(self) -> bool:
        headers = {"Accept": "text/event-stream"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        async with self.session.get(self.url, headers=headers) as answer:
            self.answers.append(answer.status)
            if answer.status != 200 or answer.content_type != "text/event-stream":
                return False
            fields: dict[str, str] = {}
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif line.startswith(b":"):
                    self.pings += 1
                else:
                    self._dispatch(fields)
                    fields = {}
        return True

    def _dispatch(self, fields: dict[str, str]) -> None:
        if "retry" in fields:
            self.told_retry = int(fields["retry"])
        self.last_id = fields.get("id", self.last_id)
        if "data" in fields:  # else no event, says the standard
            kind = fields.get("event", "message")
            self.events.append(Event(kind, json.loads(fields["data"]), fields.get("id")))


@mutable
class Connection:
    """One request passed to the application without a server; the test decides what it reads."""

    reads: asyncio.Event = field(factory=asyncio.Event)
    """Until this is set it takes in nothing after the first poll."""
    stuck: asyncio.Event = field(factory=asyncio.Event)
    goes_away: asyncio.Event = field(factory=asyncio.Event)
    body: bytes = b""

    async def get(
        self, app: FastAPI, path: str, client: ProlificClient, stop: object = None
    ) -> None:
        """Have an application answer it, whose lifespan owns a client."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [],
            "state": {"prolific_client": client, "prolific_server_stop": stop},
        }
        await app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self.goes_away.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if b"status" in message.get("body", b""):
            self.stuck.set()
            await self.reads.wait()
        self.body += message.get("body", b"")
