"""Every example of README runs as it stands there, against the simulator."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
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

from prolific_async import Batch, ExportArchive, ProlificClient
from prolific_async.simulator import Immediately, Simulator
from tests.conftest import HANGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
TOKEN = "your-token"  # as README's shell has it
HEADING = re.compile(r"^##+ (.*)$", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^((?:    \S.*\n)+)", re.MULTILINE)


def examples(language: re.Pattern[str]) -> dict[str, list[str]]:
    """Return the examples in a language by the heading above them."""
    headings = [(match.start(), match[1]) for match in HEADING.finditer(README)]
    found = defaultdict(list)
    for match in language.finditer(README):
        heading = next(words for start, words in reversed(headings) if start < match.start())
        found[heading].append(match[1])
    return dict(found)


BLOCKS = examples(PYTHON)
PROGRAMS = {  # the output of each program, a pattern for each line
    "A first program": ["<Batch .* 'Round 2' READY, 200 tasks>"],
    "Waiting for many": [
        r"PROCESSING \d\.\d+ \d\.\d+",
        r"READY \d\.\d+ None",
        r"\[<Batch .* 'Round 1' READY, .*>, <Batch .* 'Round 2' READY, .*>\]",
        "<Batch .* 'Round 1' READY, .*>",
        "not ready: .* found ERROR: .*",
        "<Batch .* 'Round 2' READY, .*>|not ready: .* found ERROR: .*",
        "<Batch .* 'Round 2' READY, .*>|not ready: .* found ERROR: .*",
    ],
    "From rows to READY": [
        "sent 9[0-9]+ of 9[0-9]+ bytes",
        "<Batch .* 'Week 1' READY, 100 tasks>",
        "sent 9[0-9]+ of 9[0-9]+ bytes",
        "<Batch .* 'Week 2' READY, 100 tasks>",
    ],
    "Answers": [
        r"a1 Fish & chips \['Yes', 'Yes'\]",
        r"a2 Fish & chips \['Yes', 'Yes'\]",
        r"b1 2 < 3 \['Yes', 'Yes'\]",
        *[r"(a1|a2|b1) Good\? \['Yes', 'Yes'\]"] * 3,
        "6 submissions in answers.zip",
    ],
    "The pages that participants see": [
        r'\{"rows": \[.*"display_position": "intro"\}',
        r'\{"rows": \[.*"answer_limit": 1.*\}',
    ],
    "Errors": [
        "<Batch .* 'Round 2' READY, .*>",
        "no token, no network, a refusal, ...: .* 404 .*",
        "None",
    ],
    "In a job queue": ["<Batch .* 'Round 2' READY, 200 tasks>"] * 2,
    "Seeing what it does": ["<Batch .*>"],
    "Testing your own application": [],
    "Datasets in tests": [],
}
LONG = ("Waiting for many", "From rows to READY", "Answers", "In a job queue")
"""Programs that wait for some seconds."""


def test_every_example_in_python_is_run() -> None:
    assert {heading: len(found) for heading, found in BLOCKS.items()} == {
        **dict.fromkeys(PROGRAMS, 1),
        "Answers as a table": 2,
        "Answers in tests": 1,
        "In a FastAPI application": 1,  # by tests/fastapi/test_backend.py
        "Orders that survive their process": 1,  # by tests/durable/test_durable.py
        "Testing your own application": 3,  # two by tests/simulator/test_pytest_plugin.py
    }


@pytest.mark.parametrize(
    "heading",
    [pytest.param(one, marks=pytest.mark.slow if one in LONG else ()) for one in PROGRAMS],
)
async def test_each_program_runs_as_pasted(heading: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(BLOCKS[heading][0], encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "program.py", cwd=tmp_path, stdout=PIPE, stderr=STDOUT
    )
    printed, _ = await process.communicate()
    lines = printed.decode().splitlines()
    assert process.returncode == 0, printed.decode()
    assert len(lines) == len(PROGRAMS[heading]), lines
    for line, pattern in zip(lines, PROGRAMS[heading], strict=True):
        assert re.fullmatch(pattern, line), line


@pytest.mark.slow
async def test_the_test_of_answers_runs_as_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (block,) = BLOCKS["Answers in tests"]
    (tmp_path / "test_answers.py").write_text(block, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-W", "error"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
        cwd=tmp_path,
        stdout=PIPE,
        stderr=STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    assert "1 passed" in printed.decode()


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="mypy belongs to the extra dev")
async def test_every_example_in_python_passes_mypy(tmp_path: Path) -> None:
    modules = {"my_application.py": BLOCKS["In a FastAPI application"][0]}
    for heading, blocks in BLOCKS.items():
        for number, block in enumerate(blocks):
            modules[f"{re.sub('[^a-z]', '_', heading.lower())}_{number}.py"] = block
    for name, block in modules.items():
        (tmp_path / name).write_text(block, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        # pandas has no types of its own, and polars may be missing.
        *(sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", *modules),
        cwd=tmp_path,
        stdout=PIPE,
        stderr=STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()


@pytest.fixture
async def sim(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    async with Simulator(setup=Immediately(), imports=Immediately(), token=TOKEN) as simulator:
        monkeypatch.setenv("PROLIFIC_URL", simulator.url)
        monkeypatch.setenv("PROLIFIC_TOKEN", simulator.token)
        yield simulator


async def make_answered(sim: Simulator) -> Batch:
    """Make the batch of README's program about answers, and let people answer it."""
    async with ProlificClient() as client:
        batch: Batch = await names_of("Answers")["make_round"](client, sim.workspace_id)
    sim.answer(batch.id, participants=6, answer="Yes")
    return batch


