"""Event streams end when the server begins to stop; the servers are real ones."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from prolific_async import ProlificClient
from prolific_async.fastapi import WaitEvents, lifespan
from prolific_async.fastapi.server_stop import ServerStop, server_stop
from prolific_async.simulator import Simulator
from tests.conftest import QUICK_POLL
from tests.fastapi.conftest import Make, endless
from tests.fastapi.example.app import create_app
from tests.fastapi.serving import PATIENCE, Browser, Connection, serving, until
from tests.ports import reserved_port

STREAMS = 3
LONGEST_STOP = 15.0
"""Seconds that a slow machine may take: an open stream keeps gunicorn for 30, uvicorn for ever."""

UVICORN = ["uvicorn", "--factory", "tests.fastapi.example.app:create_app", "--port={port}"]
GUNICORN = [
    "gunicorn",
    "--worker-class=uvicorn_worker.UvicornWorker",
    "--bind=127.0.0.1:{port}",
    "--no-control-socket",
    "tests.fastapi.example.app:create_app()",
]


@asynccontextmanager
async def running(sim: Simulator, source: str, command: list[str]) -> AsyncIterator["Server"]:
    """Run a server in a session of its own, as a terminal does; kill that session at the end."""
    with reserved_port() as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *(part.format(port=port) for part in command),
            env={**os.environ, "PROLIFIC_TOKEN": sim.token, "PROLIFIC_URL": sim.url},
            cwd=Path(__file__).parents[2],
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        try:
            yield Server(process, f"http://127.0.0.1:{port}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


class Server:
    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    async def watch(self, sim: Simulator, session: aiohttp.ClientSession) -> "list[Stream]":
        """Open streams as browsers do, each with an event already."""
        async with asyncio.timeout(PATIENCE):
            while not await self.responds(session):
                await asyncio.sleep(0.05)
        path = f"/copies/{endless(sim)}/events"
        streams = [Stream(session, self.url + path, retry=PATIENCE) for _ in range(STREAMS)]
        await until(lambda: all(stream.browser.events for stream in streams))
        return streams

    async def responds(self, session: aiohttp.ClientSession) -> bool:
        with suppress(aiohttp.ClientError):
            async with session.get(self.url):
                return True
        return False

    async def stopped(self) -> str:
        """Return the server's output once it has ended."""
        output, _ = await asyncio.wait_for(self.process.communicate(), PATIENCE)
        return output.decode()


class Stream:
    """One response to a browser that does not connect again while a test runs."""

    def __init__(self, session: aiohttp.ClientSession, url: str, retry: float) -> None:
        self.browser = Browser(session, url, retry=retry)
        self._watching = asyncio.create_task(self.browser.watch())

    async def leave(self) -> None:
        self._watching.cancel()
        await asyncio.wait([self._watching])


