"""Observers of waits: ``client.batches.add_wait_observer``."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from prolific_async import (
    Batch,
    BatchFailedError,
    ProlificClient,
    StatusEvent,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.simulator import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prolific_async.batches import WaitListener
    from prolific_async.simulator import Simulator

News = StatusEvent | Batch | WaitError | None
CALLER: ContextVar[str] = ContextVar("CALLER", default="nobody")


@define
class Recorder:
    """An observer that records the reports of each wait, by batch."""

    waits: dict[str, list[list[News]]] = field(factory=dict)
    callers: set[str] = field(factory=set)

    def observe(self, batch_id: str) -> WaitListener:
        news: list[News] = []
        self.waits.setdefault(batch_id, []).append(news)
        self._note_context()

        def listen(one: News) -> None:
            news.append(one)
            self._note_context()

        return listen

    def outcomes(self, batch_id: str) -> list[News]:
        """Return the outcome of each wait of a batch, and check that only polls came before it."""
        for *polls, outcome in self.waits[batch_id]:
            assert all(isinstance(one, StatusEvent) for one in polls)
            assert not isinstance(outcome, StatusEvent)
        return [news[-1] for news in self.waits[batch_id]]

    def _note_context(self) -> None:
        assert asyncio.current_task() is None
        self.callers.add(CALLER.get())


@pytest.fixture
def recorder(client: ProlificClient) -> Recorder:
    recorder = Recorder()
    client.batches.add_wait_observer(recorder.observe)
    return recorder


async def test_a_wait_reports_its_start_its_polls_and_its_outcome_where_it_was_called(
    client: ProlificClient, sim: Simulator, recorder: Recorder
) -> None:
    batch_id = sim.add_batch()
    await client.batches.setup(batch_id)
    events: list[StatusEvent] = []
    CALLER.set("caller")
    ready = await client.batches.wait_until_ready(batch_id, on_event=events.append)
    assert len(events) > 1
    assert recorder.waits == {batch_id: [[*events, ready]]}
    assert recorder.callers == {"caller"}


@pytest.mark.parametrize("streamed", [False, True], ids=["list", "stream"])
async def test_each_of_many_waits_is_reported_in_the_context_of_the_call(
    client: ProlificClient, sim: Simulator, recorder: Recorder, *, streamed: bool
) -> None:
    ready, failed = sim.add_batch(status="READY"), sim.add_batch(status="ERROR")
    ids = [ready, failed, ready]

    async def stream() -> AsyncIterator[str]:
        for batch_id in [*ids, "no id"]:
            yield batch_id

    CALLER.set("caller")
    outcomes = client.batches.as_ready(stream() if streamed else ids)
    CALLER.set("reader")
    found = [outcome async for outcome in outcomes]
    assert [type(outcome) for outcome in recorder.outcomes(ready)] == [Batch, Batch]
    assert [type(outcome) for outcome in recorder.outcomes(failed)] == [BatchFailedError]
    assert recorder.callers == {"caller"}
    assert len(found) == 3 + streamed
    if streamed:
        (refused,) = recorder.outcomes("no id")
        assert isinstance(refused, WaitFailedError)


async def test_the_first_error_of_wait_all_cancels_the_other_waits(
    client: ProlificClient, sim: Simulator, recorder: Recorder
) -> None:
    pending, failed = sim.add_batch(), sim.add_batch(status="ERROR")
    with pytest.raises(BatchFailedError) as raised:
        await client.batches.wait_all([pending, failed])
    assert recorder.outcomes(pending) == [None]
    assert recorder.outcomes(failed) == [raised.value]


async def test_a_cancelled_wait_has_the_outcome_none(
    client: ProlificClient, sim: Simulator, recorder: Recorder
) -> None:
    batch_id = sim.add_batch()
    waiting = asyncio.create_task(client.batches.wait_until_ready(batch_id))
    while not sim.requests:
        await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with aclosing(client.batches.watch(batch_id)) as events:
        await anext(events)
    assert recorder.outcomes(batch_id) == [None, None]


@pytest.mark.parametrize("way", ["wait_all", "as_ready", "watch"])
async def test_a_wait_that_is_cancelled_twice_has_the_outcome_none(
    client: ProlificClient, sim: Simulator, recorder: Recorder, way: str
) -> None:
    batch_id = sim.add_batch()
    sim.inject("GET", "/status", Fault(delay=0.5))

    async def wait() -> None:
        if way == "wait_all":
            await client.batches.wait_all([batch_id])
            return
        waits = client.batches.as_ready([batch_id])
        async for _ in client.batches.watch(batch_id) if way == "watch" else waits:
            pass

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.02)  # the poll, whose end the cancelled wait awaits, is under way
    waiting.cancel()
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert recorder.outcomes(batch_id) == [None]


async def test_a_generator_that_is_never_read_begins_no_wait(
    client: ProlificClient, sim: Simulator, recorder: Recorder
) -> None:
    await client.batches.watch(sim.add_batch()).aclose()
    await client.batches.as_ready([sim.add_batch()]).aclose()
    assert recorder.waits == {}


async def test_waits_report_a_time_out_and_the_close_of_the_client(
    client: ProlificClient, sim: Simulator, recorder: Recorder
) -> None:
    slow, closed = sim.add_batch(), sim.add_batch()
    with pytest.raises(WaitTimeoutError):
        await client.batches.wait_until_ready(slow, timeout=0.01)
    waiting = asyncio.create_task(client.batches.wait_until_ready(closed))
    while closed not in recorder.waits:
        await asyncio.sleep(0)
    await client.close()
    with pytest.raises(WaitFailedError):
        await waiting
    assert [type(outcome) for outcome in recorder.outcomes(slow)] == [WaitTimeoutError]
    assert [type(outcome) for outcome in recorder.outcomes(closed)] == [WaitFailedError]


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
async def test_an_observer_that_raises_is_logged_and_changes_nothing(
    client: ProlificClient,
    sim: Simulator,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    batch_id = sim.add_batch(status="READY")

    def broken(batch_id: str) -> WaitListener:
        raise error

    def with_broken_listener(batch_id: str) -> WaitListener:
        def listen(news: News) -> None:
            raise error

        return listen

    last = Recorder()
    for observer in (broken, with_broken_listener, last.observe):
        client.batches.add_wait_observer(observer)
    events: list[StatusEvent] = []
    ready = await client.batches.wait_until_ready(batch_id, on_event=events.append)
    assert last.waits == {batch_id: [[*events, ready]]}
    # The start of one, a poll and the outcome of the other.
    logged = f"a wait observer raised for batch {batch_id}; the wait goes on"
    assert caplog.messages == [logged] * 3


async def test_any_number_of_observers_may_come_and_go(
    client: ProlificClient, sim: Simulator, recorder: Recorder
) -> None:
    batch_id = sim.add_batch(status="READY")
    other = Recorder()
    ignored: list[str] = []
    for _ in range(2):
        client.batches.add_wait_observer(other.observe)
    client.batches.add_wait_observer(ignored.append)
    await client.batches.wait_until_ready(batch_id)
    assert recorder == other
    assert len(other.waits[batch_id]) == len(ignored) == 1
    for _ in range(2):
        client.batches.remove_wait_observer(other.observe)
    await client.batches.wait_until_ready(batch_id)
    assert len(other.waits[batch_id]) == 1
    assert len(recorder.waits[batch_id]) == len(ignored) == 2


async def observe_later(batch_id: str) -> None: ...


@pytest.mark.parametrize("wrong", [None, "observer", observe_later])
def test_an_observer_is_a_plain_function(wrong: Any) -> None:
    with pytest.raises(ValueError, match="observer must be a plain function"):
        ProlificClient("t").batches.add_wait_observer(wrong)
