"""One list for all who look at the same time, and never one that is too old."""

import asyncio
from typing import Any

import pytest

from prolific_async import ConfigurationError, DecodeError
from prolific_async.durable.lists import Lists
from tests.virtual_time import run


class Slow:
    """A workspace whose list takes a second; each answer is its number."""

    def __init__(self, *, failing: bool = False) -> None:
        self._search = self
        self.asked: list[str] = []
        self.failing = failing

    async def batches_of(self, workspace_id: str) -> Any:
        self.asked.append(workspace_id)
        number = len(self.asked)
        await asyncio.sleep(1)
        if self.failing:
            raise DecodeError(("$: not JSON",), "")
        return number


def lists(slow: Slow) -> Any:
    fake: Any = slow
    return Lists(fake)


def test_whoever_comes_first_begins_and_all_others_share_the_next() -> None:
    slow = Slow()

    async def main() -> None:
        shared = lists(slow)
        assert await asyncio.gather(*(shared.of("w") for _ in range(100))) == [1] + [2] * 99
        assert shared._asked == {}

    run(main())
    assert slow.asked == ["w", "w"]


def test_those_who_ask_while_it_runs_share_the_next() -> None:
    slow = Slow()

    async def main() -> None:
        shared = lists(slow)
        first = [asyncio.create_task(shared.of("w")) for _ in range(3)]
        await asyncio.sleep(0.5)
        second = [asyncio.create_task(shared.of("w")) for _ in range(3)]
        assert await asyncio.gather(*first, *second) == [1, 2, 2, 2, 2, 2]
        assert await shared.of("w") == 3

    run(main())


def test_workspaces_do_not_wait_for_each_other() -> None:
    async def main() -> float:
        shared = lists(Slow())
        await asyncio.gather(shared.of("one"), shared.of("two"))
        return asyncio.get_running_loop().time()

    assert run(main()) == 1001


def test_a_failure_is_shared_and_not_kept() -> None:
    slow = Slow(failing=True)

    async def main() -> None:
        shared = lists(slow)
        outcomes = await asyncio.gather(*(shared.of("w") for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DecodeError] * 3
        slow.failing = False
        assert await shared.of("w") == 3

    run(main())


@pytest.mark.parametrize("when", ["before", "while"])
def test_when_the_one_who_asked_is_cancelled_the_next_one_asks(when: str) -> None:
    async def main() -> None:
        shared = lists(Slow())
        first = asyncio.create_task(shared.of("w"))
        if when == "while":
            await asyncio.sleep(0.5)
        others = [asyncio.create_task(shared.of("w")) for _ in range(3)]
        await asyncio.sleep(0.1)
        first.cancel()
        assert await asyncio.gather(*others) == [2] * 3
        assert shared._asked == {}

    run(main())


def test_what_is_no_error_of_ours_is_nobody_else_s() -> None:
    class Closed(Slow):
        async def batches_of(self, workspace_id: str) -> Any:
            await super().batches_of(workspace_id)
            raise ConfigurationError("closed") if len(self.asked) > 1 else RuntimeError("a bug")

    async def main() -> None:
        shared = lists(Closed())
        outcomes = await asyncio.gather(shared.of("w"), shared.of("w"), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [RuntimeError, ConfigurationError]

    run(main())
