"""Driving waits, in virtual time and with a look function that plays a script."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from prolific_async import (
    Batch,
    BatchStatus,
    ConfigurationError,
    PollPolicy,
    RetryPolicy,
    StatusEvent,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.polling import Poller
from prolific_async.waiting import Look, Wait

from .samples import batch
from .virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSING = Look(BatchStatus.PROCESSING)
READY = Look(BatchStatus.READY, batch())


class Script:
    """A look function: so many looks show PROCESSING, the next READY, each after ``latency``."""

    def __init__(self, pending: int = 2, latency: float = 0.5) -> None:
        self.pending = pending
        self.latency = latency
        self.looks: list[float] = []

    async def __call__(self, batch_id: str, whole: bool) -> Look:  # noqa: FBT001 - as the real one
        self.looks.append(asyncio.get_running_loop().time() - 1000)
        await asyncio.sleep(self.latency)
        return PROCESSING if len(self.looks) <= self.pending else READY


def start(timeout: float | None = 60) -> Wait:
    return Wait(
        "b1",
        poll=PollPolicy(initial=1, factor=2, maximum=4, jitter=0),
        retry=RetryPolicy(),
        timeout=timeout,
        now=asyncio.get_running_loop().time(),
    )


def test_looks_follow_the_gaps() -> None:
    script = Script(pending=4)
    events: list[StatusEvent] = []

    async def main() -> Batch:
        return await Poller(script).run(start(), events.append)

    assert run(main()) == batch()
    assert script.looks == [0, 1.5, 4, 8.5, 13]
    assert [event.elapsed for event in events] == [0.5, 2, 4.5, 9, 13.5]


def test_watch_yields_the_same_and_raises_the_same() -> None:
    async def main() -> None:
        told: list[StatusEvent] = []
        await Poller(Script()).run(start(), told.append)
        assert [event async for event in Poller(Script()).watch(start())] == told
        seen = []
        try:
            async for event in Poller(Script(pending=99)).watch(start(5)):
                seen.append(event)  # noqa: PERF401 - it ends by raising
        except WaitTimeoutError as error:
            assert error.events == tuple(seen)  # noqa: PT017 - the loop is what raises
        assert seen[-1].next_in is None

    run(main())


@pytest.mark.parametrize("latency", [100, 1e6])
def test_a_hanging_look_is_cut_at_the_deadline(latency: float) -> None:
    script = Script(latency=latency)
    events: list[StatusEvent] = []

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(WaitTimeoutError):
            await Poller(script).run(start(60), events.append)
        return loop.time() - 1000

    assert run(main()) == 60
    assert script.looks == [0]
    assert [type(event.error).__name__ for event in events] == ["RequestTimeoutError"]


def test_the_last_look_comes_shortly_before_the_deadline_and_the_end_at_it() -> None:
    script = Script(pending=99)

    async def main() -> float:
        with pytest.raises(WaitTimeoutError):
            await Poller(script).run(start(10), None)
        return asyncio.get_running_loop().time() - 1000

    assert run(main()) == 10
    assert script.looks == [0, 1.5, 4, 8.5, 9.5]


def test_what_on_event_raises_is_logged_and_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(event: StatusEvent) -> None:
        raise RuntimeError("mine")

    async def main() -> Batch:
        return await Poller(Script()).run(start(), broken)

    assert run(main()) == batch()
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert "mine" in (caplog.records[0].exc_text or "")


@pytest.mark.parametrize("moment", [0.2, 1.0, 1.7])
@pytest.mark.parametrize("timeout", [None, 60])
def test_closing_ends_a_wait_wherever_it_is(moment: float, timeout: float | None) -> None:
    reason = ConfigurationError("closed")

    async def main() -> None:
        poller = Poller(Script(pending=99))
        waiter = asyncio.create_task(poller.run(start(timeout), None))
        await asyncio.sleep(moment)
        poller.close(reason)
        with pytest.raises(WaitFailedError) as caught:
            await waiter
        assert asyncio.get_running_loop().time() - 1000 == pytest.approx(moment)
        assert caught.value.__cause__ is reason
        with pytest.raises(WaitFailedError):
            await poller.run(start(), None)

    run(main())


@pytest.mark.parametrize("moment", [0.2, 1.0, 1.7])
def test_cancelling_leaves_nothing_behind(moment: float) -> None:
    async def main() -> None:
        poller = Poller(Script(pending=99))
        waiter = asyncio.create_task(poller.run(start(), None))
        await asyncio.sleep(moment)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await asyncio.sleep(0)
        assert not poller._steps
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not [timer for timer in timers() if not timer.cancelled()]

    run(main())


def timers() -> list[asyncio.TimerHandle]:
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return scheduled


@pytest.mark.parametrize(("asleep", "ends"), [(3.0, Batch), (100.0, WaitTimeoutError)])
def test_a_clock_that_jumped_makes_one_look_or_the_deadline(
    asleep: float, ends: type[object]
) -> None:
    script = Script(pending=1)

    async def main() -> object:
        loop = asyncio.get_running_loop()
        loop.call_later(1, jump(loop, asleep))
        try:
            return await Poller(script).run(start(60), None)
        except WaitTimeoutError as error:
            return error

    def jump(loop: asyncio.AbstractEventLoop, seconds: float) -> Callable[[], None]:
        def leap() -> None:
            loop.now += seconds  # type: ignore[attr-defined]

        return leap

    assert isinstance(run(main()), ends)
    assert len(script.looks) <= 2


def test_a_time_out_of_the_callers_own_passes_through() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(2):
                await Poller(Script(pending=99)).run(start(60), None)
        assert not isinstance(caught.value, WaitTimeoutError)

    run(main())


def test_a_look_that_raises_a_time_out_is_a_bug_and_shows() -> None:
    async def broken(batch_id: str, whole: bool) -> Look:  # noqa: FBT001 - as the real one
        raise TimeoutError("not ours")

    async def main() -> None:
        with pytest.raises(TimeoutError, match="not ours"):
            await Poller(broken).run(start(60), None)

    run(main())
