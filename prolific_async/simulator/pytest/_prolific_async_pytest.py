"""The pytest fixtures ``prolific_simulator`` and ``prolific_client``.

::

    @pytest.mark.asyncio  # or @pytest.mark.anyio
    async def test_a_round_has_a_copy(prolific_simulator, prolific_client):
        original = prolific_simulator.add_batch("Original")
        await my_application.start_round(prolific_client, original)
        assert len(prolific_simulator.batches) == 2

``prolific_simulator`` serves in a thread of its own, so it works in every test: asynchronous or
plain ``def``, of unittest or with hypothesis, also while the test blocks its event loop, as
FastAPI's ``TestClient`` does.

``prolific_client`` needs an asynchronous test, and runs in the event loop of that test:

- pytest-asyncio, 1.1 or later: modes strict and auto, every ``loop_scope``, from the marker or
  from ``asyncio_default_test_loop_scope`` (several scopes in one module need 1.4);
- anyio, 4 or later: its own plugin with the backend asyncio, in modes strict and auto.

A test that both plugins run is an error: with anyio, keep ``asyncio_mode=strict``. A plain ``def``
test does without the client: the application's own ``ProlificClient()`` uses the simulator.

A project may override ``prolific_simulator``, for example with ``Simulator(setup=AfterPolls(5))``;
``prolific_client`` then uses that one.

pytest imports this module at every start, also in projects that never use it, and before coverage
measures. So it is installed beside the package, and imports the package in the fixtures.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from prolific_async import ProlificClient
    from prolific_async.simulator import Simulator


@pytest.fixture
def prolific_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Return a simulated Prolific on a loopback port.

    During the test PROLIFIC_URL and PROLIFIC_TOKEN name it, so that ``ProlificClient()`` uses it
    and never the real service.
    """
    from prolific_async.simulator import Simulator  # noqa: PLC0415 - see above

    with Simulator() as simulator:
        monkeypatch.setenv("PROLIFIC_URL", simulator.url)
        monkeypatch.setenv("PROLIFIC_TOKEN", simulator.token)
        yield simulator


def _client_fixture() -> Callable[[Simulator], AsyncIterator[ProlificClient]]:
    async def prolific_client(prolific_simulator: Simulator) -> AsyncIterator[ProlificClient]:
        """Return a client of ``prolific_simulator`` that polls and retries within milliseconds."""
        from prolific_async import PollPolicy, ProlificClient, RetryPolicy  # noqa: PLC0415

        async with ProlificClient(
            prolific_simulator.token,
            base_url=prolific_simulator.url,
            poll=PollPolicy(initial=0.01, maximum=0.02, timeout=5),
            retry=RetryPolicy(initial=0.001, maximum=0.002),
            request_timeout=2,
        ) as client:
            yield client

    return prolific_client


prolific_client = pytest.fixture(_client_fixture())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Put ``prolific_client`` into the event loop of the test that asks for it."""
    if fixturedef.argname != "prolific_client" or fixturedef.func.__module__ != __name__:
        return (yield)
    # pytest-asyncio's decorator marks the function, so each test needs a function of its own.
    function = _client_fixture()
    if not _is_run_by_anyio(request):
        import pytest_asyncio  # noqa: PLC0415 - it runs the test, so it is imported already

        pytest_asyncio.fixture(function, loop_scope=_loop_scope(request))
    fixturedef.func = function  # type: ignore[misc] # both plugins replace it, too
    return (yield)  # the hook of the plugin runs it in the loop of the test


def _is_run_by_anyio(request: pytest.FixtureRequest) -> bool:
    """Return True if anyio runs the test, False if pytest-asyncio does; else fail the test."""
    if not _is_asynchronous(request):
        _fail(
            "prolific_client needs the event loop of an asynchronous test, and this test is a "
            "plain def: make it an async def, or let the tested code make its own "
            "ProlificClient(), as PROLIFIC_URL and PROLIFIC_TOKEN name prolific_simulator"
        )
    by_asyncio = _is_run_by_pytest_asyncio(request)
    if "anyio_backend" not in request.fixturenames:
        if old := _old_pytest_asyncio(request):
            _fail(
                f"prolific_client needs pytest-asyncio 1.1 or later, and this is {old}: upgrade "
                "it, or mark the test with pytest.mark.anyio, of anyio"
            )
        if not by_asyncio:
            _fail(
                "prolific_client needs an asynchronous test that a plugin runs: mark this one with "
                "pytest.mark.asyncio, of pytest-asyncio 1.1 or later, or with pytest.mark.anyio, "
                "of anyio"
            )
        return False
    if by_asyncio:
        _fail(
            "prolific_client cannot be in two event loops: anyio runs the fixtures of this test, "
            "and pytest-asyncio the test itself. Set asyncio_mode=strict, or mark it for one of "
            "them only"
        )
    backend = request.getfixturevalue("anyio_backend_name")
    if backend != "asyncio":
        _fail(
            f"prolific_async runs on asyncio, not on {backend}: let your fixture anyio_backend "
            'return "asyncio"'
        )
    return True


def _is_asynchronous(request: pytest.FixtureRequest) -> bool:
    """Return whether the test is a coroutine function for a plugin of pytest to run."""
    unittest = sys.modules.get("unittest")
    if unittest and request.cls and issubclass(request.cls, unittest.TestCase):
        return False  # unittest runs its coroutines in a loop that fixtures cannot use
    function: Any = getattr(request.node, "obj", None)
    if hasattr(function, "hypothesis"):
        # anyio makes the inner function a plain one, and adds its fixture to coroutines only.
        return "anyio_backend" in request.fixturenames or inspect.iscoroutinefunction(
            function.hypothesis.inner_test
        )
    return inspect.iscoroutinefunction(function)


def _is_run_by_pytest_asyncio(request: pytest.FixtureRequest) -> bool:
    plugin = _pytest_asyncio(request)
    return hasattr(plugin, "Runner") and bool(plugin.is_async_test(request.node))


def _old_pytest_asyncio(request: pytest.FixtureRequest) -> str | None:
    """Return the version of a pytest-asyncio before 1.1, which fixes a fixture's loop too early."""
    plugin = _pytest_asyncio(request)
    if plugin is None or hasattr(plugin, "Runner"):
        return None
    return str(getattr(sys.modules["pytest_asyncio"], "__version__", "an older one"))


def _pytest_asyncio(request: pytest.FixtureRequest) -> Any:
    """Return the plugin module of pytest-asyncio, None if it is not in use."""
    plugin = sys.modules.get("pytest_asyncio.plugin")
    return plugin if plugin and request.config.pluginmanager.is_registered(plugin) else None


def _loop_scope(request: pytest.FixtureRequest) -> Any:
    """Return the loop scope of a test as pytest-asyncio determines it."""
    marker = request.node.get_closest_marker("asyncio")
    # "scope" is the older name of "loop_scope".
    return (
        marker.kwargs.get("loop_scope")
        or marker.kwargs.get("scope")
        or request.config.getini("asyncio_default_test_loop_scope")
    )


def _fail(reason: str) -> NoReturn:
    pytest.fail(reason, pytrace=False)
