"""Waits of a client, in virtual time: many at once, as a list and as a stream."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._polling.poll_results import GroupResult
from prolific_async._polling.poller import Poller
from prolific_async._polling.wait_listeners import WaitListeners
from prolific_async._polling.wait_runner import WaitRunner
from tests.polling.fakes import (
    CLOSED,
    PENDING,
    READY,
    FakeWait,
    Service,
    clock,
    nothing_left,
    poller_test,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from prolific_async._polling.wait import Wait

WHOSE = ContextVar("WHOSE", default="nobody's")


class Client:
    """Waits on a fake status source."""

    def __init__(self, *ready: str, **settings: Any) -> None:
        self.service = Service()
        source: Any = self.service
        self.workspaces = KnownWorkspaces()
        settings = {"list_threshold": 8, "at_once": 50} | settings
        self.waits = WaitRunner(lambda: Poller(source, self.workspaces, **settings))
        self.service.shown = dict.fromkeys(ready, READY)

    def show_lists(self, count: int) -> None:
        """Have each list show all batches, in one known workspace."""
        keys = [f"k{number}" for number in range(count)]
        self.workspaces.learn_all(keys, "home")
        found = {key: self.service.shown.get(key, PENDING) for key in keys}
        self.service.groups = [GroupResult(found=found)] * 9

    @property
    def poller(self) -> Any:
        return self.waits._poller

    async def nothing_left(self) -> None:
        await nothing_left(self.poller)


class Listener:
    """Observes waits, and keeps what they report."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def __call__(self, batch_id: str) -> Any:
        self.told.append(batch_id)
        return self.told.append


def observed(key: str, **settings: Any) -> tuple[FakeWait, Listener]:
    wait, listener = FakeWait(key, **settings), Listener()
    wait.listeners = WaitListeners(key, None, (listener,))
    return wait, listener


@poller_test
async def test_listeners_are_told_of_the_start_and_the_end() -> None:
    client = Client("k")
    wait, listener = observed("k")
    await client.waits.start(wait)
    await asyncio.sleep(0)
    assert listener.told == ["k", "ready"]
    await client.nothing_left()


@poller_test
async def test_a_wait_that_is_left_ends_its_poll_and_reports_no_outcome() -> None:
    client = Client()
    wait, listener = observed("k")
    over = client.waits.start(wait)
    await asyncio.sleep(0.05)
    await client.waits.leave(wait, over)
    assert client.service.running == 0
    assert listener.told == ["k", None]
    await client.nothing_left()


@poller_test
async def test_waits_come_as_they_end_and_the_others_are_left() -> None:
    client = Client("k1")
    waits = [observed(f"k{number}") for number in range(3)]
    ended = client.waits.ended([wait for wait, _ in waits])
    async with aclosing(ended):
        first = await anext(ended)
    assert first is waits[1][0]
    assert [listener.told[-1] for _, listener in waits] == [None, "ready", None]
    await client.nothing_left()


@poller_test
async def test_ended_yields_every_wait() -> None:
    client = Client(*(f"k{number}" for number in range(5)))
    waits = [FakeWait(f"k{number}") for number in range(5)]
    assert {wait async for wait in client.waits.ended(waits)} == set(waits)
    assert client.service.group_polls == []
    await client.nothing_left()


async def stream(waits: list[Any], *, gap: float = 0.0) -> AsyncGenerator[Wait]:
    for wait in waits:
        if gap:
            await asyncio.sleep(gap)
        yield wait


@poller_test
async def test_the_waits_of_a_stream_come_as_they_end() -> None:
    client = Client("k0", "k1", "k2")
    waits = [FakeWait(f"k{number}") for number in range(3)]
    came = [
        (clock(), wait.key)
        async for wait in client.waits.ended_of_stream(stream(waits, gap=1), copy_context())
    ]
    assert came == [(1.1, "k0"), (2.1, "k1"), (3.1, "k2")]
    await client.nothing_left()


@poller_test
async def test_an_empty_stream_has_no_waits() -> None:
    client = Client()
    ended = client.waits.ended_of_stream(stream([]), copy_context())
    assert [wait async for wait in ended] == []
    await client.nothing_left()


@poller_test
async def test_a_hundred_waits_of_a_stream_are_polled_as_a_group() -> None:
    client = Client(*(f"k{number}" for number in range(250)))
    client.show_lists(250)
    waits = [FakeWait(f"k{number}") for number in range(250)]
    began: list[int] = []

    async def noting() -> AsyncGenerator[Wait]:
        for number, wait in enumerate(waits):
            began.append(number)
            yield wait

    async def count() -> None:
        while len(began) < 250:
            await asyncio.sleep(0)
            counts.append(len(began))

    counts: list[int] = []
    counting = asyncio.create_task(count())
    ended = client.waits.ended_of_stream(noting(), copy_context())
    came = [wait async for wait in ended]
    await counting
    assert set(came) == set(waits)
    assert {0, 100, 200, 250} >= set(counts) >= {100, 200}
    assert len(client.service.singles) < 8
    await client.nothing_left()


