"""The pytest fixtures of the package, in pytest runs of their own."""

import inspect
import re
from collections.abc import Callable
from importlib import metadata
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
IN_ITS_LOOP = """
async def test_{name}(prolific_simulator, prolific_client):
    await prolific_client.batches.get(prolific_simulator.add_batch())
    prolific_client._transport.check_loop()
    assert not prolific_client._transport.is_closed
"""
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
Run: TypeAlias = Callable[..., pytest.RunResult]


def documented() -> str:
    """Return the example of the plugin's own text."""
    _, _, rest = inspect.getdoc(_prolific_async_pytest).partition("::\n\n")  # type: ignore[union-attr]
    example, _, _ = rest.partition("\n\n``prolific_simulator``")
    return inspect.cleandoc(example)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module of tests with some options, warnings being errors."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -W error")

    def run(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile("import asyncio\nimport os\nimport pytest\n" + APPLICATION + source)
        return pytester.runpytest_inprocess(*options)

    return run


def asyncio_options(mode: str) -> list[str]:
    scope = "asyncio_default_fixture_loop_scope=function"
    return ["-o", scope, "-o", f"asyncio_mode={mode}"]


def test_the_documented_test_works_as_it_stands(run: Run) -> None:
    run(documented(), *asyncio_options("strict")).assert_outcomes(passed=1)


@pytest.mark.slow
def test_the_client_follows_every_loop_scope_of_pytest_asyncio(run: Run) -> None:
    scopes = ("function", "class", "module", "package", "session")
    marks = ["", *(f'({word}="{scope}")' for word in ("loop_scope", "scope") for scope in scopes)]
    source = "".join(
        f"\n@pytest.mark.asyncio{mark}" + IN_ITS_LOOP.format(name=number)
        for number, mark in enumerate(marks)
    )
    # The scope "class" needs a class.
    source = "class TestAll:" + source.replace("\n", "\n    ").replace(
        "(prolific_simulator, ", "(self, prolific_simulator, "
    )
    # "scope", the older name of "loop_scope", is deprecated.
    options = ["-W", "default::pytest.PytestDeprecationWarning", *asyncio_options("strict")]
    run(source, *options).assert_outcomes(passed=11)


def test_the_client_follows_the_default_loop_scope_in_mode_auto(run: Run) -> None:
    options = [*asyncio_options("auto"), "-o", "asyncio_default_test_loop_scope=session"]
    run(A_TEST.format(name="it"), *options).assert_outcomes(passed=1)


def test_an_old_pytest_asyncio_is_reported_and_disturbs_no_other_test(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("pytest_asyncio.plugin.Runner")  # there is none before 1.1
    source = "@pytest.mark.asyncio" + A_TEST.format(name="it") + "def test_other(): ..."
    ran = run(source, *asyncio_options("strict"))
    ran.assert_outcomes(passed=1, errors=1)
    version = metadata.version("pytest-asyncio")
    ran.stdout.fnmatch_lines([f"*needs pytest-asyncio 1.1 or later, and this is {version}: *"])


@pytest.mark.parametrize("others", [asyncio_options("strict"), ["-p", "no:asyncio"]])
@pytest.mark.slow
def test_the_client_works_under_anyio_on_asyncio_only(run: Run, others: list[str]) -> None:
    marks = '\n@pytest.mark.anyio\n@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])'
    ran = run(marks + A_TEST.format(name="it"), *others)
    ran.assert_outcomes(passed=1, errors=1)
    ran.stdout.fnmatch_lines(["prolific_async runs on asyncio, not on trio*anyio_backend*"])


@pytest.mark.parametrize("loop", ["", '(loop_scope="module")'])
def test_a_test_that_two_plugins_run_is_reported_instead_of_hanging(run: Run, loop: str) -> None:
    # In mode "auto" pytest-asyncio also runs tests that are marked for anyio.
    marks = f"\n@pytest.mark.anyio\n@pytest.mark.asyncio{loop}"
    ran = run(marks + A_TEST.format(name="it"), *asyncio_options("auto"), "-k", "asyncio")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["prolific_client cannot be in two event loops*strict*"])


@pytest.mark.slow
def test_a_test_that_no_plugin_runs_is_reported(run: Run) -> None:
    ran = run(A_TEST.format(name="it"), "-p", "no:asyncio", "-p", "no:anyio")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["prolific_client needs an asynchronous test*pytest.mark.asyncio*"])


IN_A_THREAD = """
import threading
import urllib.request
def ask(simulator, batch_id):
    url = f"{os.environ['PROLIFIC_URL']}/api/v1/data-collection/batches/{batch_id}"
    headers = {"Authorization": "Token " + os.environ["PROLIFIC_TOKEN"]}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        return response.status
def serving():
    return [thread.name for thread in threading.enumerate()][1:]
def test_it(prolific_simulator):
    assert ask(prolific_simulator, prolific_simulator.add_batch()) == 200
    assert [seen.status for seen in prolific_simulator.requests] == [200]
    assert serving() == ["prolific-simulator"]
def test_ended_and_left_waits_leave_nothing():
    assert not serving()
"""


@pytest.mark.parametrize(
    "options",
    [asyncio_options("auto"), asyncio_options("strict"), ["-p", "no:asyncio", "-p", "no:anyio"]],
)
def test_a_plain_test_gets_a_simulator_in_a_thread(run: Run, options: list[str]) -> None:
    run(IN_A_THREAD, *options).assert_outcomes(passed=2)


