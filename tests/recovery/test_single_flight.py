"""Calls that are shared: made once for concurrent callers, cancelled with the last of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import pytest
from attrs import define, field

from prolific_async import ConnectError, ProlificError, RateLimitedError, WaitTimeoutError
from prolific_async._recovery.single_flight import SingleFlight
from tests.conftest import OddBaseException
from tests.virtual_time import VirtualLoop, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@define
class Calls:
    """Calls that take ten seconds, and return their number."""

    begun: int = 0
    ended: list[str] = field(factory=list)
    shared: SingleFlight[str, int] = field(factory=SingleFlight)
    raises: BaseException | None = None
    cleans_up: float = 0.0

    async def call(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await asyncio.sleep(10)
            if self.raises is not None:
                raise self.raises
        except asyncio.CancelledError:
            await asyncio.sleep(self.cleans_up)
            self.ended.append("cancelled")
            raise
        self.ended.append("done")
        return number

    def get(self, key: str = "a") -> Awaitable[int]:
        return self.shared.run(key, self.call)


def test_callers_at_the_same_time_share_one_call() -> None:
    async def main() -> None:
        calls = Calls()
        assert await asyncio.gather(*(calls.get() for _ in range(200))) == [1] * 200
        assert await calls.get() == 2

    run(main())


def test_other_keys_run_side_by_side() -> None:
    async def main() -> None:
        calls = Calls()
        began = asyncio.get_running_loop().time()
        assert [*await asyncio.gather(calls.get("a"), calls.get("b"))] == [1, 2]
        assert asyncio.get_running_loop().time() == began + 10

    run(main())


@pytest.mark.parametrize("which", [0, 1])
def test_a_caller_that_is_cancelled_leaves_the_call_to_the_others(which: int) -> None:
    async def main() -> None:
        calls = Calls()
        tasks = [asyncio.ensure_future(calls.get()) for _ in range(3)]
        await asyncio.sleep(5)
        tasks[which].cancel()
        await asyncio.wait([tasks[which]])
        assert tasks[which].cancelled()
        assert await tasks[2] == 1
        assert calls.ended == ["done"]

    run(main())


def test_a_call_that_has_ended_is_shared_by_no_newcomer() -> None:
    async def main() -> None:
        shared = SingleFlight[str, int]()
        newcomers: list[asyncio.Future[int]] = []

        async def two() -> int:
            return 2

        async def one() -> int:
            await asyncio.sleep(1)
            # It asks when this call has ended, and before the first caller has learnt of it.
            asyncio.get_running_loop().call_soon(
                lambda: newcomers.append(asyncio.ensure_future(shared.run("a", two)))
            )
            return 1

        assert await shared.run("a", one) == 1
        assert await newcomers[0] == 2
        assert not shared._calls

    run(main())


@pytest.mark.parametrize("turns", range(4))
def test_the_last_caller_ends_the_call(turns: int) -> None:
    async def main() -> None:
        calls = Calls()
        tasks = [asyncio.ensure_future(calls.get()) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert calls.ended == ["cancelled"] * calls.begun
        assert not calls.shared._calls
        assert await calls.get() == calls.begun  # the next one is not in its way

    run(main())


def test_a_newcomer_waits_for_the_end_of_a_call_that_all_have_left() -> None:
    async def main() -> None:
        calls = Calls(cleans_up=3)
        task = asyncio.ensure_future(calls.get())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        newcomers = [asyncio.ensure_future(calls.get()) for _ in range(2)]
        await asyncio.sleep(1)
        assert calls.begun == 1
        assert await asyncio.gather(*newcomers) == [2, 2]
        assert calls.ended == ["cancelled", "done"]

    run(main())


def test_one_that_is_cancelled_twice_does_not_wait_for_the_end() -> None:
    async def main() -> None:
        calls = Calls(cleans_up=3)
        began = asyncio.get_running_loop().time()
        task = asyncio.ensure_future(calls.get())
        for _ in range(2):
            await asyncio.sleep(1)
            task.cancel()
        await asyncio.wait([task])
        assert asyncio.get_running_loop().time() == began + 2
        newcomer = asyncio.ensure_future(calls.get())
        await asyncio.sleep(1)
        assert calls.begun == 1  # it waits for the end
        assert await newcomer == 2

    run(main())


def test_a_call_whose_last_caller_is_cancelled_twice_is_forgotten_at_its_end() -> None:
    async def main() -> None:
        calls = Calls(cleans_up=3)
        task = asyncio.ensure_future(calls.get())
        for _ in range(2):
            await asyncio.sleep(1)
            task.cancel()
        await asyncio.sleep(5)
        assert calls.ended == ["cancelled"]
        assert not calls.shared._calls

    run(main())


def test_a_call_that_cancels_its_own_task_at_its_end_has_its_result() -> None:
    async def main() -> None:
        calls = Calls()

        async def call() -> int:
            calls.begun += 1
            await asyncio.sleep(1)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return 5

        assert await calls.shared.run("a", call) == 5
        assert calls.begun == 1

    run(main())


def test_a_call_that_others_have_cancelled_is_made_again() -> None:
    async def main() -> None:
        calls = Calls()
        task = asyncio.ensure_future(calls.get())
        await asyncio.sleep(1)
        (inner,) = asyncio.all_tasks() - {asyncio.current_task(), task}
        inner.cancel()
        assert await task == 2

    run(main())


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), asyncio.CancelledError(), OddBaseException()],
    ids=repr,
)
def test_an_error_is_raised_to_all(error: BaseException) -> None:
    async def main() -> None:
        calls = Calls(raises=error)
        tasks = [asyncio.ensure_future(calls.get()) for _ in range(3)]
        await asyncio.wait(tasks)
        if isinstance(error, asyncio.CancelledError):
            assert all(task.cancelled() for task in tasks)
        else:
            assert [task.exception() for task in tasks] == [error] * 3
        assert calls.begun == 1

    run(main())


@pytest.mark.parametrize(
    "error",
    [
        ProlificError("no"),
        ConnectError("GET", "/", "no route"),
        RateLimitedError(429, "GET", "/", None, None, None, None, 3.0, {"X-Request-Id": "r"}),
        WaitTimeoutError("b", None, 1.0, 2, (), ZeroDivisionError("cause")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_each_caller_gets_an_error_of_its_own(error: ProlificError) -> None:
    async def main() -> None:
        error.attempts = 3
        calls = Calls(raises=error)
        tasks = [asyncio.ensure_future(calls.get()) for _ in range(3)]
        await asyncio.wait(tasks)
        raised = [task.exception() for task in tasks]
        assert len({id(one) for one in (error, *raised)}) == 4
        for one in raised:
            assert type(one) is type(error)
            assert isinstance(one, ProlificError)
            assert (str(one), one.args, vars(one)) == (str(error), error.args, vars(error))
            assert (one.failure, one.__cause__) == (error.failure, error.__cause__)

    run(main())


def test_an_error_does_not_grow_with_its_callers() -> None:
    async def fail() -> NoReturn:
        raise error

    async def depth(shared: SingleFlight[str, int], call: Callable[[], Awaitable[int]]) -> int:
        try:
            await shared.run("a", call)
        except ProlificError as caught:
            frames, traceback = 0, caught.__traceback__
            while traceback is not None:
                frames, traceback = frames + 1, traceback.tb_next
            return frames
        return 0

    async def main() -> None:
        shared = SingleFlight[str, int]()
        depths = [await depth(shared, fail) for _ in range(5)]
        assert len(set(depths)) == 1

    error = ProlificError("no")
    run(main())


def test_a_loop_that_has_closed_leaves_nothing_to_wait_for() -> None:
    calls = Calls()
    first = VirtualLoop()
    first.create_task(calls.call()).cancel()
    task = first.create_task(calls.shared.run("a", calls.call))
    first.run_until_complete(asyncio.sleep(1))
    assert calls.begun == 1

    async def main() -> None:
        assert await calls.get() == 2

    run(main())
    task.cancel()
    first.run_until_complete(asyncio.wait([task]))
    first.close()
