"""Log records: their levels, and that they never show the token."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from prolific_async import NotFoundError, WaitFailedError
from prolific_async.simulator import Fault

if TYPE_CHECKING:
    from prolific_async import ProlificClient
    from prolific_async.simulator import Simulator


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "prolific_async")


def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == ("prolific_async", level)
    ]


async def test_every_request_and_its_outcome_is_logged_at_debug(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = sim.add_batch()
    sim.inject("GET", "/status", Fault(cut=3))
    await client.batches.get_status(batch_id)
    await client.batches.list(sim.workspace_id)
    root = "/api/v1/data-collection/batches"
    lost, status, listed = told(caplog, logging.DEBUG)
    assert lost.startswith(f"GET {root}/{batch_id}/status: ConnectionLostError in 0.")
    assert status.startswith(f"GET {root}/{batch_id}/status: 200 in 0.")
    assert listed.startswith(f"GET {root}?workspace_id={sim.workspace_id}: 200 in 0.")


async def test_success_is_logged_at_debug_only(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    copy = await client.batches.duplicate(sim.add_batch())
    await copy.setup()
    await copy.wait_until_ready()
    with pytest.raises(NotFoundError):  # it is raised, so it needs no log record
        await client.batches.get("nothing")
    assert {record.levelno for record in caplog.records if record.name != "asyncio"} == {
        logging.DEBUG
    }


async def test_repeated_requests_are_logged_at_info(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = sim.add_batch(status="READY")
    sim.inject("GET", f"/{batch_id}", Fault(503))
    await client.batches.get(batch_id)
    sim.inject("GET", "/status", Fault(502))
    await client.batches.wait_until_ready(batch_id)
    again, poll = told(caplog, logging.INFO)
    assert again.startswith("attempt 1 of 4: ")
    assert "503" in again
    assert poll.startswith(f"a poll of batch {batch_id} failed: ")
    assert "502" in poll


async def test_the_outcome_of_a_lost_post_is_logged_at_info(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/setup", Fault(reset="after"))
    await client.batches.setup(batch_id)
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    copy = await client.batches.duplicate(batch_id, name="Round 2")
    accepted, found = told(caplog, logging.INFO)
    assert accepted.endswith("/setup: ConnectionLostError, but accepted: PROCESSING")
    assert found.endswith(f"/duplicate: ConnectionLostError, but found: {copy.id}")


async def test_only_the_first_429_is_a_warning(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = sim.add_batch()
    sim.inject("GET", "/status", Fault(429), times=2)
    await client.batches.get_status(batch_id)
    (warning,) = told(caplog, logging.WARNING)
    assert warning.startswith("the service answered 429: at most 5 requests a second")
    assert sum("answered 429: at most" in line for line in told(caplog, logging.INFO)) == 1


async def test_no_record_shows_the_token(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = sim.add_batch()
    for fault in (
        Fault(503, body={"detail": sim.token}),
        Fault(200, body=f"{sim.token} is no JSON"),
        Fault(403, headers={"X-Echo": sim.token}, body=sim.token),
    ):
        sim.inject("GET", "/status", fault)
    with pytest.raises(WaitFailedError):
        await client.batches.wait_until_ready(batch_id)
    assert len(told(caplog, logging.INFO)) == 3
    assert sim.token not in caplog.text