def test_the_thread_ends_with_a_failing_test(run: Run) -> None:
    source = IN_A_THREAD.replace("== 200", "== 404", 1)
    run(source, *asyncio_options("auto")).assert_outcomes(failed=1, passed=1)


def test_unittest_hypothesis_and_marked_tests_get_the_simulator(run: Run) -> None:
    source = """
import unittest
from hypothesis import HealthCheck, given, settings, strategies as st
from prolific_async import ProlificClient
def is_in_a_thread(simulator):
    return simulator._thread is not None
class TestOfTheStandardLibrary(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def _simulator(self, prolific_simulator):
        self.simulator = prolific_simulator
    async def test_async(self):
        assert is_in_a_thread(self.simulator)
        async with ProlificClient() as client:
            await client.batches.get(self.simulator.add_batch())
@settings(suppress_health_check=list(HealthCheck), max_examples=2, database=None)
@given(number=st.integers())
def test_hypothesis(prolific_simulator, number):
    assert is_in_a_thread(prolific_simulator)
@pytest.fixture
def anyio_backend():
    return "asyncio"
def test_with_a_fixture_of_anyio(anyio_backend, prolific_simulator):
    assert is_in_a_thread(prolific_simulator)
@pytest.mark.parametrize("mark", [1])
def test_of_a_module_that_is_marked(mark, prolific_simulator):
    assert is_in_a_thread(prolific_simulator)
"""
    run(source, *asyncio_options("strict")).assert_outcomes(passed=4)


@pytest.mark.parametrize("mark", ["asyncio", "anyio"])
def test_an_asynchronous_hypothesis_test_gets_the_client(run: Run, mark: str) -> None:
    source = f"""
from hypothesis import HealthCheck, given, settings, strategies as st
@pytest.fixture
def anyio_backend():
    return "asyncio"
@pytest.mark.{mark}
@pytest.mark.parametrize("again", [1, 2])
@settings(suppress_health_check=list(HealthCheck), max_examples=2, database=None)
@given(number=st.integers())
""" + IN_ITS_LOOP.format(name="it").replace("client)", "client, again, number)")
    run(source, *asyncio_options("strict")).assert_outcomes(passed=2)


IN_UNITTEST = """
import unittest
class TestOfTheStandardLibrary(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def _client(self, prolific_client): ...
    async def test_it(self): ...
"""


@pytest.mark.parametrize("source", ["def test_it(prolific_client): ...", IN_UNITTEST])
def test_a_plain_test_cannot_have_the_client(run: Run, source: str) -> None:
    ran = run(source, *asyncio_options("auto"))
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["prolific_client needs*asynchronous*async def*ProlificClient()*"])


def readme(heading: str, number: int = 0) -> str:
    """Return an example in Python from under a heading of README."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found: list[str] = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return found[number]


def test_readmes_test_of_readmes_application_works_as_it_stands(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(my_application=readme("In a FastAPI application"))
    source = readme("Testing your own application", 2)
    run(source, *asyncio_options("strict")).assert_outcomes(passed=1)


BLOCKED = """
from fastapi.testclient import TestClient
from my_application import app
@pytest.mark.asyncio
async def test_it(prolific_simulator):
    with TestClient(app) as browser:
        path = f"/batches/{prolific_simulator.add_batch()}/copies"
        assert browser.post(path, params={"name": "Round 2"}).status_code == 202
"""


def test_a_test_may_block_its_event_loop(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(my_application=readme("In a FastAPI application"))
    run(BLOCKED, *asyncio_options("strict")).assert_outcomes(passed=1)


def test_the_environment_names_the_simulator_during_one_test(run: Run) -> None:
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
def test_the_client_uses_an_overridden_simulator(run: Run) -> None:
    source = """
from prolific_async.simulator import AfterPolls, Simulator
@pytest.fixture
async def prolific_simulator():
    async with Simulator(setup=AfterPolls(5)) as simulator:
        yield simulator
async def test_it(prolific_simulator, prolific_client):
    batch_id = prolific_simulator.add_batch()
    await prolific_client.batches.setup(batch_id)
    seen = [event.status async for event in prolific_client.batches.watch(batch_id)]
    assert seen == ["PROCESSING"] * 5 + ["READY"]
"""
    run(source, *asyncio_options("auto")).assert_outcomes(passed=1)


@pytest.mark.slow
def test_the_plugin_alone_does_not_import_the_package(run: Run, pytester: pytest.Pytester) -> None:
    source = """
import sys
def test_it(request):
    assert request.config.pluginmanager.hasplugin("prolific_async")
    assert not {"prolific_async", "aiohttp", "cattrs"} & set(sys.modules)
"""
    pytester.makepyfile(source)
    # In a process of its own, since this one has imported everything.
    pytester.runpytest_subprocess(*asyncio_options("auto")).assert_outcomes(passed=1)


def test_readmes_test_works_as_it_stands(run: Run) -> None:
    source = readme("Testing your own application", 1)
    run(source, *asyncio_options("strict")).assert_outcomes(passed=1)


@pytest.mark.slow
def test_the_fixtures_work_on_uvloop(run: Run, pytester: pytest.Pytester) -> None:
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