async def check_stop(server: Server, streams: list[Stream], since: float) -> None:
    output = await server.stopped()
    took = time.monotonic() - since
    for stream in streams:
        await stream.leave()
        assert {event.kind for event in stream.browser.events} == {"status"}
        assert not stream.browser.last_id  # so the next process goes on with it
    assert "Traceback" not in output
    assert "CancelledError" not in output
    assert took < LONGEST_STOP, output


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (UVICORN, signal.SIGTERM),
        pytest.param(UVICORN, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param([*UVICORN, "--loop=asyncio"], signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param([*UVICORN, "--workers=2"], signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param([*UVICORN, "--reload"], signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(GUNICORN, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param([*GUNICORN, "--workers=2"], signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
async def test_a_signal_ends_streams_and_the_server(
    sim: Simulator,
    source: str,
    session: aiohttp.ClientSession,
    command: list[str],
    number: signal.Signals,
) -> None:
    async with running(sim, source, command) as server:
        streams = await server.watch(sim, session)
        since = time.monotonic()
        server.process.send_signal(number)
        await check_stop(server, streams, since)


@pytest.mark.slow
@pytest.mark.parametrize("command", [UVICORN, [*UVICORN, "--reload"], GUNICORN])
async def test_ctrl_c_in_a_terminal_reaches_all_processes(
    sim: Simulator, source: str, session: aiohttp.ClientSession, command: list[str]
) -> None:
    async with running(sim, source, command) as server:
        streams = await server.watch(sim, session)
        since = time.monotonic()
        os.killpg(server.process.pid, signal.SIGINT)
        await check_stop(server, streams, since)


@pytest.mark.slow
async def test_a_reload_of_gunicorn_ends_the_streams_of_its_old_workers(
    sim: Simulator, source: str, session: aiohttp.ClientSession
) -> None:
    async with running(sim, source, GUNICORN) as server:
        streams = await server.watch(sim, session)
        for stream in streams:
            stream.browser.retry = 0.05
        server.process.send_signal(signal.SIGHUP)
        await until(lambda: all(len(stream.browser.answers) == 2 for stream in streams))
        for stream in streams:
            stream.browser.retry = PATIENCE
        since = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        await check_stop(server, streams, since)


@pytest.mark.slow
async def test_a_limit_of_requests_ends_streams_too(
    sim: Simulator, source: str, session: aiohttp.ClientSession
) -> None:
    async with running(sim, source, [*UVICORN, "--limit-max-requests=60"]) as server:
        streams = await server.watch(sim, session)
        while await server.responds(session):
            pass
        await check_stop(server, streams, time.monotonic())


async def test_a_server_in_a_program_that_stops_it_ends_streams(
    sim: Simulator, source: str, make_client: Make, session: aiohttp.ClientSession
) -> None:
    async with serving(create_app(QUICK_POLL, make_client)) as url:
        stream = Stream(session, f"{url}/copies/{endless(sim)}/events", retry=PATIENCE)
        await until(lambda: stream.browser.events)
        since = asyncio.get_running_loop().time()
    # Server and stream look every 0.1 s; after one second this server cancels what is left.
    assert asyncio.get_running_loop().time() - since < 0.9
    await stream.leave()
    assert {event.kind for event in stream.browser.events} == {"status"}


async def test_a_stop_closes_what_gives_batches(
    sim: Simulator, make_client: Make, session: aiohttp.ClientSession
) -> None:
    app = FastAPI(lifespan=lifespan(client=make_client))
    closed: list[bool] = []

    async def copies() -> AsyncIterator[str]:
        try:
            yield endless(sim)
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    @app.get("/events", response_class=EventSourceResponse)
    async def events(wait_events: WaitEvents) -> AsyncIterator[ServerSentEvent]:
        async for event in wait_events(copies(), poll=QUICK_POLL):
            yield event

    async with serving(app) as url:
        stream = Stream(session, f"{url}/events", retry=PATIENCE)
        await until(lambda: stream.browser.events)
        assert not closed
    assert closed == [True]
    await stream.leave()
    assert not stream.browser.last_id


async def test_a_stream_that_begins_during_the_stop_ends_at_once(
    sim: Simulator, source: str, client: ProlificClient
) -> None:
    connection = Connection()
    connection.reads.set()
    stop = ServerStop()
    stop.has_begun = True
    await asyncio.wait_for(
        connection.get(create_app(), f"/copies/{endless(sim)}/events", client, stop), PATIENCE
    )
    assert connection.body.startswith(b"retry: ")
    assert b"event: " not in connection.body
    assert not sim.requests


async def test_without_a_known_server_nothing_is_watched(make_client: Make) -> None:
    before = asyncio.all_tasks()
    async with lifespan(client=make_client)(FastAPI()), server_stop() as stop:
        assert asyncio.all_tasks() == before
        assert not stop.has_begun


async def test_the_watch_ends_with_the_application(make_client: Make) -> None:
    before = asyncio.all_tasks()
    async with serving(FastAPI(lifespan=lifespan(client=make_client))):
        pass
    assert asyncio.all_tasks() == before
