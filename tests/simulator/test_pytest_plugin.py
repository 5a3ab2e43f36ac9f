"""The fixtures that the package gives to its users' tests, in pytest runs of their own."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

import _prolific_async_pytest

pytest_plugins = ["pytester"]

APPLICATION = """
class my_application:
    @staticmethod
    async def start_round(client, batch_id):
        copy = await client.batches.duplicate(batch_id, name="Round 2")
        await copy.setup(tasks_per_group=5)
        return await copy.wait_until_ready()
"""
A_TEST = """
async def test_{name}(prolific_simulator, prolific_client):
    original = prolific_simulator.add_batch("Original")
    ready = await my_application.start_round(prolific_client, original)
    assert ready.status == "READY"
"""
Run: TypeAlias = Callable[..., pytest.RunResult]


def documented() -> str:
    """Return the example of the plugin's own text."""
    _, _, rest = inspect.getdoc(_prolific_async_pytest).partition("::\n\n")  # type: ignore[union-attr]
    example, _, _ = rest.partition("\n\nThey run")
    return inspect.cleandoc(example)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module of tests with some options, warnings being errors."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -W error")

    def run(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile("import os\nimport pytest\n" + APPLICATION + source)
        return pytester.runpytest_subprocess(*options)

    return run


def asyncio_options(mode: str) -> list[str]:
    scope = "asyncio_default_fixture_loop_scope=function"
    return ["-o", scope, "-o", f"asyncio_mode={mode}"]


def test_the_documented_test_works_as_it_stands(run: Run) -> None:
    run(documented(), *asyncio_options("strict")).assert_outcomes(passed=1)


@pytest.mark.slow
def test_it_works_with_the_marks_of_pytest_asyncio_in_every_loop(run: Run) -> None:
    source = "".join(
        f"\n@pytest.mark.asyncio{loop}" + A_TEST.format(name=number)
        for number, loop in enumerate(("", '(loop_scope="module")', '(loop_scope="session")'))
    )
    run(source, *asyncio_options("strict")).assert_outcomes(passed=3)


def test_it_works_without_marks_in_the_loop_that_is_the_default(run: Run) -> None:
    options = [*asyncio_options("auto"), "-o", "asyncio_default_test_loop_scope=session"]
    run(A_TEST.format(name="it"), *options).assert_outcomes(passed=1)


@pytest.mark.parametrize("others", [asyncio_options("strict"), ["-p", "no:asyncio"]])
@pytest.mark.slow
def test_it_works_with_anyio(run: Run, others: list[str]) -> None:
    marks = '\n@pytest.mark.anyio\n@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])'
    ran = run(marks + A_TEST.format(name="it"), *others)
    ran.assert_outcomes(passed=1, errors=1)
    ran.stdout.fnmatch_lines(["prolific_async runs on asyncio, not on trio*anyio_backend*"])


@pytest.mark.slow
def test_with_neither_it_says_what_is_needed(run: Run) -> None:
    ran = run(A_TEST.format(name="it"), "-p", "no:asyncio", "-p", "no:anyio")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["prolific_simulator needs an asynchronous test*pytest.mark.asyncio*"])


def test_a_synchronous_test_is_told_that_it_must_not_be(run: Run) -> None:
    ran = run("def test_it(prolific_client): ...", *asyncio_options("auto"))
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["prolific_client needs an asynchronous test*"])


def test_the_environment_leads_to_the_simulator_for_one_test(run: Run) -> None:
    source = """
from prolific_async import ProlificClient
async def test_within(prolific_simulator):
    async with ProlificClient() as client:
        await client.batches.get(prolific_simulator.add_batch())
    assert [seen.status for seen in prolific_simulator.requests] == [200]
async def test_after():
    assert not {"PROLIFIC_URL", "PROLIFIC_TOKEN"} & set(os.environ)
"""
    run(source, *asyncio_options("auto")).assert_outcomes(passed=2)


@pytest.mark.slow
def test_the_client_follows_a_simulator_of_the_project_s_own(run: Run) -> None:
    source = """
from prolific_async.simulator import AfterLooks, Simulator
@pytest.fixture
async def prolific_simulator():
    async with Simulator(setup=AfterLooks(5)) as simulator:
        yield simulator
async def test_it(prolific_simulator, prolific_client):
    batch_id = prolific_simulator.add_batch()
    await prolific_client.batches.setup(batch_id)
    seen = [event.status async for event in prolific_client.batches.watch(batch_id)]
    assert seen == ["PROCESSING"] * 5 + ["READY"]
"""
    run(source, *asyncio_options("auto")).assert_outcomes(passed=1)


def test_a_project_that_does_not_use_it_imports_nothing_of_the_package(run: Run) -> None:
    source = """
import sys
def test_it(request):
    assert request.config.pluginmanager.hasplugin("prolific_async")
    assert not {"prolific_async", "aiohttp", "cattrs"} & set(sys.modules)
"""
    run(source, *asyncio_options("auto")).assert_outcomes(passed=1)


def test_readme_shows_the_test_that_is_run() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert documented() in readme


@pytest.mark.slow
def test_it_works_on_uvloop(run: Run, pytester: pytest.Pytester) -> None:
    pytest.importorskip("uvloop")
    pytester.makeconftest("""
import uvloop
def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop}
""")
    source = """
import asyncio, uvloop
@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}
@pytest.fixture(autouse=True)
async def _it_is_there(request):
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
"""
    for mark in ("asyncio", "anyio"):
        options = asyncio_options("auto" if mark == "asyncio" else "strict")
        test = f"\n@pytest.mark.{mark}" + A_TEST.format(name="it")
        run(source + test, *options).assert_outcomes(passed=1)
