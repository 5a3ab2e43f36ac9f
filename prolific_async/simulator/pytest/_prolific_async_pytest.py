"""The pytest fixtures ``prolific_simulator`` and ``prolific_client``.

::

    @pytest.mark.asyncio  # or @pytest.mark.anyio
    async def test_a_round_has_a_copy(prolific_simulator, prolific_client):
        original = prolific_simulator.add_batch("Original")
        await my_application.start_round(prolific_client, original)
        assert len(prolific_simulator.batches) == 2

They run in the event loop of the test, whatever its ``loop_scope``, under pytest-asyncio (0.24 or
later, both modes) and under anyio's own plugin with its backend asyncio.

For a plain ``def`` test ``prolific_simulator`` runs in a thread of its own: it answers while the
test blocks, as it does in a request of FastAPI's ``TestClient``. There is no ``prolific_client``
then, since it needs the loop of a test; what the application makes as ``ProlificClient()`` leads
to the simulator.

A project's own ``prolific_simulator``, such as one with ``setup=AfterPolls(5)``, is the one that
``prolific_client`` is then for.

pytest imports this module whenever it starts, for projects too that never use it, and before
coverage does. So it is installed beside the package, and imports it with the first fixture.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from prolific_async import ProlificClient
    from prolific_async.simulator import Simulator

_LOOP_SCOPES = ("function", "class", "module", "package", "session")
_IN_A_THREAD = "_prolific_simulator_in_a_thread"


@pytest.fixture
def prolific_simulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulator]:
    """Return a simulated Prolific that is served on a loopback port while the test runs.

    PROLIFIC_URL and PROLIFIC_TOKEN lead to it meanwhile, so that what makes its own
    ``ProlificClient()`` speaks to it, and never to the real service.
    """
    variant = _variant("simulator", request) if _is_asynchronous(request) else _IN_A_THREAD
    simulator: Simulator = request.getfixturevalue(variant)
    monkeypatch.setenv("PROLIFIC_URL", simulator.url)
    monkeypatch.setenv("PROLIFIC_TOKEN", simulator.token)
    if variant == _IN_A_THREAD:
        yield simulator
        return
    with simulator._watch_loop() as watch:  # noqa: SLF001 - for this fixture alone
        yield simulator
    if watch.complaint:
        pytest.fail(watch.complaint, pytrace=False)


@pytest.fixture
def prolific_client(request: pytest.FixtureRequest) -> ProlificClient:
    """Return a client of ``prolific_simulator`` that polls and tries again within milliseconds."""
    if not _is_asynchronous(request):
        pytest.fail(
            "prolific_client needs the event loop of an asynchronous test, and this test is a "
            "plain def: let what it tests make its own ProlificClient(), which PROLIFIC_URL and "
            "PROLIFIC_TOKEN lead to prolific_simulator, or make it an async def",
            pytrace=False,
        )
    client: ProlificClient = request.getfixturevalue(_variant("client", request))
    return client


def pytest_configure(config: pytest.Config) -> None:
    """Make what stands behind the fixtures, once for each way in which a test may be run."""
    makers: dict[str, Callable[[Any], Any]] = {"_prolific_{}_of_anyio": pytest.fixture}
    if _has_pytest_asyncio(config):
        import pytest_asyncio  # noqa: PLC0415 - where it is, it is imported already

        for scope in _LOOP_SCOPES:
            makers[f"_prolific_{{}}_of_{scope}_loop"] = _asyncio_maker(pytest_asyncio, scope)
    plugin = ModuleType("prolific_async's fixtures by loop")
    for name, maker in makers.items():
        setattr(plugin, name.format("simulator"), maker(_simulator()))
        setattr(plugin, name.format("client"), maker(_client()))
    config.pluginmanager.register(plugin)


def _has_pytest_asyncio(config: pytest.Config) -> bool:
    plugin = sys.modules.get("pytest_asyncio.plugin")
    if plugin is None or not config.pluginmanager.is_registered(plugin):
        return False
    # Without it, before 0.24, a fixture can't be put into the loop of the test.
    return "loop_scope" in inspect.signature(plugin.fixture).parameters


def _is_run_by_pytest_asyncio(request: pytest.FixtureRequest) -> bool:
    if not _has_pytest_asyncio(request.config):
        return False
    import pytest_asyncio  # noqa: PLC0415 - as above

    return pytest_asyncio.is_async_test(request.node)


def _asyncio_maker(pytest_asyncio: Any, loop_scope: str) -> Callable[[Any], Any]:
    return lambda function: pytest_asyncio.fixture(function, loop_scope=loop_scope)


def _is_asynchronous(request: pytest.FixtureRequest) -> bool:
    """Tell whether the test is a coroutine that a plugin of pytest runs."""
    unittest = sys.modules.get("unittest")
    if unittest and request.cls and issubclass(request.cls, unittest.TestCase):
        return False  # it runs its coroutines itself, in a loop that no fixture comes into
    function: Any = getattr(request.node, "obj", None)
    if hasattr(function, "hypothesis"):
        # anyio puts a function of its own there, and asks for its fixture with coroutines only.
        function = function.hypothesis.inner_test
        if "anyio_backend" in request.fixturenames:
            return True
    return inspect.iscoroutinefunction(function)


def _variant(kind: str, request: pytest.FixtureRequest) -> str:
    """Name the fixture that runs where an asynchronous test does."""
    if "anyio_backend" in request.fixturenames:
        if _is_run_by_pytest_asyncio(request):
            pytest.fail(
                f"{request.fixturename} cannot be in two event loops: anyio runs the fixtures of "
                "this test, and pytest-asyncio the test itself. Set asyncio_mode=strict, or mark "
                "it for one of them only",
                pytrace=False,
            )
        backend = request.getfixturevalue("anyio_backend_name")
        if backend != "asyncio":
            pytest.fail(
                f"prolific_async runs on asyncio, not on {backend}: let your fixture anyio_backend "
                'return "asyncio"',
                pytrace=False,
            )
        return f"_prolific_{kind}_of_anyio"
    marker = request.node.get_closest_marker("asyncio")
    if marker is None or not _has_pytest_asyncio(request.config):
        pytest.fail(
            f"{request.fixturename} must know what runs this asynchronous test: mark it with "
            "pytest.mark.asyncio, of pytest-asyncio 0.24 or later, or with pytest.mark.anyio, of "
            "anyio",
            pytrace=False,
        )
    # As pytest-asyncio reads it: "scope" is what "loop_scope" was called before.
    scope = marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")
    return f"_prolific_{kind}_of_{scope or _default_scope(request.config)}_loop"


def _default_scope(config: pytest.Config) -> str:
    try:
        return str(config.getini("asyncio_default_test_loop_scope"))
    except ValueError:  # before 0.26 there is no such option
        return "function"


@pytest.fixture
def _prolific_simulator_in_a_thread() -> Iterator[Simulator]:
    from prolific_async.simulator import Simulator  # noqa: PLC0415 - see above

    with Simulator() as started:
        yield started


# A function is marked with its loop, so each fixture needs one of its own.


def _simulator() -> Callable[[], AsyncIterator[Simulator]]:
    async def simulator() -> AsyncIterator[Simulator]:
        from prolific_async.simulator import Simulator  # noqa: PLC0415 - see above

        async with Simulator() as started:
            yield started

    return simulator


def _client() -> Callable[[Simulator], AsyncIterator[ProlificClient]]:
    async def client(prolific_simulator: Simulator) -> AsyncIterator[ProlificClient]:
        from prolific_async import PollPolicy, ProlificClient, RetryPolicy  # noqa: PLC0415

        async with ProlificClient(
            prolific_simulator.token,
            base_url=prolific_simulator.url,
            poll=PollPolicy(initial=0.01, maximum=0.02, timeout=5),
            retry=RetryPolicy(initial=0.001, maximum=0.002),
            request_timeout=2,
        ) as quick:
            yield quick

    return client