@pytest.mark.parametrize("library", ["pandas", "polars"])
async def test_answers_become_a_table(library: str, sim: Simulator) -> None:
    pytest.importorskip(library)
    (block,) = [one for one in BLOCKS["Answers as a table"] if f"import {library}" in one]
    space: dict[str, Any] = {}
    exec(block, space)
    made, unanswered = await make_answered(sim), sim.add_batch(status="READY")
    async with ProlificClient() as client:
        frame = await space[f"to_{library}"](await client.batches.get(made.id))
        empty = await space[f"to_{library}"](await client.batches.get(unanswered))
    assert empty.shape[0] == 0
    assert frame.shape[0] == 6
    assert sorted(frame["key"]) == ["a1", "a1", "a2", "a2", "b1", "b1"]
    assert set(frame["response"]) == {"Yes"}
    assert sorted(set(frame["data.prompt"])) == ["2 < 3", "Fish & chips"]


@pytest.mark.slow
async def test_answers_on_the_command_line(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = examples(SHELL)["Answers as a table"]
    (shown,) = [text for text in found if text.lstrip().startswith("prolific-async ")]
    batch = await make_answered(sim)
    monkeypatch.chdir(tmp_path)
    await run_shell(shown, batch=batch.id)
    lines = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 6
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6
    with ExportArchive(tmp_path / "answers.zip") as archive:
        assert len(list(archive.submissions())) == 6


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
async def test_the_simulators_own_endpoint(sim: Simulator) -> None:
    (shown,) = [text for text in examples(SHELL)["Testing your own application"] if "curl" in text]
    shell = await asyncio.create_subprocess_exec("sh", "-euc", shown.replace("curl", "curl -fsS"))
    assert await shell.wait() == 0
    url = f"{sim.url}/api/v1/data-collection/batches/{sim.add_batch()}/setup"
    headers = {"Authorization": f"Token {TOKEN}"}
    async with aiohttp.request("POST", url, headers=headers) as response:
        assert response.status == 503


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which the shell finds the command."""
    path = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
    return os.environ | {"PATH": path} | more


async def run_shell(shown: str, **more: str) -> bytes:
    """Run commands, each of which must succeed, and return what they print."""
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-euc", shown), stdout=PIPE, stderr=STDOUT, env=environment(**more)
    )
    printed, _ = await shell.communicate()
    assert shell.returncode == 0, printed.decode()
    return printed


@pytest.mark.slow
async def test_the_command_line(sim: Simulator) -> None:
    (shown,) = examples(SHELL)["Command line"]
    original = sim.add_batch(status="READY")
    printed = await run_shell(shown, BATCH_ID=original, WORKSPACE_ID=sim.workspace_id)
    assert f"PROLIFIC_TOKEN={TOKEN}" in shown
    assert [batch.name for batch in sim.batches.values()][1:] == ["Round 2"]
    ended = [json.loads(line) for line in printed.splitlines() if line.startswith(b"{")]
    assert {one["batch_id"] for one in ended if one["status"] == "READY"} == set(sim.batches)


@pytest.mark.slow
async def test_the_command_line_without_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PROLIFIC_URL", "PROLIFIC_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    start, use = examples(SHELL)["Without a token"]
    start = f"exec {start.strip()}"
    written = tmp_path / "simulated.env"
    written.touch()
    simulator = await asyncio.create_subprocess_exec("sh", "-euc", start, env=environment())
    try:
        async with asyncio.timeout(HANGS):
            while "STORAGE_URL" not in written.read_text(encoding="utf-8"):
                await asyncio.sleep(0.05)
        shown = f'{use}prolific-async batch list "$WORKSPACE_ID" --json; echo "$BATCH_ID"'
        listed, batch_id = (await run_shell(shown)).decode().splitlines()
    finally:
        simulator.terminate()
    assert await simulator.wait() == 0
    assert [batch["id"] for batch in json.loads(listed)] == [batch_id]


def names_of(heading: str) -> dict[str, Any]:
    """Return what a program defines, without running it."""
    program, _, _ = BLOCKS[heading][0].rpartition("asyncio.run(")
    names: dict[str, Any] = {}
    exec(program, names)
    return names


def write_inputs(folder: Path) -> None:
    """Write the rows and the layout of README's program to files."""
    names = names_of("From rows to READY")
    rows = names["rows"](week=1)
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    layout = json.dumps([page.to_dict() for page in names["PAGES"]])
    (folder / "layout.json").write_text(layout, encoding="utf-8")


@pytest.mark.slow
async def test_from_rows_to_ready_on_the_command_line(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = examples(SHELL)["From rows to READY"]
    (shown,) = [text for text in found if text.lstrip().startswith("dataset=$(")]
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    await run_shell(shown, WORKSPACE_ID=sim.workspace_id)
    (batch,) = sim.batches.values()
    assert (batch.name, batch.status, batch.total_task_count) == ("Week 1", "READY", 100)


@pytest.mark.parametrize("status", ["UNINITIALISED", "PROCESSING", "READY", "ERROR"])
def test_each_status_is_explained(status: str) -> None:
    assert f"\n| `{status}` | " in README


def test_each_chart_exists_and_has_a_caption() -> None:
    charts = re.findall(r"^!\[.+\]\((.+)\)\n\n(.*)", README, re.MULTILINE)
    assert len(charts) == README.count("![") == 2
    for file, caption in charts:
        assert (Path(__file__).parent.parent / file).is_file()
        assert caption.startswith("*")
