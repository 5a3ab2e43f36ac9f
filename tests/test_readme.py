"""README's examples run as they stand there, against the simulator."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from prolific_async import Batch, ProlificClient, WaitError
from prolific_async.simulator import Immediately, Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import CodeType

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
TOKEN = "your-token"  # as README's shell has it
HEADING = re.compile(r"^##+ (.*)$", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^((?:    \S.*\n)+)", re.MULTILINE)


def examples(language: re.Pattern[str]) -> dict[str, list[str]]:
    """What README shows in a language, by the heading that it stands under."""
    headings = [(match.start(), match[1]) for match in HEADING.finditer(README)]
    found = defaultdict(list)
    for match in language.finditer(README):
        heading = next(words for start, words in reversed(headings) if start < match.start())
        found[heading].append(match[1])
    return dict(found)


def test_every_example_in_python_is_run() -> None:
    assert {heading: len(found) for heading, found in examples(PYTHON).items()} == {
        "Use": 1,
        "Waiting for many": 1,
        "In a FastAPI application": 1,  # by tests/fastapi/test_backend.py
        "Orders that survive their process": 1,  # by tests/durable/test_durable.py
        "Seeing what it does": 1,
        "Testing your own application": 3,  # two by tests/simulator/test_pytest_plugin.py
    }


@pytest.fixture
async def sim(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    async with Simulator(setup=Immediately(), token=TOKEN) as simulator:
        monkeypatch.setenv("PROLIFIC_URL", simulator.url)
        monkeypatch.setenv("PROLIFIC_TOKEN", simulator.token)
        yield simulator


async def run(heading: str, **names: Any) -> dict[str, Any]:
    """Run what stands under a heading, and return its names."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(examples(PYTHON)[heading][0], f"README.md, {heading}", "exec", flags)
    returned = eval(code, names)
    if code.co_flags & inspect.CO_COROUTINE:
        await returned
    return names


async def set_up(client: ProlificClient, *batch_ids: str) -> None:
    for batch_id in batch_ids:
        await client.batches.setup(batch_id)


async def test_the_three_steps(sim: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    await run("Use", batch_id=sim.add_batch(datapoints=10))
    assert [batch.name for batch in sim.batches.values()][1:] == ["Round 2"]
    assert capsys.readouterr().out == "10\n"


async def test_waiting_for_many(sim: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [sim.add_batch() for _ in range(3)]

    async def ids_from_a_queue() -> AsyncIterator[str]:
        yield ids[0]

    async with ProlificClient() as client:
        await set_up(client, *ids)
        names = await run(
            "Waiting for many",
            client=client,
            ids=ids,
            batch_id=ids[0],
            ids_from_a_queue=ids_from_a_queue,
            Batch=Batch,
            WaitError=WaitError,
        )
    assert [batch.id for batch in names["ready"]] == ids
    assert names["outcomes"] == names["ready"]
    told = capsys.readouterr().out.splitlines()
    assert sorted(told[:3]) == sorted(f"ready: {batch_id}" for batch_id in ids)
    assert told[3].startswith("READY ")


async def test_seeing_what_it_does(sim: Simulator) -> None:
    names = await run("Seeing what it does", ProlificClient=ProlificClient)
    async with names["client"] as client:
        assert client.batches._waits.observers
        assert client._transport._trace_configs
        assert (await client.batches.get(sim.add_batch())).name


async def test_the_simulator() -> None:
    async def my_application(client: ProlificClient, batch_id: str) -> None:
        copy = await client.batches.duplicate(batch_id, name="Round 2")
        await copy.setup()

    await run(
        "Testing your own application", ProlificClient=ProlificClient, my_application=my_application
    )


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
async def test_the_simulators_own_endpoint(sim: Simulator) -> None:
    (shown,) = [text for text in examples(SHELL)["Testing your own application"] if "curl" in text]
    shell = await asyncio.create_subprocess_exec("sh", "-euc", shown.replace("curl", "curl -fsS"))
    assert await shell.wait() == 0
    url = f"{sim.url}/api/v1/data-collection/batches/{sim.add_batch()}/setup"
    async with aiohttp.request("POST", url, headers={"Authorization": f"Token {TOKEN}"}) as answer:
        assert answer.status == 503


async def test_the_command_line(sim: Simulator) -> None:
    (shown,) = examples(SHELL)["Command line"]
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": scripts + os.pathsep + os.environ["PATH"],
        "BATCH_ID": sim.add_batch(status="READY"),
        "WORKSPACE_ID": sim.workspace_id,
    }
    shell = await asyncio.create_subprocess_exec(
        "sh", "-euc", shown, stdout=PIPE, stderr=STDOUT, env=environment
    )
    told, _ = await shell.communicate()
    assert shell.returncode == 0, told.decode()
    assert f"PROLIFIC_TOKEN={TOKEN}" in shown
    assert [batch.name for batch in sim.batches.values()][1:] == ["Round 2"]
    ended = [json.loads(line) for line in told.splitlines() if line.startswith(b"{")]
    assert {one["batch_id"] for one in ended if one["status"] == "READY"} == set(sim.batches)
