"""Fixtures of the tests of lost POSTs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.recovery.bench import Bench
from tests.recovery.breaking import breaking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prolific_async.simulator import Simulator


@pytest.fixture
async def bench(sim: Simulator) -> AsyncIterator[Bench]:
    async with breaking(sim.url) as proxy:
        yield Bench(sim, proxy, sim.add_batch("Original", task_details=None))
