"""The whole example: copies, hundreds of browsers, and a restart of the service."""

import asyncio
import gc
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp
import pytest

import prolific_async.fastapi
from prolific_async import Batch, PollPolicy, ProlificClient, TaskResponse
from prolific_async.simulator import Fault, Simulator
from tests.fastapi.conftest import endless
from tests.fastapi.example.app import create_app
from tests.fastapi.serving import PATIENCE, Browser, Connection, serving, until
from tests.ports import reserved_port
from tests.virtual_time import LoopbackLoop, run

MANY = 200
GAP = 0.25
"""Seconds between polls, where the default grows from one second to ten."""

SERVE = f"""
import sys, uvicorn
from prolific_async import PollPolicy, ProlificClient
from tests.fastapi.example.app import create_app
poll = PollPolicy(initial={GAP}, maximum={GAP}, timeout=None)
fd, loop = int(sys.argv[1]), sys.argv[2]
uvicorn.run(create_app(poll), fd=fd, loop=loop, timeout_graceful_shutdown=1, log_config=None)
"""


async def until_answering(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with session.get(url) as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)


async def until_all(browsers: list[Browser], *, answers: int) -> None:
    """Return once every browser has seen a poll, and has had `answers` responses."""
    await until(lambda: all(one.events and len(one.answers) >= answers for one in browsers))


class Service:
    """The example in a process of its own, which can be stopped and started again."""

    def __init__(self, sim: Simulator, loop: str, port: int) -> None:
        self._loop = loop
        self.port = port
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | {"PROLIFIC_URL": sim.url, "PROLIFIC_TOKEN": sim.token}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # A new socket each time, as a service has that is started again.
        with socket.create_server(("127.0.0.1", self.port), backlog=512) as listening:
            descriptor = listening.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(descriptor), self._loop],
                env=self._environment,
                pass_fds=[descriptor],
                stderr=subprocess.DEVNULL,
            )

    async def stop(self) -> None:
        """Stop the process, and return when it has ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self._process.wait, PATIENCE)
            self._process = None


@asynccontextmanager
async def running(sim: Simulator, loop: str) -> AsyncIterator[Service]:
    with reserved_port() as port:
        service = Service(sim, loop, port)
        service.start()
        try:
            yield service
        finally:
            await service.stop()


def documented() -> str:
    """Return the application in the docstring of the package."""
    text = inspect.getdoc(prolific_async.fastapi) or ""
    return text.partition("```python\n")[2].partition("\n```")[0]


def test_readme_shows_the_application_that_is_run() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"```python\n{documented()}\n```" in readme


async def test_a_copy_is_started_listed_and_watched(
    sim: Simulator, source: str, backend: str, session: aiohttp.ClientSession
) -> None:
    new = {"name": "Round 2", "tasks_per_group": 5}
    async with session.post(f"{backend}/batches/{source}/copies", json=new) as answer:
        assert answer.status == 202
        location, copy = answer.headers["Location"], await answer.json()
    assert location == f"/copies/{copy['id']}"
    assert sim.batches[copy["id"]].tasks_per_group == 5
    browser = Browser(session, f"{backend}{location}/events")
    await browser.watch()
    assert browser.statuses[-1] == "READY"
    async with session.get(backend + location) as answer:
        ready = await answer.json()
    assert ready == copy | {"status": "READY", "tasks": 200}
    async with session.get(f"{backend}/copies") as answer:
        assert await answer.json() == [ready]
    async with session.get(f"{backend}/source") as answer:
        assert (await answer.json())["id"] == source


@pytest.fixture
async def documented_app(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of the application in the docstring of the package."""
    monkeypatch.setenv("PROLIFIC_TOKEN", sim.token)
    monkeypatch.setenv("PROLIFIC_URL", sim.url)
    space: dict[str, Any] = {}
    exec(documented(), space)
    async with serving(space["app"]) as url:
        yield url


