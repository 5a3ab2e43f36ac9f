"""The example's page in a real browser."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from prolific_async import PollPolicy
from prolific_async.simulator import Fault, Simulator
from tests.fastapi.chromium import Page, chromium
from tests.fastapi.conftest import Make, endless
from tests.fastapi.example.app import create_app
from tests.fastapi.serving import serving

pytestmark = pytest.mark.browser

SHOWN = "[...document.querySelectorAll('tbody tr')].map((row) => row.dataset.status)"
COUNTS = "document.getElementById('counts').textContent"
NOTE = "document.querySelector('tbody tr[data-status=\"{}\"] .note').textContent"


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    (tmp_path / "profile").mkdir()
    async with chromium(tmp_path / "profile") as opened:
        yield opened
        assert opened.complaints == []


@pytest.fixture
def poll() -> PollPolicy:
    return PollPolicy(initial=0.05, maximum=0.05, timeout=None)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures go: to the folder that PICTURES names, for a person to look at."""
    return Path(os.environ.get("PICTURES", tmp_path))


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_table_follows_the_events(
    sim: Simulator, backend: str, page: Page, pictures: Path, scheme: str
) -> None:
    sim.add_batch("Ready at once", status="READY", tasks_per_group=1)
    sim.add_batch("Ready soon", status="PROCESSING", tasks_per_group=1)
    bad, slow = endless(sim, "Bound to fail"), endless(sim, "Slow")
    await page.open(backend, scheme=scheme)
    await page.until(f"{SHOWN}.join() === 'PROCESSING,PROCESSING,READY,READY'")
    sim.set_status(bad, "ERROR")
    await page.until(f"{SHOWN}.includes('ERROR')")
    assert await page.value(NOTE.format("ERROR")) == (
        "Prolific could not build this batch's tasks: fix its dataset or upload another one, and "
        "set up a duplicate."
    )
    await page.save(pictures / f"going-{scheme}.png")
    sim.set_status(slow, "READY")
    await page.until(f"{SHOWN}.join() === 'READY,ERROR,READY,READY'")
    assert await page.value(COUNTS) == "1 ERROR · 3 READY"
    # Every wait is over, so the page asks for nothing more.
    await page.until("stream.readyState === EventSource.CLOSED")
    await page.save(pictures / f"ended-{scheme}.png")


@pytest.mark.parametrize("poll", [PollPolicy(initial=0.05, maximum=0.05, timeout=0.2)])
@pytest.mark.parametrize("width", [1100, 400])
async def test_a_wait_that_timed_out_is_repeated(
    sim: Simulator, backend: str, page: Page, pictures: Path, width: int
) -> None:
    sim.add_batch("Ready at once", status="READY", tasks_per_group=1)
    sim.set_status(sim.add_batch("Failed"), "ERROR")
    slow = endless(sim, "A slow one with a name that is a little longer")
    await page.open(backend, width=width)
    await page.until(f"{SHOWN}.join() === 'TIMED OUT,ERROR,READY'")
    assert "not ready in time" in await page.value(NOTE.format("TIMED OUT"))
    assert await page.value(COUNTS) == "1 ERROR · 1 READY · 1 TIMED OUT"
    assert await page.value(
        "[...document.querySelectorAll('body, form *, tbody *')]"
        f".every((one) => one.getBoundingClientRect().right <= {width})"
    )
    await page.save(pictures / f"timed-out-{width}.png")
    sim.set_status(slow, "READY")
    again = "document.querySelector('button.again')"
    assert await page.value(f"({again}.click(), {SHOWN}.join())") == "PROCESSING,ERROR,READY"
    # On a busy machine it may be too late once more.
    await page.until(f"({again}?.click(), {SHOWN}.join()) === 'READY,ERROR,READY'")


async def test_copies_are_started(
    sim: Simulator, source: str, backend: str, page: Page, pictures: Path
) -> None:
    await page.open(backend, width=400)
    await page.until("document.getElementById('source').textContent === 'Original'")
    assert "No copies yet" in await page.value("document.body.innerText")
    await page.value("document.querySelector('button[type=submit]').click()")
    await page.until(f"{SHOWN}.join() === 'READY,READY,READY,READY,READY'")
    copies = [batch for batch_id, batch in sim.batches.items() if batch_id != source]
    assert [copy.name for copy in copies] == [f"Round {n}" for n in range(1, 6)]
    assert {copy.tasks_per_group for copy in copies} == {5}
    await page.until("document.querySelector('.tasks:not(th)').textContent === '200'")
    await page.until("document.querySelector('button[type=submit]').textContent === 'Start'")
    await page.save(pictures / "narrow.png")


async def test_a_problem_is_shown(sim: Simulator, backend: str, page: Page, pictures: Path) -> None:
    await page.open(backend)
    await page.until("document.getElementById('source').textContent === 'Original'")
    sim.inject("POST", "/duplicate", Fault(403))
    await page.value("document.querySelector('button[type=submit]').click()")
    await page.until("!document.getElementById('problem').hidden")
    assert await page.value("document.getElementById('problem').textContent") == (
        "This service is not set up right for Prolific."
    )
    await page.save(pictures / "problem.png")


async def test_the_page_survives_a_restart(
    sim: Simulator, source: str, make_client: Make, page: Page
) -> None:
    batch_id = endless(sim)
    poll = PollPolicy(initial=0.05, maximum=0.05)
    async with serving(create_app(poll, make_client)) as url:
        await page.open(url)
        await page.until(f"{SHOWN}.join() === 'PROCESSING'")
        await page.until("stream.readyState === EventSource.OPEN")
    await page.until("!document.getElementById('connection').hidden")
    async with serving(create_app(poll, make_client), port=int(url.rpartition(":")[2])):
        sim.set_status(batch_id, "READY")
        await page.until(f"{SHOWN}.join() === 'READY'")
        await page.until("document.getElementById('connection').hidden")
