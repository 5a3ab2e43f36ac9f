"""The pytest fixtures ``prolific_simulator`` and ``prolific_client``, for asynchronous tests.

::

    @pytest.mark.asyncio  # or @pytest.mark.anyio
    async def test_a_round_has_a_copy(prolific_simulator, prolific_client):
        original = prolific_simulator.add_batch("Original")
        await my_application.start_round(prolific_client, original)
        assert len(prolific_simulator.batches) == 2

They run in the event loop of the test, whatever its ``loop_scope``, under pytest-asyncio (1.0 or
later, both modes) and under anyio's own plugin with its backend asyncio. A project's own
``prolific_simulator``, such as one with ``setup=AfterLooks(5)``, is the one that
``prolific_client`` is then for.

pytest imports this module whenever it starts, for projects too that never use it, and before
coverage does. So it is installed beside the package, and imports it with the first fixture.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from prolific_async import ProlificClient
    from prolific_async.simulator import Simulator

_LOOP_SCOPES = ("function", "class", "module", "package", "session")


@pytest.fixture
def prolific_simulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Simulator:
    """Return a simulated Prolific that is served on a loopback port while the test runs.

    PROLIFIC_URL and PROLIFIC_TOKEN lead to it meanwhile, so that what makes its own
    ``ProlificClient()`` speaks to it, and never to the real service.
    """
    simulator: Simulator = request.getfixturevalue(_variant("simulator", request))
    monkeypatch.setenv("PROLIFIC_URL", simulator.url)
    monkeypatch.setenv("PROLIFIC_TOKEN", simulator.token)
    return simulator


@pytest.fixture
def prolific_client(request: pytest.FixtureRequest) -> ProlificClient:
    """Return a client of ``prolific_simulator`` that looks and tries again within milliseconds."""
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
    return plugin is not None and config.pluginmanager.is_registered(plugin)


def _asyncio_maker(pytest_asyncio: Any, loop_scope: str) -> Callable[[Any], Any]:
    return lambda function: pytest_asyncio.fixture(function, loop_scope=loop_scope)


def _variant(kind: str, request: pytest.FixtureRequest) -> str:
    """Name the fixture that runs where the test does."""
    if "anyio_backend" in request.fixturenames:
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
            f"{request.fixturename} needs an asynchronous test: mark it with pytest.mark.asyncio, "
            "of pytest-asyncio, or with pytest.mark.anyio, of anyio",
            pytrace=False,
        )
    default = request.config.getini("asyncio_default_test_loop_scope")
    return f"_prolific_{kind}_of_{marker.kwargs.get('loop_scope', default)}_loop"


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