async def test_the_documented_application_streams_answers_as_they_are_read(
    sim: Simulator, source: str, documented_app: str, session: aiohttp.ClientSession
) -> None:
    sim.answer(source, participants=100)
    sim.inject("GET", "/responses", Fault(drip=0.0002))
    url = f"{documented_app}/batches/{source}/responses"
    async with session.get(url) as answer:
        first = TaskResponse.from_dict(json.loads(await answer.content.readline()))
        assert first.batch_id == source
        (read,) = sim.in_flight  # the others are still on their way
        assert read.path.endswith("/responses")
    left = asyncio.get_running_loop().time()
    await until(lambda: not sim.in_flight)  # whoever leaves ends the stream
    assert asyncio.get_running_loop().time() - left < 5
    async with session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    assert len({TaskResponse.from_dict(json.loads(line)).id for line in lines}) == 100


async def test_a_caller_that_leaves_answers_unread_frees_the_connection(
    sim: Simulator, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.answer(source, participants=2000, answer="x" * 1000)  # more than sockets hold
    monkeypatch.setenv("PROLIFIC_TOKEN", sim.token)
    monkeypatch.setenv("PROLIFIC_URL", sim.url)
    space: dict[str, Any] = {}
    exec(documented(), space)
    app, left = space["app"], asyncio.Event()
    came: list[dict[str, Any]] = [{"type": "http.request"}]

    async def receive() -> dict[str, Any]:
        if came:
            return came.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            left.set()
            await asyncio.Event().wait()  # as a server does for a caller that reads nothing

    path = f"/batches/{source}/responses"
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    gc.disable()  # it closes what nobody has closed, some time
    try:
        async with app.router.lifespan_context(app) as state:
            await app(scope | {"asgi": {"spec_version": "2.3"}, "state": state}, receive, send)
            await until(lambda: not sim.in_flight)
    finally:
        gc.enable()


async def test_answers_that_break_off_are_seen_to(
    sim: Simulator, source: str, documented_app: str, session: aiohttp.ClientSession
) -> None:
    sim.answer(source, participants=100)
    sim.inject("GET", "/responses", Fault(cut=30_000))
    async with session.get(f"{documented_app}/batches/{source}/responses") as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
        assert not sim.in_flight


async def test_the_documented_application_answers_for_a_batch_that_is_not_there(
    documented_app: str, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{documented_app}/batches/nobody's/responses") as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "no_such_batch"


async def test_the_example_of_the_docstring_works(
    sim: Simulator,
    source: str,
    session: aiohttp.ClientSession,
    documented_app: str,
) -> None:
    async with session.post(f"{documented_app}/batches/{source}/copies?name=Round+2") as answer:
        assert answer.status == 202
        copy = Batch.from_dict(await answer.json())
    assert copy.status == sim.batches[copy.id].status == "PROCESSING"
    assert copy.name == "Round 2"
    sim.set_status(copy.id, "READY")
    browser = Browser(session, f"{documented_app}/copies/{copy.id}/events")
    await browser.watch()
    async with session.post(f"{documented_app}/batches/nobody's/copies?name=Round+3") as answer:
        assert answer.content_type == "application/problem+json"
    assert browser.statuses == ["READY"]


async def test_a_copy_whose_response_was_lost_is_found(
    sim: Simulator, source: str, backend: str, session: aiohttp.ClientSession
) -> None:
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    sim.inject("POST", "/setup", Fault(reset="after"))
    async with session.post(
        f"{backend}/batches/{source}/copies", json={"name": "Round 2"}
    ) as answer:
        assert answer.status == 202
        copy = await answer.json()
    assert set(sim.batches) == {source, copy["id"]}
    assert [seen.method for seen in sim.requests].count("POST") == 2


@pytest.mark.slow
@pytest.mark.parametrize("poll", [PollPolicy(initial=GAP, maximum=GAP)])
async def test_many_browsers_on_many_batches_get_all_events(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    batches = [endless(sim, f"Round {n}") for n in range(MANY)]
    browsers = [Browser(session, f"{backend}/copies/{batch_id}/events") for batch_id in batches]
    watching = [asyncio.create_task(browser.watch()) for browser in browsers]
    await until_all(browsers, answers=1)
    for batch_id in batches:
        sim.set_status(batch_id, "READY")
    await asyncio.gather(*watching)
    assert {tuple(browser.answers) for browser in browsers} == {(200, 204)}
    assert {browser.statuses[-1] for browser in browsers} == {"READY"}


@pytest.mark.slow
def test_many_browsers_on_many_batches_cost_less_than_a_request_a_second() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LoopbackLoop)
        async with Simulator() as sim, ProlificClient(sim.token, base_url=sim.url) as client:
            loop.may_jump = lambda: not sim.in_flight
            app, watching = create_app(), []
            for n in range(MANY):  # five at a time, within ten seconds
                connection = Connection()
                connection.reads.set()
                path = f"/copies/{endless(sim, f'Round {n}')}/events"
                watching.append(asyncio.create_task(connection.get(app, path, client)))
                await asyncio.sleep(0.25 if n % 5 == 4 else 0)
            await asyncio.sleep(10)
            started = len(sim.requests)
            assert started <= 2 * MANY  # whoever comes alone is polled singly at first
            await asyncio.sleep(100)
            assert len(sim.requests) - started <= 100
            assert not any(task.done() for task in watching)
            for batch_id in sim.batches:
                sim.set_status(batch_id, "READY")
            await asyncio.gather(*watching)

    run(main(), LoopbackLoop)


@pytest.mark.slow
def test_many_browsers_at_once_cost_what_readme_says() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LoopbackLoop)
        async with Simulator() as sim, ProlificClient(sim.token, base_url=sim.url) as client:
            loop.may_jump = lambda: not sim.in_flight
            app, watching = create_app(), []
            requests: list[int] = []
            began = loop.time()
            for n in range(MANY):
                connection = Connection()
                connection.reads.set()
                path = f"/copies/{endless(sim, f'Round {n}')}/events"
                watching.append(asyncio.create_task(connection.get(app, path, client)))
            for minute in range(1, 6):
                await asyncio.sleep(began + 60 * minute - loop.time())
                requests.append(len(sim.requests) - sum(requests))
            assert requests == [15, 7, 7, 7, 7]
            for batch_id in sim.batches:
                sim.set_status(batch_id, "READY")
            await asyncio.gather(*watching)

    run(main(), LoopbackLoop)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.slow
async def test_a_restart_loses_no_browser(
    source: str, sim: Simulator, session: aiohttp.ClientSession, loop: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    batches = [endless(sim, f"Round {n}") for n in range(MANY)]
    async with running(sim, loop) as service:
        await until_answering(session, f"{service.url}/copies")
        browsers = [
            Browser(session, f"{service.url}/copies/{batch_id}/events", retry=0.2)
            for batch_id in batches
        ]
        watching = [asyncio.create_task(browser.watch()) for browser in browsers]
        await until_all(browsers, answers=1)
        await service.stop()
        assert not any(task.done() for task in watching)
        service.start()
        await until_all(browsers, answers=2)
        for batch_id in batches:
            sim.set_status(batch_id, "READY")
        await asyncio.gather(*watching)
    assert {tuple(browser.answers) for browser in browsers} == {(200, 200, 204)}
    assert {browser.statuses[-1] for browser in browsers} == {"READY"}


def test_one_command_serves_the_example(port: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fastapi.example", str(port)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port} " in process.stdout.readline()
        with urlopen(f"http://127.0.0.1:{port}/copies", timeout=PATIENCE) as answer:
            assert len(json.load(answer)) == 4
        with urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
            assert b"<title>Copies of a batch</title>" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == 0
