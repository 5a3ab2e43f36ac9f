"""Sessions and callbacks of the application that read responses, change requests or close it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from prolific_async import (
    BadRequestError,
    BatchStatus,
    ConfigurationError,
    ConnectionLostError,
    NotFoundError,
    ProlificClient,
    RetryPolicy,
)
from prolific_async._api import batches as api
from tests.http.raw import failure, plain, serving, transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from prolific_async.simulator import Simulator

SET_UP = api.set_up_batch("b1", tasks_per_group=5)
ONCE_MORE = RetryPolicy(initial=0.001, maximum=0.002)


class Signed(aiohttp.ClientRequest):
    """A request that sends another body than it is given, as one that signs bodies does."""

    def update_body_from_data(self, body: Any, *args: Any, **options: Any) -> None:
        content = bytes(body._value) if isinstance(body, aiohttp.BytesPayload) else body
        super().update_body_from_data(content, *args, **options)


def signed() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(request_class=Signed)


def signing() -> aiohttp.ClientSession:
    with pytest.warns(DeprecationWarning, match="Inheritance"):

        class Signing(aiohttp.ClientSession):
            """A session that sends another body than it is given."""

            async def _request(self, method: Any, url: Any, **options: Any) -> Any:  # type: ignore[override]
                if options.get("data") is not None:
                    options["data"] = bytes(options["data"]._value)
                return await super()._request(method, url, **options)

    return Signing()


@pytest.mark.parametrize("made", [signed, signing])
async def test_a_post_whose_body_is_replaced_is_sent_once(
    made: Callable[[], aiohttp.ClientSession],
) -> None:
    async def read_and_close(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with serving(read_and_close) as (url, heads), made() as session:
        error = await failure(url, SET_UP, session=session, retry=ONCE_MORE)
    assert (type(error), len(heads)) == (ConnectionLostError, 1)


@pytest.mark.parametrize("made", [signed, signing])
async def test_a_late_body_of_the_response_to_such_a_post_is_read(
    made: Callable[[], aiohttp.ClientSession],
) -> None:
    async def late(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = plain(b'{"title": "no"}', status="400 No").split(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        await asyncio.sleep(0.02)
        writer.write(body)

    async with serving(late) as (url, heads), made() as session:
        error = await failure(url, SET_UP, session=session, retry=ONCE_MORE)
    assert (type(error), len(heads)) == (BadRequestError, 1)


async def reads_body(_session: object, _context: object, params: Any) -> None:
    await params.response.text()


async def reading(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    response = await handler(request)
    await response.text()
    return response


def traced() -> aiohttp.ClientSession:
    config = aiohttp.TraceConfig()
    config.on_request_end.append(reads_body)
    return aiohttp.ClientSession(trace_configs=[config])


def with_middleware() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(middlewares=(reading,))


@pytest.fixture(params=[traced, with_middleware])
async def read_before(
    request: pytest.FixtureRequest, sim: Simulator
) -> AsyncIterator[ProlificClient]:
    """A client of a session that reads each response, to log it, before the client does."""
    async with request.param() as session:
        client = ProlificClient(
            sim.token, base_url=sim.url, session=session, retry=RetryPolicy(max_attempts=1)
        )
        async with client:
            yield client


async def test_a_response_that_a_callback_has_read_is_read(
    sim: Simulator, read_before: ProlificClient
) -> None:
    source = sim.add_batch("Round 1", datapoints=3)
    batches = read_before.batches
    assert await batches.get_status(source) is BatchStatus.UNINITIALISED
    copy = await batches.duplicate(source, name="Round 2")
    await batches.setup(copy)
    assert [one.id for one in await batches.list(sim.workspace_id)] == [source, copy.id]
    assert (await batches.find_copies(source, name="Round 2")).ids == (copy.id,)
    with pytest.raises(NotFoundError, match=r"was answered with 404 \("):
        await batches.get("nope")


async def test_a_stream_that_a_callback_has_read_is_read(
    sim: Simulator, read_before: ProlificClient
) -> None:
    batch_id = sim.add_batch(status="READY", datapoints=3)
    sim.answer(batch_id, participants=2)
    shown = [one async for one in read_before.batches.responses(batch_id)]
    async with ProlificClient(sim.token, base_url=sim.url) as other:
        assert shown == [one async for one in other.batches.responses(batch_id)]
    assert len(shown) == 2


@pytest.mark.parametrize("left_out", [(), ("Content-Type",)])
async def test_the_content_type_of_a_session_does_not_replace_that_of_a_body(
    left_out: tuple[str, ...],
) -> None:
    async with (
        serving(plain(b"{}")) as (url, heads),
        aiohttp.ClientSession(
            headers={"Content-Type": "text/plain"}, skip_auto_headers=left_out
        ) as session,
    ):
        await transport(url, session=session).send(SET_UP)
    assert heads[0].lower().count(b"content-type:") == 1
    assert b"\r\nContent-Type: application/json\r\n" in heads[0]


async def test_a_middleware_may_send_a_get_twice_at_once(sim: Simulator) -> None:
    async def hedge(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        tries = {asyncio.ensure_future(handler(request)) for _ in range(2)}
        done, rest = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
        for one in rest:
            one.cancel()
        await asyncio.wait(tries)
        return done.pop().result()

    batch_id = sim.add_batch()
    async with aiohttp.ClientSession(middlewares=(hedge,)) as session:
        client = ProlificClient(sim.token, base_url=sim.url, session=session)
        for _ in range(3):
            assert await client.batches.get_status(batch_id) is BatchStatus.UNINITIALISED
        await client.close()


async def test_a_callback_that_closes_the_client_leaves_no_cancellation(sim: Simulator) -> None:
    batch_id = sim.add_batch()
    config = aiohttp.TraceConfig()

    async def close(*_: object) -> None:
        await client.close()

    config.on_request_end.append(close)
    async with aiohttp.ClientSession(trace_configs=[config]) as session:
        client = ProlificClient(sim.token, base_url=sim.url, session=session)
        assert await client.batches.get_status(batch_id) is BatchStatus.UNINITIALISED
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)  # where a cancellation would be raised


async def test_a_callback_that_closes_the_client_before_the_response_ends_the_request(
    sim: Simulator,
) -> None:
    config = aiohttp.TraceConfig()

    async def close(*_: object) -> None:
        await client.close()

    config.on_request_headers_sent.append(close)
    batch_id = sim.add_batch()
    async with aiohttp.ClientSession(trace_configs=[config]) as session:
        client = ProlificClient(sim.token, base_url=sim.url, session=session)
        with pytest.raises(ConfigurationError, match="closed"):
            await client.batches.get_status(batch_id)
