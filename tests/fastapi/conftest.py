"""Fixtures: the example application on a simulated service, over a real server."""

from collections.abc import AsyncIterator, Callable
from functools import partial

import aiohttp
import pytest
from attrs import evolve

from prolific_async import PollPolicy, ProlificClient
from prolific_async.simulator import Simulator
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.fastapi.example.app import create_app
from tests.fastapi.serving import serving

PATIENT_POLL = evolve(QUICK_POLL, timeout=None)
"""No wait of a test ends because the machine is slow."""

Make = Callable[[], ProlificClient]


def endless(sim: Simulator, name: str = "Round 2") -> str:
    """Add a batch that is PROCESSING until a test says otherwise, and return its id."""
    batch_id = sim.add_batch(name)
    sim.set_status(batch_id, "PROCESSING")
    return batch_id


@pytest.fixture
def make_client(sim: Simulator) -> Make:
    return partial(
        ProlificClient, sim.token, base_url=sim.url, poll=PATIENT_POLL, retry=QUICK_RETRY
    )


@pytest.fixture
def source(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """The batch that the example copies."""
    batch_id = sim.add_batch("Original", status="READY")
    monkeypatch.setenv("BATCH_ID", batch_id)
    monkeypatch.setenv("WORKSPACE_ID", sim.workspace_id)
    return batch_id


@pytest.fixture
def poll() -> PollPolicy:
    return PATIENT_POLL


@pytest.fixture
async def backend(source: str, make_client: Make, poll: PollPolicy) -> AsyncIterator[str]:
    """The address of the example."""
    async with serving(create_app(poll, make_client)) as url:
        yield url


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    # Browsers of many people: no limit, and no connection that outlives its answer.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as made:
        yield made
