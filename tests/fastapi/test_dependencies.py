"""The lifespan, its one client, and the dependencies of routes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from fastapi import APIRouter, FastAPI, Request

from prolific_async import ConfigurationError, ProlificClient
from prolific_async.fastapi import Client, exception_handlers, get_client, lifespan
from prolific_async.simulator import Simulator
from tests.fastapi.conftest import Make
from tests.fastapi.example.app import create_app
from tests.fastapi.serving import PATIENCE, Browser, open_files, serving


def usable(client: ProlificClient) -> bool:
    return not client._transport.is_closed


async def test_one_client_lives_as_long_as_the_application(
    make_client: Make, session: aiohttp.ClientSession
) -> None:
    seen: list[ProlificClient] = []
    app = FastAPI(lifespan=lifespan(client=make_client))

    @app.get("/")
    async def route(client: Client) -> None:
        assert usable(client)
        seen.append(client)

    for _ in range(2):  # an application may start again, as one under test does
        async with serving(app) as url:
            for _ in range(2):
                assert (await session.get(url)).status == 200
    assert len(seen) == 4
    assert len(set(map(id, seen))) == 2
    assert not any(map(usable, seen))


async def test_the_applications_own_lifespan_runs_inside(
    make_client: Make, session: aiohttp.ClientSession
) -> None:
    made: list[ProlificClient] = []
    was_usable: list[bool] = []

    def make() -> ProlificClient:
        made.append(make_client())
        return made[-1]

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        was_usable.append(usable(made[0]))
        yield {"own": app.title}
        was_usable.append(usable(made[0]))

    app = FastAPI(title="mine", lifespan=lifespan(own, client=make))

    @app.get("/")
    async def route(request: Request, client: Client) -> list[Any]:
        return [request.state.own, client is made[0]]

    async with serving(app) as url, session.get(url) as answer:
        assert await answer.json() == ["mine", True]
    assert was_usable == [True, True]
    assert not usable(made[0])


@asynccontextmanager
async def nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def test_the_applications_own_lifespan_may_yield_nothing_or_the_client(
    make_client: Make,
) -> None:
    @asynccontextmanager
    async def itself(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with make_client() as client:
            yield {"prolific_client": client}

    async with lifespan(nothing, client=make_client)(FastAPI()) as state:
        assert isinstance(state["prolific_client"], ProlificClient)
    async with serving(FastAPI(lifespan=itself)):
        pass


async def test_the_client_is_closed_when_the_application_fails(make_client: Make) -> None:
    client = make_client()

    @asynccontextmanager
    async def own(_app: FastAPI) -> AsyncIterator[None]:
        raise LookupError
        yield

    with pytest.raises(LookupError):
        async with lifespan(own, client=lambda: client)(FastAPI()):
            pass
    assert not usable(client)


async def test_no_token_fails_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="PROLIFIC_TOKEN"):
        async with lifespan()(FastAPI()):
            pass


def test_likely_mistakes_are_refused_at_once(make_client: Make) -> None:
    with pytest.raises(ValueError, match=r"FastAPI\(lifespan=lifespan\(\)\)"):
        lifespan(FastAPI())  # type: ignore[arg-type] # what lifespan=lifespan comes to
    with pytest.raises(ValueError, match="client must be a function that makes a ProlificClient"):
        lifespan(client=make_client())  # type: ignore[arg-type]


async def test_a_router_may_have_the_lifespan(
    make_client: Make, session: aiohttp.ClientSession
) -> None:
    router = APIRouter(lifespan=lifespan(client=make_client))

    @router.get("/")
    async def route(client: Client) -> bool:
        return usable(client)

    app = FastAPI()
    app.include_router(router)
    async with serving(app) as url, session.get(url) as answer:
        assert await answer.json() is True


async def test_each_application_of_a_process_has_its_own_client(
    make_client: Make, session: aiohttp.ClientSession
) -> None:
    def make() -> FastAPI:
        app = FastAPI(lifespan=lifespan(client=make_client))

        @app.get("/")
        async def route(client: Client) -> int:
            return id(client)

        return app

    async with (
        serving(make()) as one,
        serving(make()) as other,
        session.get(one) as first,
        session.get(other) as second,
    ):
        assert await first.json() != await second.json()


async def test_an_idle_client_costs_nothing(make_client: Make) -> None:
    before = asyncio.all_tasks(), open_files()
    async with lifespan(client=make_client)(FastAPI()) as state:
        for _ in range(3):
            await asyncio.sleep(0)
        assert (asyncio.all_tasks(), open_files()) == before
        assert state["prolific_client"]._transport._session is None


def test_an_idle_client_imports_little() -> None:
    script = """
import asyncio, sys
from fastapi import FastAPI
import prolific_async.fastapi
before = set(sys.modules)
async def main():
    async with prolific_async.fastapi.lifespan()(FastAPI()):
        await asyncio.sleep(0)
asyncio.run(main())
after = set(sys.modules)
new = {name.partition(".")[0] for name in after - before}
assert new <= {"cattrs", "prolific_async"}, new
late = {"backoff", "prolific_async._polling.poller", "prolific_async.simulator", "uvicorn"}
assert not late & after, late & after
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=os.environ | {"PROLIFIC_TOKEN": "t"},
        check=True,
        timeout=PATIENCE,
    )


def test_without_the_extra_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['fastapi'] = None; import prolific_async.fastapi"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    needed = "needs the extra [fastapi]: install prolific_async with it, see README"
    assert f"ImportError: prolific_async.fastapi {needed}" in done.stderr


async def test_a_missing_lifespan_is_reported(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.get("/")
    async def route(client: Client) -> None: ...

    async with serving(app) as url, session.get(url) as answer:
        assert (answer.status, (await answer.json())["code"]) == (500, "misconfigured")
    assert "lifespan=prolific_async.fastapi.lifespan()" in caplog.text


async def test_a_mounted_application_has_the_same_client(
    make_client: Make, session: aiohttp.ClientSession
) -> None:
    outer, inner = FastAPI(lifespan=lifespan(client=make_client)), FastAPI()
    outer.mount("/inner", inner)

    @inner.get("/")
    async def route(client: Client) -> bool:
        return usable(client)

    async with serving(outer) as url, session.get(f"{url}/inner/") as answer:
        assert await answer.json() is True


async def test_a_test_may_override_the_client(
    client: ProlificClient, make_client: Make, session: aiohttp.ClientSession
) -> None:
    app = FastAPI(lifespan=lifespan(client=make_client))

    @app.get("/")
    async def route(client: Client) -> int:
        return id(client)

    app.dependency_overrides[get_client] = lambda: client
    async with serving(app) as url, session.get(url) as answer:
        assert await answer.json() == id(client)


async def test_wait_events_use_the_client_of_an_override(
    sim: Simulator, source: str, client: ProlificClient, session: aiohttp.ClientSession
) -> None:
    app = create_app()
    app.router.lifespan_context = nothing  # as under a transport that runs no lifespan
    app.dependency_overrides[get_client] = lambda: client
    async with serving(app) as url:
        browser = Browser(session, f"{url}/copies/{source}/events")
        await browser.watch()
    assert browser.statuses == ["READY"]


async def test_a_websocket_route_has_the_client(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    batch_id = sim.add_batch(status="PROCESSING")
    async with session.ws_connect(f"{backend}/copies/{batch_id}/status") as socket:
        told = [message.json() async for message in socket]
    assert [poll["status"] for poll in told] == ["PROCESSING", "PROCESSING", "READY"]
