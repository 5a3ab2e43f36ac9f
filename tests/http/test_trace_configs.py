"""Exceptions of a TraceConfig: no copy is lost and no wait spins."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from prolific_async import (
    ConfigurationError,
    ConnectError,
    OutcomeUnknownError,
    PollPolicy,
    ProlificClient,
    RateLimitedError,
    RequestTimeoutError,
    TransportError,
    WaitFailedError,
)
from prolific_async.simulator import Simulator
from tests.conftest import QUICK_RETRY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

RAISED: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError("of the trace"),
    "ValueError": lambda: ValueError("of the trace"),
    "MemoryError": MemoryError,
    "CancelledError": asyncio.CancelledError,
    "TimeoutError": TimeoutError,
    "OSError": lambda: OSError("of the trace"),
    "ClientError": lambda: aiohttp.ClientError("of the trace"),
}
# Of another call that a callback made; after such an error of its own, a POST would be sent again.
OF_ANOTHER_CALL: dict[str, Callable[[], BaseException]] = {
    "ConfigurationError": lambda: ConfigurationError("of the trace"),
    "ConnectError": lambda: ConnectError("GET", "/other", "of the trace"),
    "RateLimitedError": lambda: RateLimitedError(
        429, "GET", "/other", None, None, None, None, None, {}
    ),
    "RequestTimeoutError": lambda: RequestTimeoutError("GET", "/other", "of the trace"),
}
# The request may have left before these are called.
LATE = ["on_request_chunk_sent", "on_request_end"]
EARLY = ["on_request_start", "on_request_headers_sent"]


def trace(hook: str, error: Callable[[], BaseException], *methods: str) -> aiohttp.TraceConfig:
    """Return a trace config whose hook raises at each request with one of the methods."""

    async def broken(_: object, __: object, params: Any) -> None:
        if params.method in methods:
            raise error()

    config = aiohttp.TraceConfig()
    getattr(config, hook).append(broken)
    return config


@asynccontextmanager
async def traced(
    sim: Simulator, config: aiohttp.TraceConfig, *, borrowed: bool = False
) -> AsyncIterator[ProlificClient]:
    settings: dict[str, Any] = {"base_url": sim.url, "retry": QUICK_RETRY, "request_timeout": 2}
    if borrowed:
        async with (
            aiohttp.ClientSession(trace_configs=[config]) as session,
            ProlificClient(sim.token, session=session, **settings) as client,
        ):
            yield client
    else:
        async with ProlificClient(sim.token, trace_configs=[config], **settings) as client:
            yield client


def sent(sim: Simulator, method: str) -> int:
    return sum(seen.method == method for seen in sim.requests)


@pytest.mark.parametrize("borrowed", [True, False])
@pytest.mark.parametrize("hook", LATE)
@pytest.mark.parametrize("error", RAISED.values(), ids=RAISED)
async def test_a_copy_is_found_if_a_trace_raises_after_it_was_made(
    error: Callable[[], BaseException],
    hook: str,
    borrowed: bool,  # noqa: FBT001 - a case
    sim: Simulator,
) -> None:
    source = sim.add_batch("Original")
    async with traced(sim, trace(hook, error, "POST"), borrowed=borrowed) as client:
        call = client.batches.duplicate(source, name="Round 2")
        if hook == "on_request_end":
            assert {(await call).id, source} == set(sim.batches)
        else:  # it is called before the body goes out
            with pytest.raises(OutcomeUnknownError):
                await call
    assert sent(sim, "POST") <= 1


@pytest.mark.parametrize("error", RAISED.values(), ids=RAISED)
async def test_an_unknown_outcome_has_the_exception_of_the_trace_as_cause(
    error: Callable[[], BaseException], sim: Simulator
) -> None:
    source = sim.add_batch("Original")
    async with traced(sim, trace("on_request_end", error, "POST")) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.batches.duplicate(source)
    assert {one.id for one in caught.value.candidates} == set(sim.batches) - {source}
    failure = caught.value.__cause__
    assert isinstance(failure, TransportError)
    assert type(failure.__cause__) is type(error())
    assert "may have run" in str(failure)
    assert sent(sim, "POST") == 1


@pytest.mark.parametrize("error", RAISED.values(), ids=RAISED)
async def test_the_outcome_is_unknown_if_a_trace_breaks_the_search_too(
    error: Callable[[], BaseException], sim: Simulator
) -> None:
    source = sim.add_batch("Original")
    async with traced(sim, trace("on_request_end", error, "POST", "GET")) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.batches.duplicate(source, name="Round 2")
        with pytest.raises(OutcomeUnknownError):
            await client.batches.setup(source)
    assert sent(sim, "POST") == 2


@pytest.mark.parametrize("error", RAISED.values(), ids=RAISED)
async def test_a_setup_is_accepted_once(error: Callable[[], BaseException], sim: Simulator) -> None:
    source = sim.add_batch("Original")
    async with traced(sim, trace("on_request_end", error, "POST")) as client:
        await client.batches.setup(source)
    assert sent(sim, "POST") == 1


@pytest.mark.parametrize("borrowed", [True, False])
@pytest.mark.parametrize("error", OF_ANOTHER_CALL.values(), ids=OF_ANOTHER_CALL)
async def test_an_error_of_another_call_does_not_send_a_post_again(
    error: Callable[[], BaseException],
    borrowed: bool,  # noqa: FBT001 - a case
    sim: Simulator,
) -> None:
    source = sim.add_batch("Original")
    async with traced(sim, trace("on_request_end", error, "POST"), borrowed=borrowed) as client:
        copy = await client.batches.duplicate(source, name="Round 2")
        assert {copy.id, source} == set(sim.batches)
        await copy.setup()
    assert sent(sim, "POST") == 2


@pytest.mark.parametrize("hook", [*EARLY, "on_request_end"])
@pytest.mark.parametrize("error", OF_ANOTHER_CALL.values(), ids=OF_ANOTHER_CALL)
async def test_an_error_of_another_call_fails_a_poll(
    error: Callable[[], BaseException], hook: str, sim: Simulator
) -> None:
    policy = PollPolicy(initial=0.01, maximum=0.02, max_consecutive_failures=3)
    source = sim.add_batch("Original", status="PROCESSING")
    async with traced(sim, trace(hook, error, "GET")) as client:
        with pytest.raises(WaitFailedError) as caught:
            await client.batches.wait_until_ready(source, timeout=5, poll=policy)
    assert caught.value.polls == 4


@pytest.mark.parametrize("hook", EARLY)
@pytest.mark.parametrize(
    "error", [*RAISED.values(), *OF_ANOTHER_CALL.values()], ids=[*RAISED, *OF_ANOTHER_CALL]
)
async def test_a_trace_that_raises_before_the_request_is_a_connect_error(
    error: Callable[[], BaseException], hook: str, sim: Simulator
) -> None:
    source = sim.add_batch("Original")
    async with traced(sim, trace(hook, error, "POST")) as client:
        with pytest.raises(ConnectError) as caught:
            await client.batches.duplicate(source, name="Round 2")
    assert isinstance(caught.value.__cause__, type(error()))
    assert sim.requests == ()


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, MemoryError])
async def test_a_get_raises_the_exception_of_a_trace_unchanged(
    kind: type[Exception], sim: Simulator
) -> None:
    source = sim.add_batch("Original")
    error = kind()
    async with traced(sim, trace("on_request_end", lambda: error, "GET")) as client:
        for call in (client.batches.get(source), client.batches.list(sim.workspace_id)):
            with pytest.raises(kind) as caught:
                await call
            assert caught.value is error


async def test_a_cancelled_error_of_a_trace_is_a_failed_attempt(sim: Simulator) -> None:
    source = sim.add_batch("Original")
    config = trace("on_request_end", asyncio.CancelledError, "GET")
    async with traced(sim, config) as client:
        with pytest.raises(TransportError, match="CancelledError"):
            await client.batches.get(source)
    assert sent(sim, "GET") == QUICK_RETRY.max_attempts


async def test_a_get_that_a_trace_cancels_is_cancelled(sim: Simulator) -> None:
    source = sim.add_batch("Original")

    async def cancelled(*_: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    config = aiohttp.TraceConfig()
    config.on_request_end.append(cancelled)
    async with traced(sim, config) as client:
        call = asyncio.create_task(client.batches.duplicate(source, name="Round 2"))
        await asyncio.wait([call])
        assert call.cancelled()
    assert sent(sim, "GET") == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_of_a_trace_are_raised(
    kind: type[BaseException],
) -> None:
    async def main() -> None:
        async with Simulator() as sim, traced(sim, trace("on_request_end", kind, "POST")) as one:
            await one.batches.duplicate(sim.add_batch("Original"), name="Round 2")

    with pytest.raises(kind):
        asyncio.run(main())


@pytest.mark.parametrize("hook", ["on_request_start", "on_request_end"])
@pytest.mark.parametrize("error", RAISED.values(), ids=RAISED)
async def test_a_poll_whose_trace_raises_is_a_failed_poll(
    error: Callable[[], BaseException], hook: str, sim: Simulator
) -> None:
    policy = PollPolicy(initial=0.01, maximum=0.02, max_consecutive_failures=3)
    source = sim.add_batch("Original", status="PROCESSING")
    async with traced(sim, trace(hook, error, "GET")) as client:
        with pytest.raises(WaitFailedError) as caught:
            await client.batches.wait_until_ready(source, timeout=5, poll=policy)
    assert caught.value.polls == 4
    assert isinstance(caught.value.__cause__, TransportError)
    assert sent(sim, "GET") == (4 if hook == "on_request_end" else 0)


async def test_a_log_filter_that_raises_loses_no_copy(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("of the filter")

    source = sim.add_batch("Original")
    logger = logging.getLogger("prolific_async")
    with caplog.at_level(logging.DEBUG, "prolific_async"):
        logger.addFilter(broken)
        try:
            async with traced(sim, trace("on_request_end", OSError, "POST")) as client:
                copy = await client.batches.duplicate(source, name="Round 2")
                await client.batches.setup(copy)
        finally:
            logger.removeFilter(broken)
    assert {copy.id, source} == set(sim.batches)