@poller_test
async def test_a_stream_is_read_in_the_given_context() -> None:
    client = Client("k")
    seen: list[str] = []

    async def noting() -> AsyncGenerator[Wait]:
        seen.append(WHOSE.get())
        yield FakeWait("k")

    token = WHOSE.set("the caller's")
    context = copy_context()
    WHOSE.reset(token)
    ended = client.waits.ended_of_stream(noting(), context)
    assert len([wait async for wait in ended]) == 1
    assert seen == ["the caller's"]
    await client.nothing_left()


@poller_test
async def test_a_stream_that_raises_ends_with_its_error_and_leaves_the_waits() -> None:
    client = Client("k1")
    wait, listener = observed("k0")

    async def broken() -> AsyncGenerator[Wait]:
        yield wait
        await asyncio.sleep(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async for _ in client.waits.ended_of_stream(broken(), copy_context()):
            pass
    assert clock() == 1
    assert listener.told == ["k0", None]
    await client.nothing_left()


@poller_test
async def test_a_stream_that_is_left_is_closed() -> None:
    client = Client("k0")
    closed: list[float] = []
    waits = [observed(f"k{number}") for number in range(2)]

    async def endless() -> AsyncGenerator[Wait]:
        try:
            for wait, _ in waits:
                yield wait
            await asyncio.sleep(1000)
        finally:
            closed.append(clock())

    ended = client.waits.ended_of_stream(endless(), copy_context())
    async with aclosing(ended):
        assert await anext(ended) is waits[0][0]
    assert closed == [0.1]
    assert [listener.told[-1] for _, listener in waits] == ["ready", None]
    await client.nothing_left()


@poller_test
async def test_a_stream_is_read_ahead_by_a_bounded_number() -> None:
    client = Client("k0", "k1", "k2", "k3", "k4")
    read: list[int] = []

    async def numbered() -> AsyncGenerator[Wait]:
        for number in range(5):
            read.append(number)
            yield FakeWait(f"k{number}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prolific_async._polling.wait_runner._STREAMED", 2)
        ended = client.waits.ended_of_stream(numbered(), copy_context())
        ahead = []
        async for _ in ended:
            await asyncio.sleep(1)
            ahead.append(len(read))
    assert ahead == [3, 4, 5, 5, 5]
    await client.nothing_left()


@poller_test
async def test_poll_now_and_close_without_waits_do_nothing() -> None:
    client = Client()
    client.waits.poll_now("k")
    await client.waits.close(CLOSED)
    assert client.poller is None


@poller_test
async def test_poll_now_polls_a_waiting_batch() -> None:
    client = Client()
    wait = FakeWait("k", gap=100)
    over = client.waits.start(wait)
    await asyncio.sleep(10)
    client.waits.poll_now("k")
    await asyncio.sleep(1)
    assert client.service.at("k") == [0, 10]
    await client.waits.leave(wait, over)
    await client.nothing_left()


@poller_test
async def test_close_ends_every_wait_and_its_poll() -> None:
    client = Client()
    waits = [observed(f"k{number}") for number in range(2)]
    futures = [client.waits.start(wait) for wait, _ in waits]
    await asyncio.sleep(0.05)
    poller = client.poller
    await client.waits.close(CLOSED)
    assert client.service.running == 0
    assert all(over.done() for over in futures)
    await asyncio.sleep(0)
    assert [listener.told[-1] for _, listener in waits] == [CLOSED, CLOSED]
    await nothing_left(poller)
    assert client.poller is None


@pytest.mark.parametrize(("list_threshold", "lists"), [(8, 0), (4, 1)])
def test_waits_share_one_poller_with_its_settings(list_threshold: int, lists: int) -> None:
    @poller_test
    async def test() -> None:
        client = Client(list_threshold=list_threshold, at_once=2)
        client.show_lists(4)
        waits = [FakeWait(f"k{number}") for number in range(4)]
        futures = [client.waits.start(wait) for wait in waits]
        await asyncio.sleep(1)
        assert len(client.service.group_polls) == lists
        assert client.service.most == (1 if lists else 2)
        for wait, over in zip(waits, futures, strict=True):
            await client.waits.leave(wait, over)
        await client.nothing_left()

    test()
