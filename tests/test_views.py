"""``client.with_options``: other options on the same session, poller and limits."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from weakref import ref

import aiohttp
import pytest

from prolific_async import (
    ConfigurationError,
    ConnectionLostError,
    OutcomeUnknownError,
    PollPolicy,
    ProlificClient,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    WaitTimeoutError,
)
from prolific_async.simulator import Fault, Simulator
from tests.conftest import QUICK_POLL
from tests.recovery.failures import outcome_of

if TYPE_CHECKING:
    from prolific_async import StatusEvent

ONCE = RetryPolicy(max_attempts=1)


async def test_a_view_has_its_own_request_timeout(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    view = client.with_options(request_timeout=0.02, retry=ONCE)
    sim.inject("GET", "/status", Fault(delay=0.06), times=2)
    with pytest.raises(RequestTimeoutError, match=r"0\.02 s"):
        await view.batches.get_status(batch_id)
    assert await client.batches.get_status(batch_id) == "UNINITIALISED"
    patient = ProlificClient(sim.token, base_url=sim.url, request_timeout=0.02, retry=ONCE)
    async with patient:
        sim.inject("GET", "/status", Fault(delay=0.06))
        slow = patient.with_options(request_timeout=5)
        assert await slow.batches.get_status(batch_id) == "UNINITIALISED"


async def test_a_view_has_its_own_policies(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(status="PROCESSING")
    view = client.with_options(retry=ONCE, poll=PollPolicy(initial=0.01, timeout=0.02))
    sim.inject("GET", "/status", Fault(503), times=2)
    with pytest.raises(ServerError):
        await view.batches.get_status(batch_id)
    assert await client.batches.get_status(batch_id) == "PROCESSING"
    sim.inject("GET", "/status", Fault(body={"status": "PROCESSING"}), times=None)
    with pytest.raises(WaitTimeoutError) as caught:
        await view.batches.wait_until_ready(batch_id)
    assert caught.value.elapsed < 2


async def test_what_is_not_given_is_as_the_client_has_it(sim: Simulator) -> None:
    batch_id = sim.add_batch()
    async with ProlificClient(sim.token, base_url=sim.url, retry=ONCE) as client:
        view = client.with_options(request_timeout=5).with_options(poll=QUICK_POLL)
        sim.inject("GET", "/status", Fault(503))
        with pytest.raises(ServerError):
            await view.batches.get_status(batch_id)
        assert view._transport.request_timeout == 5


async def test_candidates_of_an_error_that_views_share_are_bound_to_each(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    ids = {sim.add_batch("Round 2"), sim.add_batch("Round 2")}
    views = [client, client.with_options(retry=ONCE)]
    calls = (one.batches.get_or_duplicate(source, name="Round 2") for one in views)
    for view, error in zip(
        views, await asyncio.gather(*calls, return_exceptions=True), strict=True
    ):
        assert isinstance(error, OutcomeUnknownError)
        assert {one.id for one in error.candidates} == ids
        assert all(one._batches is view.batches for one in error.candidates)


async def test_batches_of_a_view_are_bound_to_it(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    view = client.with_options(retry=ONCE)
    for copy in (
        await view.batches.get(source),
        await view.batches.duplicate(source),
        await view.batches.get_or_duplicate(source, name="Round 2"),
        *await view.batches.list(sim.workspace_id),
    ):
        sim.inject("GET", "/status", Fault(503))
        with pytest.raises(ServerError):
            await copy.get_status()


async def test_a_batch_that_two_views_are_given_is_bound_to_each(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    views = [client, client.with_options(retry=ONCE), client.with_options(retry=RetryPolicy())]
    copies = await asyncio.gather(
        *(view.batches.get_or_duplicate(source, name="Round 2") for view in views)
    )
    assert len(set(copies)) == 1
    await copies[0].setup()
    sim.set_status(copies[0].id, "READY")
    ready = await asyncio.gather(*(view.batches.wait_until_ready(copies[0].id) for view in views))
    for batches in (copies, ready):
        assert batches[0] == batches[1] == batches[2]
        assert [one._bound for one in batches] == [view.batches for view in views]
    assert [one.method for one in sim.requests].count("POST") == 2


async def test_views_share_session_and_connections(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    views = [client.with_options(request_timeout=seconds) for seconds in (1, 1, 3)]
    for one in (*views, client, *views):
        await one.batches.get(batch_id)
    sessions = [one._transport._session for one in (client, *views)]
    assert len({id(session.http) for session in sessions if session}) == 1
    assert len({id(session.rate_limiter) for session in sessions if session}) == 1
    # Of equal timeouts there is one time limit.
    assert len({id(session.time_limit) for session in sessions if session}) == 3


async def test_views_share_the_rate_limit(sim: Simulator) -> None:
    batch_id = sim.add_batch()
    async with ProlificClient(sim.token, base_url=sim.url, max_requests_per_second=50) as client:
        views = [client.with_options(request_timeout=seconds) for seconds in range(1, 5)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(view.batches.get(batch_id) for view in views for _ in range(15)))
        assert loop.time() - began > 0.1


async def test_views_share_waits(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(status="PROCESSING")
    seen: list[StatusEvent] = []
    views = [client.with_options(request_timeout=seconds) for seconds in range(1, 20)]
    waits = [view.batches.wait_until_ready(batch_id, on_event=seen.append) for view in views]
    await asyncio.gather(*waits)
    assert len(sim.requests) < 10
    assert len(seen) >= len(views)


async def test_views_share_what_is_known_of_lost_duplicates(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(delay=0.06, reset="after"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.03):
            await client.with_options(retry=ONCE).batches.duplicate(source, name="Round 2")
    view = client.with_options(request_timeout=3)
    await view.batches.get_or_duplicate(source, name="Round 2", settle_seconds=0.2)
    assert [one.method for one in sim.requests].count("POST") <= 2
    assert len(sim.batches) == 2


async def test_closing_a_view_does_nothing(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    wait = asyncio.ensure_future(client.batches.wait_until_ready(batch_id))
    async with client.with_options(request_timeout=1) as view:
        await view.batches.get(batch_id)
    await view.close()
    assert (await view.batches.get(batch_id)).id == batch_id
    assert (await client.batches.get(batch_id)).id == batch_id
    assert not wait.done()
    sim.set_status(batch_id, "READY")
    await wait


@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("options", [{"request_timeout": 1}, {"retry": ONCE}, {}], ids=str)
async def test_a_view_of_a_closed_client_raises(
    sim: Simulator, options: dict[str, Any], *, used_before: bool
) -> None:
    client = ProlificClient(sim.token, base_url=sim.url)
    view = client.with_options(**options)
    batch_id = sim.add_batch()
    if used_before:
        await view.batches.get(batch_id)
    await client.close()
    for call in (
        view.batches.get(batch_id),
        view.batches.wait_until_ready(batch_id),
        view.batches.get_or_duplicate(batch_id, name="Round 2"),
        view.workspaces.list(),
        view.__aenter__(),
        client.with_options(**options).batches.get(batch_id),
    ):
        with pytest.raises(ConfigurationError, match="closed"):
            await call


async def test_closing_the_client_ends_requests_of_views(sim: Simulator) -> None:
    client = ProlificClient(sim.token, base_url=sim.url, retry=ONCE)
    view = client.with_options(request_timeout=50)
    batch_id = sim.add_batch()
    sim.inject("GET", "/status", Fault(delay=50))
    call = asyncio.ensure_future(outcome_of(view.batches.get_status(batch_id)))
    while not sim.in_flight:
        await asyncio.sleep(0.001)
    await client.close()
    assert isinstance(await call, ConnectionLostError)


@pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"
)  # as the loops end without the client
def test_a_view_follows_its_client_into_another_loop() -> None:
    with Simulator() as sim:
        batch_id = sim.add_batch()
        client = ProlificClient(sim.token, base_url=sim.url)
        view = client.with_options(request_timeout=5)

        async def get(*clients: ProlificClient) -> None:
            for one in clients:
                assert (await one.batches.get(batch_id)).id == batch_id

        asyncio.run(get(view, client))
        asyncio.run(get(view))
        asyncio.run(get(client, view))

        async def close() -> None:
            await client.close()

        asyncio.run(close())
    gc.collect()


async def test_a_view_in_another_loop_than_its_client_is_refused(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    await client.batches.get(batch_id)
    view = client.with_options(request_timeout=5)
    with pytest.raises(ConfigurationError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, view.batches.get(batch_id))


async def test_a_view_borrows_what_its_client_borrowed(sim: Simulator) -> None:
    batch_id = sim.add_batch()
    async with aiohttp.ClientSession() as session:
        async with ProlificClient(sim.token, base_url=sim.url, session=session) as client:
            view = client.with_options(request_timeout=5)
            assert (await view.batches.get(batch_id)).id == batch_id
        assert not session.closed


async def test_a_view_for_each_call_leaves_nothing(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    left = []
    for seconds in range(1, 20):
        view = client.with_options(request_timeout=seconds)
        await view.batches.get(batch_id)
        left.append(ref(view))
    del view
    gc.collect()
    assert [one for one in left if one() is not None] == []
    session = client._transport._session
    assert session is not None
    await client.close()
    assert len(session.time_limits) == 0


def test_invalid_options_are_a_value_error(sim: Simulator) -> None:
    client = ProlificClient(sim.token, base_url=sim.url)
    for options in (
        {"request_timeout": 0},
        {"request_timeout": "5"},
        {"retry": PollPolicy()},
        {"poll": RetryPolicy()},
    ):
        with pytest.raises(ValueError, match=r"request_timeout|retry must be"):
            client.with_options(**options)


def test_a_view_shows_its_client_and_not_the_token(sim: Simulator) -> None:
    view = ProlificClient(sim.token, base_url=sim.url).with_options(request_timeout=5)
    assert repr(view) == f"<ProlificClient {sim.url}>"
    with pytest.raises(TypeError, match="cannot be pickled"):
        view.__reduce__()


async def test_a_view_of_a_subclass_is_one(sim: Simulator) -> None:
    class Ours(ProlificClient):
        tag = ""

    async with Ours(sim.token, base_url=sim.url) as client:
        client.tag = "ours"
        view = client.with_options(retry=ONCE)
        assert isinstance(view, Ours)
        assert view.tag == "ours"
