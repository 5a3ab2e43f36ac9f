"""Shared requests: one for all callers at the same time, and never one that is too old."""

import asyncio
from collections.abc import Collection

import pytest

from prolific_async import DecodeError
from prolific_async._recovery.coalesced_requests import CoalescedRequests
from tests.virtual_time import run


class Slow(CoalescedRequests[str, int, int]):
    """Requests that take a second and return their number."""

    def __init__(self, *, failing: bool = False) -> None:
        super().__init__(self.make)
        self.asked: list[str] = []
        self.wanted: list[list[int]] = []
        self.failing = failing

    async def make(self, key: str, wanted: Collection[int]) -> int:
        self.asked.append(key)
        self.wanted.append(sorted(wanted))
        number = len(self.asked)
        await asyncio.sleep(1)
        if self.failing:
            raise DecodeError(("$: not JSON",), "")
        return number


def test_callers_at_the_same_time_share_one_request() -> None:
    slow = Slow()

    async def main() -> None:
        assert await asyncio.gather(*(slow.get("w", one) for one in range(100))) == [1] * 100
        assert slow._shared == {}

    run(main())
    assert slow.asked == ["w"]
    assert slow.wanted == [list(range(100))]


def test_callers_during_a_request_share_the_next_one() -> None:
    slow = Slow()

    async def main() -> None:
        first = [asyncio.create_task(slow.get("w", one)) for one in range(3)]
        await asyncio.sleep(0.5)
        second = [asyncio.create_task(slow.get("w", one)) for one in (3, 4)]
        assert await asyncio.gather(*first, *second) == [1, 1, 1, 2, 2]
        assert await slow.get("w", 5) == 3
        assert slow._shared == {}

    run(main())
    assert {3, 4} <= set(slow.wanted[1])
    assert slow.wanted[2] == [5]


@pytest.mark.parametrize("turns", range(6))
def test_no_caller_gets_a_request_that_began_before(turns: int) -> None:
    slow = Slow()

    async def main() -> None:
        first = asyncio.create_task(slow.get("w", 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        begun = len(slow.asked)
        second = await slow.get("w", 2)
        assert second > begun
        await first

    run(main())


def test_requests_of_different_keys_run_at_the_same_time() -> None:
    async def main() -> float:
        slow = Slow()
        await asyncio.gather(slow.get("one", 0), slow.get("two", 0))
        return asyncio.get_running_loop().time()

    assert run(main()) == 1001


def test_a_failure_is_shared_but_not_cached() -> None:
    slow = Slow(failing=True)

    async def main() -> None:
        outcomes = await asyncio.gather(
            *(slow.get("w", 0) for _ in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [DecodeError] * 3
        slow.failing = False
        assert await slow.get("w", 0) == 2

    run(main())


@pytest.mark.parametrize("when", ["before", "while"])
def test_another_caller_takes_over_a_cancelled_request(when: str) -> None:
    slow = Slow()

    async def main() -> None:
        first = asyncio.create_task(slow.get("w", 0))
        if when == "while":
            await asyncio.sleep(0.5)
        others = [asyncio.create_task(slow.get("w", one)) for one in (1, 2, 3)]
        await asyncio.sleep(0.1)
        first.cancel()
        assert await asyncio.gather(*others) == [2] * 3
        assert slow._shared == {}

    run(main())
    assert slow.wanted[1] == [1, 2, 3]


def test_a_cancelled_caller_leaves_nothing() -> None:
    slow = Slow()

    async def main() -> None:
        first = asyncio.create_task(slow.get("w", 0))
        await asyncio.sleep(0.5)
        second = asyncio.create_task(slow.get("w", 1))
        await asyncio.sleep(0.1)
        second.cancel()
        assert await first == 1
        await asyncio.wait([second])
        assert second.cancelled()
        assert slow._shared == {}

    run(main())
    assert slow.asked == ["w"]


def test_a_request_of_a_loop_that_has_closed_holds_up_no_caller() -> None:
    slow = Slow()

    async def begin() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(slow.get("w", 0))
    loop.run_until_complete(begin())
    loop.close()
    assert slow.asked == ["w"]

    async def main() -> None:
        async with asyncio.timeout(10):
            assert await slow.get("w", 1) == 2

    run(main())
    del abandoned


def test_an_exception_of_the_applications_callback_is_shared() -> None:
    class Broken(Slow):
        async def make(self, key: str, wanted: Collection[int]) -> int:
            await super().make(key, wanted)
            raise RuntimeError("of a trace")

    async def main() -> list[str]:
        shared = Broken()
        asking = (shared.get("w", one) for one in range(100))
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {RuntimeError}
        assert shared._shared == {}
        return shared.asked

    assert run(main()) == ["w"]
