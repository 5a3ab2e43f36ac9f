"""Server-sent events of waits, read by a client that follows the standard."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

import aiohttp
import fastapi.routing
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.middleware.base import RequestResponseEndpoint

from prolific_async import Batch, ConnectError, PollPolicy, ProlificClient
from prolific_async.fastapi import Client, WaitEvents, exception_handlers, lifespan
from prolific_async.simulator import Fault, Simulator
from tests.fastapi.conftest import PATIENT_POLL, Make, endless
from tests.fastapi.example.app import create_app
from tests.fastapi.serving import (
    PATIENCE,
    Browser,
    Connection,
    Event,
    open_files,
    serving,
    tasks,
    until,
)


def processing(sim: Simulator) -> str:
    return sim.add_batch("Round 2", status="PROCESSING")


async def quiet(sim: Simulator) -> None:
    """Return once no request has come for ten times a poll's gap."""
    async with asyncio.timeout(PATIENCE):
        before = -1
        while sim.in_flight or len(sim.requests) != before:
            before = len(sim.requests)
            for _ in range(10):
                await asyncio.sleep(PATIENT_POLL.maximum)


async def test_each_poll_is_an_event_before_the_end(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    batch_id = processing(sim)
    browser = Browser(session, f"{backend}/copies/{batch_id}/events")
    await browser.watch()
    assert browser.statuses == ["PROCESSING", "PROCESSING", "READY"]
    first, *_, ready, end = browser.events
    assert first.data.keys() == {
        "batch_id", "status", "previous", "polls", "elapsed", "next_in", "error"
    }  # fmt: skip
    assert (ready.data["batch_id"], ready.data["next_in"]) == (batch_id, None)
    assert (end.kind, end.data) == ("end", {"ready": 1, "failed": 0})
    assert browser.told_retry is not None
    assert 1000 <= browser.told_retry <= 3000


async def test_a_browser_that_reconnects_after_the_end_is_stopped(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    browser = Browser(session, f"{backend}/copies/{processing(sim)}/events")
    await browser.watch()
    polls = len(sim.requests)
    assert browser.answers == [200, 204]
    await quiet(sim)
    assert len(sim.requests) == polls


@pytest.mark.parametrize("poll", [PollPolicy(initial=1e6, maximum=1e6, timeout=None)])
async def test_a_stream_is_kept_alive(
    sim: Simulator,
    backend: str,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.01)
    browser = Browser(session, f"{backend}/copies/{endless(sim)}/events")
    watching = asyncio.create_task(browser.watch())
    await until(lambda: browser.pings >= 2)
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_failed_event_holds_none_of_the_services_text(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    batch_id = processing(sim)
    sim.fail(batch_id)
    secret = {"error": {"title": "t", "detail": f"secret {sim.token}", "error_code": 7}}
    sim.inject("GET", "/status", Fault(500, body=secret))
    browser = Browser(session, f"{backend}/copies/{batch_id}/events")
    await browser.watch()
    *polls, failed, end = browser.events
    assert polls[0].data["error"] == "Prolific gave no answer that can be used."
    assert polls[1].data["error"] is None
    assert failed.kind == "failed"
    assert failed.data.pop("elapsed") > 0
    assert failed.data == {
        "batch_id": batch_id,
        "last_status": "ERROR",
        "polls": len(polls),
        "code": "batch_failed",
        "detail": "Prolific could not build this batch's tasks: fix its dataset or upload another "
        "one, and set up a duplicate.",
    }
    assert end.data == {"ready": 0, "failed": 1}
    assert "secret" not in str(browser.events)
    assert browser.answers[-1] == 204


@pytest.mark.parametrize("poll", [PollPolicy(initial=0.01, maximum=0.01, timeout=0.05)])
async def test_a_time_out_ends_the_stream(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    batch_id = endless(sim)
    browser = Browser(session, f"{backend}/copies/{batch_id}/events")
    await browser.watch()
    failed = browser.events[-2]
    assert failed.data["code"] == "not_ready_in_time"
    assert browser.answers == [200, 204]


async def test_an_unknown_batch_is_a_failed_event(
    backend: str, session: aiohttp.ClientSession
) -> None:
    browser = Browser(session, f"{backend}/copies/nobody's/events")
    await browser.watch()
    assert browser.events[-2].data["code"] == "no_such_batch"


async def test_an_unknown_batch_among_many_is_a_failed_event(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    known = sim.add_batch(status="READY")
    browser = Browser(session, f"{backend}/copies/events?batch=nobody's&batch={known}")
    await browser.watch()
    [failed] = [event for event in browser.events if event.kind == "failed"]
    assert failed.data["code"] == "no_such_batch"


async def test_many_batches_share_a_stream(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    good, bad, last = processing(sim), processing(sim), endless(sim)
    sim.fail(bad)
    browser = Browser(session, f"{backend}/copies/events?batch={good}&batch={bad}&batch={last}")
    watching = asyncio.create_task(browser.watch())
    await until(lambda: any(event.kind == "failed" for event in browser.events))
    assert [event.data["batch_id"] for event in browser.events if event.kind == "failed"] == [bad]
    sim.set_status(last, "READY")
    await watching
    ready = {e.data["batch_id"] for e in browser.events if e.data.get("status") == "READY"}
    assert ready == {good, last}
    assert browser.events[-1].data == {"ready": 2, "failed": 1}


async def test_a_browser_that_goes_away_ends_only_its_own_wait(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    batch_id = endless(sim)
    url = f"{backend}/copies/{batch_id}/events"
    leaving, staying = Browser(session, url), Browser(session, url)
    watching = asyncio.create_task(staying.watch())
    await leaving.until("status")
    seen = len(staying.events)
    await until(lambda: len(staying.events) >= seen + 3)
    sim.set_status(batch_id, "READY")
    await watching
    assert staying.answers == [200, 204]
    assert staying.statuses[-1] == "READY"
    assert "READY" not in leaving.statuses


async def test_the_last_browser_leaves_no_wait(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    batch_id = endless(sim)
    url = f"{backend}/copies/{batch_id}/events"
    await quiet(sim)
    before, files = tasks(), open_files()
    await asyncio.gather(*(Browser(session, url).until("status") for _ in range(9)))
    # Both ends of a connection that the client keeps stay.
    await until(lambda: tasks() == before and open_files() <= files + 2)
    await quiet(sim)


async def test_a_browser_that_stops_reading_and_goes_away_leaves_no_wait(
    sim: Simulator, source: str, client: ProlificClient
) -> None:
    batch_id = endless(sim)
    connection = Connection()
    before = tasks()
    request = asyncio.create_task(
        connection.get(create_app(PATIENT_POLL), f"/copies/{batch_id}/events", client)
    )
    await asyncio.wait_for(connection.stuck.wait(), PATIENCE)
    await until(lambda: len(sim.requests) >= 5)  # more than FastAPI takes in ahead
    sim.inject("GET", f"/{batch_id}/status", Fault(delay=60))
    await until(lambda: sim.in_flight)
    connection.goes_away.set()
    # Of some versions of FastAPI, whose own pings notice that nobody reads any more.
    with contextlib.suppress(ExceptionGroup):
        await asyncio.wait_for(request, PATIENCE)
    await until(lambda: tasks() == before)
    await quiet(sim)


@pytest.mark.slow
async def test_newer_events_replace_those_that_a_slow_browser_has_not_read(
    sim: Simulator, source: str, client: ProlificClient
) -> None:
    batch_id = endless(sim)
    connection = Connection()
    request = asyncio.create_task(
        connection.get(create_app(PATIENT_POLL), f"/copies/{batch_id}/events", client)
    )
    await until(lambda: len(sim.requests) >= 40)
    sim.set_status(batch_id, "READY")
    await quiet(sim)
    connection.reads.set()
    await asyncio.wait_for(request, PATIENCE)
    polls = [line for line in connection.body.splitlines() if b'"status"' in line]
    assert len(polls) <= 8  # FastAPI takes in a few ahead
    assert b'"status": "READY"' in polls[-1]
    assert b"event: end" in connection.body


async def test_waits_of_a_browser_that_has_gone_end_behind_a_middleware(
    sim: Simulator, source: str, make_client: Make, session: aiohttp.ClientSession
) -> None:
    app = create_app(PATIENT_POLL, make_client)

    @app.middleware("http")
    async def passes_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    async with serving(app) as url:
        await Browser(session, f"{url}/copies/{endless(sim)}/events").until("status")
        await quiet(sim)


async def test_a_service_that_stops_ends_streams_without_an_end(
    sim: Simulator, source: str, make_client: Make, session: aiohttp.ClientSession
) -> None:
    batch_id = endless(sim)
    client = make_client()
    async with serving(create_app(client=lambda: client)) as url:
        browser = Browser(session, f"{url}/copies/{batch_id}/events", retry=60)
        watching = asyncio.create_task(browser.watch())
        await until(lambda: browser.events)
        await client.close()
        await quiet(sim)
        assert {event.kind for event in browser.events} == {"status"}
        assert (browser.last_id, watching.done()) == ("", False)
        watching.cancel()
        await asyncio.wait([watching])


async def test_many_browsers_of_one_batch_share_its_polls(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    batch_id = endless(sim)
    browsers = [Browser(session, f"{backend}/copies/{batch_id}/events") for _ in range(20)]
    watching = [asyncio.create_task(browser.watch()) for browser in browsers]

    def polls() -> list[int]:
        """Return the number of polls that the last event of each wait states."""
        return [browser.events[-1].data["polls"] if browser.events else 0 for browser in browsers]

    # However slowly they came, for most of the time all have been there.
    await until(lambda: min(polls()) >= 5 and min(polls()) >= max(polls()) / 2)
    assert len(sim.requests) <= sum(polls()) / 4
    sim.set_status(batch_id, "READY")
    await asyncio.gather(*watching)
    assert {browser.statuses[-1] for browser in browsers} == {"READY"}


Given = Iterable[str] | AsyncIterable[str] | AsyncIterable[Batch]


def streaming(make_client: Make, given: Callable[[ProlificClient], Given]) -> FastAPI:
    """Return an application that streams the waits of an iterable."""
    app = FastAPI(lifespan=lifespan(client=make_client), exception_handlers=exception_handlers)

    @app.get("/events", response_class=EventSourceResponse)
    async def events(client: Client, wait_events: WaitEvents) -> AsyncIterator[ServerSentEvent]:
        async for event in wait_events(given(client), poll=PATIENT_POLL):
            yield event

    return app


async def test_a_page_may_connect_before_the_first_batch_exists(
    sim: Simulator, source: str, make_client: Make, session: aiohttp.ClientSession
) -> None:
    exists, is_last = asyncio.Event(), asyncio.Event()

    async def copies(client: ProlificClient) -> AsyncIterator[Batch]:
        await exists.wait()
        copy = await client.batches.duplicate(source, name="Round 2")
        await copy.setup()
        yield copy
        await is_last.wait()

    async with serving(streaming(make_client, copies)) as url:
        browser = Browser(session, f"{url}/events")
        watching = asyncio.create_task(browser.watch())
        await until(lambda: browser.told_retry is not None)
        assert not browser.events
        exists.set()
        await until(lambda: browser.statuses[-1:] == ["READY"])
        await quiet(sim)
        assert {event.kind for event in browser.events} == {"status"}  # more batches may come
        is_last.set()
        await watching
    assert browser.events[-1] == Event("end", {"ready": 1, "failed": 0}, "end")
    assert browser.answers == [200, 204]


async def test_an_async_iterable_that_brings_nothing_ends_the_stream(
    sim: Simulator, make_client: Make, session: aiohttp.ClientSession
) -> None:
    async def nothing(_client: ProlificClient) -> AsyncIterator[str]:
        return
        yield

    async with serving(streaming(make_client, nothing)) as url:
        browser = Browser(session, f"{url}/events")
        await browser.watch()
    assert [event.data for event in browser.events] == [{"ready": 0, "failed": 0}]


async def test_batches_may_come_in_a_plain_iterable(
    sim: Simulator, make_client: Make, session: aiohttp.ClientSession
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(3)]
    async with serving(streaming(make_client, lambda _: iter(ids))) as url:
        browser = Browser(session, f"{url}/events")
        await browser.watch()
    assert browser.events[-1].data == {"ready": 3, "failed": 0}


class Upstream(Exception):  # noqa: N818 - of an application
    pass


@pytest.mark.parametrize("error", [Upstream("secret"), ConnectError("GET", "/secret", "refused")])
async def test_an_error_of_the_iterable_ends_no_wait_and_is_told(
    sim: Simulator,
    make_client: Make,
    session: aiohttp.ClientSession,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batch_id = endless(sim)

    async def breaks_off(_client: ProlificClient) -> AsyncIterator[str]:
        yield batch_id
        raise error

    async with serving(streaming(make_client, breaks_off)) as url:
        browser = Browser(session, f"{url}/events")
        watching = asyncio.create_task(browser.watch())
        await until(lambda: "incomplete" in [event.kind for event in browser.events])
        sim.set_status(batch_id, "READY")
        await watching
    [told] = [event.data for event in browser.events if event.kind == "incomplete"]
    codes = {Upstream: "source_failed", ConnectError: "unreachable"}
    assert told["code"] == codes[type(error)]
    assert "secret" not in str(browser.events)
    assert browser.statuses[-1] == "READY"
    assert browser.events[-1].data == {"ready": 1, "failed": 0}
    assert [record.exc_info and record.exc_info[1] for record in caplog.records] == [error]


async def test_an_invalid_id_in_an_async_iterable_fails_alone(
    sim: Simulator, make_client: Make, session: aiohttp.ClientSession
) -> None:
    known = sim.add_batch(status="READY")

    async def ids(_client: ProlificClient) -> AsyncIterator[str]:
        yield ".."
        yield known

    async with serving(streaming(make_client, ids)) as url:
        browser = Browser(session, f"{url}/events")
        await browser.watch()
    [failed] = [event.data for event in browser.events if event.kind == "failed"]
    assert (failed["batch_id"], failed["code"]) == ("..", "no_such_batch")
    assert browser.events[-1].data == {"ready": 1, "failed": 1}


@pytest.mark.parametrize("waits", [False, True], ids=["at its yield", "at its await"])
async def test_the_generator_is_closed_when_the_browser_leaves(
    sim: Simulator, make_client: Make, session: aiohttp.ClientSession, *, waits: bool
) -> None:
    batch_id = endless(sim)
    closed: list[str] = []

    async def ids(_client: ProlificClient) -> AsyncIterator[str]:
        try:
            while True:
                yield batch_id
                if waits:
                    await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.append("yes")

    async with serving(streaming(make_client, ids)) as url:
        await quiet(sim)
        before = tasks()
        await Browser(session, f"{url}/events").until("status")
        await until(lambda: closed)
        await until(lambda: tasks() == before)
        assert closed == ["yes"]


async def test_a_client_that_is_closed_before_a_batch_comes_ends_the_stream_without_an_end(
    sim: Simulator, make_client: Make, session: aiohttp.ClientSession
) -> None:
    asked = asyncio.Event()

    async def late(client: ProlificClient) -> AsyncIterator[str]:
        asked.set()
        await client.close()
        yield "late"

    async with serving(streaming(make_client, late)) as url:
        browser = Browser(session, f"{url}/events", retry=PATIENCE)
        watching = asyncio.create_task(browser.watch())
        await until(lambda: browser.told_retry is not None)
        await asked.wait()
        await quiet(sim)
        watching.cancel()
        await asyncio.wait([watching])
    assert (browser.events, browser.last_id) == ([], "")
