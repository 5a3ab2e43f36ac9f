"""Fixtures and hooks of all tests: a simulator, a quick client of it, and the event loops."""

from __future__ import annotations

import asyncio
import gc
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from prolific_async import PollPolicy, ProlificClient, RetryPolicy
from prolific_async.simulator import AfterPolls, Simulator, simulator
from tests.ports import reserved_port
from tests.uvloops import SteadyUVLoop, UVLoop, install_uvloop
from tests.virtual_time import SteadyLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

QUICK_POLL = PollPolicy(initial=0.01, maximum=0.02, timeout=5)
QUICK_RETRY = RetryPolicy(initial=0.001, maximum=0.002)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HANGS = 60  # seconds after which another process or thread counts as hanging

# A test's verdict is the same each time: examples are found anew with another profile, by
# --hypothesis-profile=random, and no example is too slow on a machine that has more to do. There
# are fewer of them by default than .ci/run tries with the profile "same".
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", QUIET)
settings.register_profile("same", QUIET, derandomize=True)
settings.register_profile("quick", QUIET, derandomize=True, max_examples=30)
settings.register_profile("mutation", QUIET, derandomize=True, max_examples=10)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--uvloop",
        action="store_true",
        help="run the tests that talk to a server, and no others, on uvloop's loop",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("uvloop"):
        if UVLoop is None:
            raise pytest.UsageError("--uvloop needs uvloop, which the extra [test] brings")
        install_uvloop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("uvloop"):
        config.hook.pytest_deselected(items=[one for one in items if not _runs_on_uvloop(one)])
        items[:] = [item for item in items if _runs_on_uvloop(item)]


def pytest_collection_finish() -> None:
    # Modules and tests stay: no collection of garbage during a test has to visit them again.
    gc.collect()
    gc.freeze()


def _runs_on_uvloop(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("asyncio")
    if marker is not None:
        return "uvloop" in marker.kwargs.get("loop_factories", ["uvloop"])
    fixtures = getattr(item, "fixturenames", ())
    return "cli" in item.path.parts or not {"sim", "far", "port"}.isdisjoint(fixtures)


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    # Durable waits have threads, loops and databases of their own, which go by the real time.
    usual = "real" if "durable" in item.path.parts else "steady"
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "real": asyncio.SelectorEventLoop,
        "steady": SteadyLoop,
    }
    if UVLoop is not None and SteadyUVLoop is not None:
        factories |= {"uvloop": UVLoop, "steady uvloop": SteadyUVLoop}
    marker = item.get_closest_marker("asyncio")
    if marker is not None and "loop_factories" in marker.kwargs:
        return factories  # of which the marker names its own
    if config.getoption("uvloop"):
        usual = {"real": "uvloop", "steady": "steady uvloop"}[usual]
    return {usual: factories[usual]}


@pytest.fixture(scope="session", autouse=True)
def _the_time_of_day_stands_still() -> Iterator[None]:
    """Freeze the simulator's time of day, which would run ahead of a virtual clock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "_utc_now", lambda: NOON)
        yield


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("PROLIFIC_TOKEN", "PROLIFIC_API_TOKEN", "PROLIFIC_API_KEY", "PROLIFIC_URL")
    for name in (*ours, "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    """A loopback port that is reserved for the test, and on which nothing listens."""
    with reserved_port() as port:
        yield port


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(setup=AfterPolls(2)) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[ProlificClient]:
    async with ProlificClient(
        sim.token, base_url=sim.url, poll=QUICK_POLL, retry=QUICK_RETRY, request_timeout=2
    ) as quick:
        yield quick


@pytest.fixture(scope="module")
def far_sim() -> Iterator[Simulator]:
    """A simulator in a loop of its own, so that the test's loop has only tasks of the client."""
    with Simulator(setup=AfterPolls(1), log_size=0) as sim:
        yield sim


class OddBaseException(BaseException):
    """An exception that ``except Exception`` does not catch."""


class RaisingHandler(logging.Handler):
    def __init__(self, raised: type[BaseException]) -> None:
        super().__init__()
        self.raised = raised

    def emit(self, record: logging.LogRecord) -> None:
        raise self.raised(record.getMessage())


@pytest.fixture(params=[ZeroDivisionError, asyncio.CancelledError, OddBaseException])
def raised_by_the_log(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[BaseException]]:
    """Make a log handler raise at every record, and return the exception."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger = logging.getLogger("prolific_async")
    logger.addHandler(handler := RaisingHandler(request.param))
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield request.param
    logger.removeHandler(handler)
    logger.setLevel(level)
