"""The time limit of attempts, one timer for all, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from prolific_async._http.attempt import Timed
from prolific_async._http.time_limit import TimeLimit
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Coroutine


def limit(seconds: float) -> TimeLimit:
    return TimeLimit(seconds, asyncio.get_running_loop())


async def attempt(within: TimeLimit, seconds: float) -> float:
    began = asyncio.get_running_loop().time()
    with Timed(within):
        await asyncio.sleep(seconds)
    return asyncio.get_running_loop().time() - began


def test_each_attempt_has_its_own_time() -> None:
    async def main() -> tuple[float, ...]:
        within = limit(10)

        async def later(start: float, seconds: float) -> float:
            await asyncio.sleep(start)
            began = asyncio.get_running_loop().time()
            try:
                return await attempt(within, seconds)
            except TimeoutError:
                return -(asyncio.get_running_loop().time() - began)

        return tuple(await asyncio.gather(later(0, 99), later(3, 9), later(4, 99), later(20, 99)))

    assert run(main()) == (-10, 9, -10, -10)


def test_the_timer_is_off_without_attempts() -> None:
    async def main() -> None:
        within = limit(10)
        await attempt(within, 1)
        await asyncio.sleep(20)
        assert within.timer is None
        await attempt(within, 1)
        within.close()
        assert within.timer is None

    run(main())


def test_close_ends_attempts_under_way_with_a_time_out() -> None:
    async def main() -> None:
        within = limit(10)
        task = asyncio.create_task(attempt(within, 99))
        await asyncio.sleep(1)
        within.close()
        with pytest.raises(TimeoutError):
            await task
        assert task.cancelling() == 0

    run(main())


def test_after_close_no_timer_is_set() -> None:
    async def main() -> None:
        within = limit(10)
        within.close()
        with Timed(within):
            await asyncio.sleep(1)
        assert within.timer is None

    run(main())


def test_a_pause_stops_the_time_and_gives_all_of_it_again() -> None:
    async def main() -> None:
        async def work() -> None:
            with Timed(limit(10)) as timed:
                await asyncio.sleep(9)
                timed.pause()
                await asyncio.sleep(99)
                timed.resume()
                await asyncio.sleep(99)

        with pytest.raises(TimeoutError):
            await work()
        assert asyncio.get_running_loop().time() == 1000 + 9 + 99 + 10

    run(main())


def test_an_attempt_that_is_cancelled_in_a_pause_ends() -> None:
    async def main() -> None:
        within = limit(10)

        async def work() -> None:
            with Timed(within) as timed:
                timed.pause()
                await asyncio.sleep(99)

        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert within.deadlines == {}

    run(main())


def test_a_time_that_is_over_is_not_started_again() -> None:
    async def main() -> None:
        within = limit(10)

        async def work() -> None:
            def end(timed: Timed) -> None:
                timed.interrupt()
                timed.pause()
                timed.resume()

            with Timed(within) as timed:
                asyncio.get_running_loop().call_soon(end, timed)
                await asyncio.sleep(1)

        with pytest.raises(TimeoutError):
            await work()
        assert within.deadlines == {}

    run(main())


def test_a_task_that_interrupts_itself_is_interrupted_at_its_next_await() -> None:
    async def main() -> None:
        within = limit(10)

        async def work() -> None:
            with Timed(within) as timed:
                timed.interrupt()
                await asyncio.sleep(1)

        with pytest.raises(TimeoutError):
            await work()
        with Timed(within) as timed:
            timed.interrupt()
        await asyncio.sleep(0)  # it came too late, as the block awaited nothing
        await asyncio.sleep(0)

    run(main())


def both_at(moment: float, *, nested: bool) -> Coroutine[None, None, None]:
    """Cancel an attempt from outside at the moment at which its time is over."""

    async def main() -> None:
        within = limit(moment)
        loop = asyncio.get_running_loop()

        async def work() -> None:
            if nested:
                async with asyncio.timeout(moment):
                    await attempt(within, 99)
            else:
                await attempt(within, 99)

        task = asyncio.create_task(work())
        if not nested:
            loop.call_later(moment, task.cancel)
        await asyncio.wait([task])
        if nested:
            assert isinstance(task.exception(), TimeoutError)
        else:
            assert task.cancelled()

    return main()


@pytest.mark.parametrize("nested", [True, False])
def test_a_cancellation_from_outside_is_not_swallowed(nested: bool) -> None:  # noqa: FBT001
    run(both_at(5, nested=nested))


def test_an_attempt_needs_a_task() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        failed = loop.create_future()

        def outside() -> None:
            try:
                with Timed(limit(1)):
                    pass
            except RuntimeError as error:
                failed.set_result(str(error))

        loop.call_soon(outside)
        assert await failed == "a time limit needs a task"

    run(main())
