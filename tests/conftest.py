"""What many tests share: a simulated service, and a client of it that is quick."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from prolific_async import PollPolicy, ProlificClient, RetryPolicy
from prolific_async.simulator import AfterLooks, Simulator
from tests.virtual_time import SteadyLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

QUICK_POLL = PollPolicy(initial=0.01, maximum=0.02, timeout=5)
QUICK_RETRY = RetryPolicy(initial=0.001, maximum=0.002)

# The same few examples for every mutant.
settings.register_profile(
    "mutation", max_examples=10, derandomize=True, database=None, deadline=None
)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"steady": SteadyLoop}


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROLIFIC_TOKEN", "PROLIFIC_URL", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(setup=AfterLooks(2)) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[ProlificClient]:
    async with ProlificClient(
        sim.token, base_url=sim.url, poll=QUICK_POLL, retry=QUICK_RETRY, request_timeout=2
    ) as quick:
        yield quick


@pytest.fixture(scope="module")
def far() -> Iterator[Simulator]:
    """A simulator in a loop of its own, so that a test's loop holds only what is the client's."""
    sim = Simulator(setup=AfterLooks(1), log_size=0)
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with sim:
            loops.append(asyncio.get_running_loop())
            started.set()
            await stop.wait()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(5)
    yield sim
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(5)
