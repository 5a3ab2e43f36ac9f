"""Which batches are polled when, singly or by their list, in virtual time."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async._polling.list_polls import PATIENCE
from prolific_async._polling.poll_results import GroupResult, PollResult
from prolific_async._polling.targets import HEAVY, REFUSALS, SINGLY_SECONDS, WorkspaceGroup
from tests.polling.fakes import (
    CLOSED,
    PENDING,
    FakeWait,
    Service,
    clock,
    nothing_left,
    poller_test,
    refused,
)
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping


# --- groups ----------------------------------------------------------------------------------


@poller_test
async def test_eight_batches_are_polled_as_a_group() -> None:
    service = Service()
    waits = service.start(8)
    await asyncio.sleep(4)
    assert service.singles == []
    assert service.group_poll_times == [0, 3.1]
    assert sorted(service.group_polls[0][2]) == sorted(wait.key for wait in waits)
    assert {tuple(wait.seen) for wait in waits} == {((0.1, PENDING), (3.2, PENDING))}
    service.leave(waits)
    await nothing_left(service.poller)


@poller_test
async def test_seven_batches_are_polled_singly() -> None:
    service = Service()
    service.start(7)
    await asyncio.sleep(4)
    assert service.group_polls == []
    assert len(service.singles) == 14
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_group_is_as_eager_as_its_most_eager_wait() -> None:
    service = Service()
    service.group_seconds = 0
    service.start(20, gap=30)
    service.start(1, first=20, gap=2)
    await asyncio.sleep(9)
    assert service.singles == []
    assert service.group_poll_times == [0, 2, 4, 6, 8]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_batch_missing_from_the_list_is_polled_singly_for_a_minute() -> None:
    service = Service()
    service.missing = {"k3"}
    service.start(10)
    await asyncio.sleep(SINGLY_SECONDS - 1)
    assert {key for _, key in service.singles} == {"k3"}
    assert service.at("k3")[:3] == [0.1, 3.2, 6.3]
    assert all("k3" not in keys for _, _, keys in service.group_polls[1:])
    service.missing = set()
    await asyncio.sleep(10)
    so_far = len(service.singles)
    await asyncio.sleep(30)
    assert len(service.singles) == so_far
    assert "k3" in service.group_polls[-1][2]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_batch_is_polled_by_the_list_again_once_it_is_shown() -> None:
    service = Service()
    service.missing = {"k3"}
    service.start(10)
    await asyncio.sleep(5)
    service.missing = set()
    await asyncio.sleep(3)
    so_far = service.at("k3")
    await asyncio.sleep(20)
    assert service.at("k3") == so_far
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@pytest.mark.parametrize("why", ["failed", "heavy"])
def test_a_group_is_polled_singly_for_a_minute(why: str) -> None:
    async def main() -> None:
        service = Service()
        found = {f"k{number}": PENDING for number in range(10)}
        if why == "failed":
            service.groups = [GroupResult(failure="broken")]
        else:
            service.groups = [GroupResult(found=found, size=10 * HEAVY + 1)]
        waits = service.start(10)
        await asyncio.sleep(2.5)
        assert service.group_poll_times == [0]
        assert len(service.singles) == (10 if why == "failed" else 0)
        assert all(wait.seen for wait in waits)
        assert all(seen.error is None for wait in waits for _, seen in wait.seen)
        await asyncio.sleep(SINGLY_SECONDS - 2.5)
        assert service.group_poll_times == [0]
        assert 180 <= len(service.singles) <= 200
        await asyncio.sleep(10)
        assert len(service.group_poll_times) > 1
        assert SINGLY_SECONDS < service.group_poll_times[1] < SINGLY_SECONDS + 6
        so_far = len(service.singles)
        await asyncio.sleep(30)
        assert len(service.singles) == so_far
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_group_of_one_is_polled_singly_for_a_minute_too() -> None:
    service = Service(list_threshold=1)
    service.groups = [GroupResult(failure="broken")]
    service.start(1)
    await asyncio.sleep(SINGLY_SECONDS - 1)
    assert service.group_poll_times == [0]
    assert len(service.singles) > 15
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_group_poll_may_take_as_long_as_the_single_polls_it_replaces() -> None:
    service = Service(at_once=1, seconds=0.9)
    service.start(8)
    await asyncio.sleep(0.5)
    service.start(1, first=8)  # whose poll of 0.9 s makes the mean of 0.1 s longer
    await asyncio.sleep(3)
    assert service.group_poll_times == [0, 3.1]
    assert service.patiences == pytest.approx([2 * 0.1 * 8, 2 * 0.2 * 9])
    service.poller.close(CLOSED)
    await nothing_left(service.poller)
    service = Service()
    service.start(8)
    await asyncio.sleep(1)
    assert service.patiences == [PATIENCE]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_delayed_single_polls_do_not_extend_the_time_of_a_group_poll() -> None:
    service = Service()
    service.held = 10
    service.start(1)
    await asyncio.sleep(10.5)
    service.start(8, first=1)
    await asyncio.sleep(11)
    assert service.patiences == [PATIENCE]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@pytest.mark.parametrize(("list_threshold", "patience"), [(1, math.inf), (2, PATIENCE)])
def test_a_group_poll_has_no_time_limit_only_with_strategy_list(
    list_threshold: int, patience: float
) -> None:
    async def main() -> None:
        service = Service(list_threshold=list_threshold)
        service.start(list_threshold)
        await asyncio.sleep(1)
        assert service.patiences == [patience]
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_no_list_is_polled_for_a_target_that_was_polled_meanwhile() -> None:
    service = Service()
    service.start(1)
    service.start(7, first=1, gap=30)
    await asyncio.sleep(2)
    service.poller.poll_now("k0")
    await asyncio.sleep(4)
    assert service.singles == [(2, "k0")]
    assert service.group_poll_times == [0, 5.1]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_refused_group_is_held() -> None:
    service = Service()
    service.groups = [refused(5), refused(7)]
    waits = service.start(10)
    newcomer = service.start(1, first=10)[0]
    await asyncio.sleep(3)
    service.start(1, first=11)  # its first poll is its own
    service.poller.poll_now("k1")  # but this one is held, too
    await asyncio.sleep(11)
    assert service.singles == [(3, "k11")]
    assert service.group_poll_times == [0, 5.1, 12.2]
    assert waits[0].seen == newcomer.seen == [(12.3, PENDING)]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_group_that_is_refused_three_times_is_polled_singly() -> None:
    service = Service()
    service.groups = [refused(5)] * REFUSALS
    service.start(10)
    await asyncio.sleep(12)
    assert service.group_poll_times == [0, 5.1, 10.2]
    assert [when for when, _ in service.singles] == [10.3] * 10
    await asyncio.sleep(SINGLY_SECONDS + 4)
    assert len(service.group_poll_times) > 3
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_deadline_in_a_held_group_is_kept() -> None:
    service = Service()
    service.groups = [refused(50)]
    waits = service.start(10, timeout=20)
    await asyncio.sleep(21)
    assert {wait.ended_at for wait in waits} == {20}
    assert {wait.ended for wait in waits} == {"expired"}
    await nothing_left(service.poller)


@pytest.mark.parametrize("after", [0.05, 0.5])
@pytest.mark.parametrize("count", [1, 7])
def test_new_waits_during_or_after_a_group_poll_get_single_polls(after: float, count: int) -> None:
    async def main() -> None:
        service = Service()
        service.start(20)
        await asyncio.sleep(after)
        newcomers = service.start(count, first=20)
        await asyncio.sleep(1)
        assert service.group_poll_times == [0]
        assert [when for when, _ in service.singles] == [after] * count
        assert {len(wait.seen) for wait in newcomers} == {1}
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_many_new_waits_are_polled_as_a_group() -> None:
    service = Service()
    service.start(20)
    await asyncio.sleep(0.5)
    newcomers = service.start(8, first=20)
    await asyncio.sleep(0.2)
    assert service.singles == []
    assert service.group_poll_times == [0, 0.5]
    assert {tuple(wait.seen) for wait in newcomers} == {((0.6, PENDING),)}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_many_new_waits_share_a_running_group_poll() -> None:
    service = Service()
    service.start(20)
    await asyncio.sleep(0.05)
    newcomers = service.start(8, first=20)
    await asyncio.sleep(1)
    assert service.singles == []
    assert service.group_poll_times == [0]
    assert {tuple(wait.seen) for wait in newcomers} == {((0.1, PENDING),)}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_many_new_waits_of_a_held_group_wait_for_the_hold() -> None:
    service = Service()
    service.groups = [refused(5)]
    service.start(20)
    await asyncio.sleep(1)
    newcomers = service.start(8, first=20)
    await asyncio.sleep(5)
    assert service.singles == []
    assert service.group_poll_times == [0, 5.1]
    assert {tuple(wait.seen) for wait in newcomers} == {((5.2, PENDING),)}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_wait_that_needs_the_whole_batch_gets_it() -> None:
    service = Service()
    service.start(20)
    service.start(1, first=20, whole=True)
    await asyncio.sleep(1)
    assert service.singles == [(0, "k20")]
    assert service.wholes == [True]
    assert service.group_poll_times == [0]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_wait_for_the_whole_batch_gets_no_list_result_while_that_is_queued() -> None:
    service = Service(at_once=2)
    service.seconds = 5
    whole = service.start(3, whole=True)  # the third one has to wait for a place
    others = service.start(20, first=3)
    await asyncio.sleep(20)
    assert len(others[0].seen) > 1
    assert [len(wait.seen) <= len(service.at(wait.key)) for wait in whole] == [True] * 3
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


class WholeAfter(FakeWait):
    """A wait that needs the whole batch once, after its first result."""

    def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
        super().observe(result, now, sent)
        self.needs_object = len(self.seen) == 1
        if self.needs_object:
            self.due = now


@poller_test
async def test_a_wait_of_a_group_that_comes_to_need_the_whole_batch_gets_it_at_once() -> None:
    service = Service()
    service.start(8)
    await asyncio.sleep(0.5)
    service.poller.start(WholeAfter("k8"))
    await asyncio.sleep(1)
    assert service.singles == [(0.5, "k8"), (0.6, "k8")]
    assert service.wholes == [False, True]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


class Later(FakeWait):
    """A wait whose next poll comes after some seconds, is a whole read, or never comes."""

    def __init__(self, key: str, gap: float | None) -> None:
        super().__init__(key, timeout=8, fresh=5)
        self.next_gap = gap

    def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
        super().observe(result, now, sent)
        self.needs_object = self.next_gap is not None
        self.due = math.inf if self.next_gap is None else now + self.next_gap


@pytest.mark.parametrize("gap", [None, 1])
def test_a_joining_wait_with_a_fresh_result_gets_the_poll_it_needs_next(
    gap: float | None,
) -> None:
    async def main() -> None:
        service = Service()
        service.start(8, gap=20)
        await asyncio.sleep(1)
        service.poller.start(joiner := Later("k0", gap))
        await asyncio.sleep(1.5)
        assert service.singles == ([] if gap is None else [(2, "k0")])
        assert service.wholes == ([] if gap is None else [True])
        await asyncio.sleep(10)
        assert joiner.ended_at == 9
        assert service.group_poll_times == [0]
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_joining_wait_of_a_held_group_gets_the_whole_batch() -> None:
    service = Service()
    service.start(8)
    await asyncio.sleep(3)
    service.groups = [refused(50)]
    await asyncio.sleep(1)
    service.poller.start(Later("k0", 1))
    await asyncio.sleep(1.5)
    assert service.singles == [(5, "k0")]
    assert service.wholes == [True]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@pytest.mark.parametrize("group", ["polled", "held"])
def test_a_joining_wait_that_needs_the_whole_batch_does_not_wait_for_the_group(
    group: str,
) -> None:
    async def main() -> None:
        service = Service()
        service.group_seconds = 0.5
        service.start(20, gap=9)
        service.start(1, gap=10, whole=True)
        await asyncio.sleep(9)
        service.groups = [refused(50)]
        await asyncio.sleep(0.8 if group == "polled" else 1.1)  # it was at 9.5, until 10
        now = clock()
        service.poller.start(joiner := FakeWait("k0", gap=1))
        await asyncio.sleep(2)
        assert [when for when, _ in joiner.seen] == pytest.approx([now, now + 1.1])
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_a_joining_wait_without_a_fresh_result_gets_a_single_poll() -> None:
    service = Service()
    service.start(8, gap=20)
    await asyncio.sleep(5)
    service.start(1, gap=20)
    await asyncio.sleep(1)
    assert service.singles == [(5, "k0")]
    assert service.group_poll_times == [0]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_batches_whose_workspace_becomes_known_are_polled_by_its_list_next() -> None:
    homes: dict[str, str] = {}
    service = Service(group_of=homes.get)
    service.start(8)
    await asyncio.sleep(1)
    homes |= {f"k{number}": "home" for number in range(8)}
    await asyncio.sleep(3)
    assert [name for _, name, _ in service.group_polls] == [None, "home"]
    assert service.singles == []
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


class Unknown(Service):
    """Batches of unknown workspaces: a search shows those of one workspace."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        super().__init__(group_of=(known := dict[str, str]()).get)
        self.homes = homes
        self.known = known

    async def poll_group(
        self,
        name: str | None,
        keys: list[str],
        wanted: Container[str],
        patience: float,
        sent: Callable[[], object],
    ) -> GroupResult:
        self.group_polls.append((clock(), name, keys))
        await self.take(self.group_seconds)
        home = name or self.homes[keys[0]]
        shown = [key for key in keys if self.homes[key] == home]
        self.known |= dict.fromkeys(shown, home)
        found = {key: self.shown.get(key, PENDING) for key in shown}
        return GroupResult(found=found, again=not name and len(shown) > 1)


@poller_test
async def test_unknown_workspaces_are_found() -> None:
    service = Unknown({f"k{number}": "abc"[number % 3] for number in range(60)})
    waits = service.start(60)
    await asyncio.sleep(2)
    assert [(name, len(keys)) for _, name, keys in service.group_polls] == [
        (None, 60),
        (None, 40),
        (None, 20),
    ]
    assert service.singles == []
    assert {len(wait.seen) for wait in waits} == {1}
    await asyncio.sleep(3)
    assert sorted((str(name), len(keys)) for _, name, keys in service.group_polls[3:]) == [
        ("a", 20),
        ("b", 20),
        ("c", 20),
    ]
    assert set(service.scheduler.groups.by_workspace) == {"a", "b", "c"}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_found_workspace_completes_its_group_at_once() -> None:
    service = Unknown({f"k{number}": "a" for number in range(12)})
    service.known |= {f"k{number}": "a" for number in range(4)}
    service.start(4)
    service.start(8, first=4, gap=50)
    await asyncio.sleep(1)
    assert [key for _, key in service.singles] == [f"k{number}" for number in range(4)]
    await asyncio.sleep(3)
    assert [(name, len(keys)) for _, name, keys in service.group_polls] == [(None, 8), ("a", 12)]
    assert len(service.singles) == 4
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_unknown_batches_alone_in_their_workspaces_are_polled_singly() -> None:
    service = Unknown({f"k{number}": f"home of {number}" for number in range(20)})
    waits = service.start(20)
    await asyncio.sleep(2)
    assert len(service.group_polls) == 1
    assert len(service.singles) == 19
    assert {len(wait.seen) for wait in waits} == {1}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_few_unknown_batches_that_remain_are_polled_singly() -> None:
    service = Unknown({f"k{number}": "a" if number < 20 else "b" for number in range(25)})
    waits = service.start(25)
    await asyncio.sleep(2)
    assert len(service.group_polls) == 1
    assert len(service.singles) == 5
    assert {len(wait.seen) for wait in waits} == {1}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_target_whose_group_becomes_known_moves() -> None:
    names: dict[str, str] = {}
    service = Service(group_of=names.get)
    service.start(16)
    await asyncio.sleep(1)
    names |= {f"k{number}": "home" for number in range(8)}
    await asyncio.sleep(8)
    assert service.singles == []
    latest = {name: sorted(keys) for _, name, keys in service.group_polls}
    assert latest["home"] == [f"k{number}" for number in range(8)]
    assert latest[None] == sorted(f"k{number}" for number in range(8, 16))
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_targets_that_stay_are_not_polled_for_eager_targets_that_moved() -> None:
    names: dict[str, str] = {}
    service = Service(group_of=names.get)
    service.start(8)
    service.start(8, first=8, gap=20)
    await asyncio.sleep(1)
    names |= {f"k{number}": "home" for number in range(8)}
    await asyncio.sleep(18)
    assert [when for when, name, _ in service.group_polls if name is None] == [0]
    await asyncio.sleep(2)
    assert [when for when, name, _ in service.group_polls if name is None] == [0, 20.1]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_known_group_stays_known_while_it_has_waits() -> None:
    names = {f"k{number}": "home" for number in range(8)}
    service = Service(group_of=names.get)
    service.start(8)
    await asyncio.sleep(1)
    names.clear()  # as when too many were to be remembered
    await asyncio.sleep(8)
    assert service.singles == []
    assert {name for _, name, _ in service.group_polls} == {"home"}
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_no_group_poll_is_made_without_waits() -> None:
    service = Service(at_once=8)
    service.seconds = 10
    service.start(8, whole=True)  # take all places
    await asyncio.sleep(1)
    late = service.start(8, first=8)  # their group poll has to wait for one
    await asyncio.sleep(1)
    service.leave(late)
    await asyncio.sleep(30)
    assert all(keys for _, _, keys in service.group_polls)
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_queued_list_poll_that_no_target_needs_any_more_makes_room() -> None:
    service = Service(at_once=1, seconds=1)
    blocker = service.start(1, first=8, whole=True)
    await asyncio.sleep(0.1)
    service.start(8)  # their group poll has to wait
    await asyncio.sleep(0.1)
    wholes = service.start(8, whole=True)  # polls of each come next, and serve as well
    await asyncio.sleep(0.1)
    service.leave(blocker)
    await asyncio.sleep(10)
    service.leave(wholes)
    await asyncio.sleep(10)
    assert service.singles[1:9] == [(0.3 + number, f"k{number}") for number in range(8)]
    assert all(keys for _, _, keys in service.group_polls)
    assert service.group_poll_times[-1] > 15
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


# --- poll now --------------------------------------------------------------------------------


@poller_test
async def test_poll_now_makes_one_single_poll() -> None:
    service = Service()
    service.start(1, gap=10)
    await asyncio.sleep(1)
    for _ in range(100):
        service.poller.poll_now("k0")
    await asyncio.sleep(5)
    service.poller.poll_now("unheard of")
    assert service.at("k0") == [0, 1]
    await asyncio.sleep(6)
    assert service.at("k0") == [0, 1, 11.1]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_poll_now_during_a_poll_causes_another() -> None:
    service = Service()
    service.start(1, gap=10)
    await asyncio.sleep(0.05)
    for _ in range(100):
        service.poller.poll_now("k0")
    await asyncio.sleep(5)
    assert service.at("k0") == [0, 0.1]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@pytest.mark.parametrize(("count", "singles"), [(1, 1), (7, 7), (8, 0), (20, 0)])
def test_poll_now_for_a_few_of_a_group_polls_each_singly(count: int, singles: int) -> None:
    async def main() -> None:
        service = Service()
        waits = service.start(20, gap=10)
        await asyncio.sleep(1)
        for wait in waits[:count] * 3:
            service.poller.poll_now(wait.key)
        await asyncio.sleep(1)
        assert [when for when, _ in service.singles] == [1] * singles
        assert service.group_poll_times == ([0] if singles else [0, 1])
        await asyncio.sleep(7)
        assert len(service.group_polls) == (1 if singles else 2)  # the group keeps its own time
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_poll_now_for_many_of_a_held_group_waits_for_the_hold() -> None:
    service = Service()
    service.groups = [refused(5)]
    waits = service.start(20, gap=50)
    await asyncio.sleep(1)
    for wait in waits:
        service.poller.poll_now(wait.key)
    await asyncio.sleep(20)
    assert service.singles == []
    assert service.group_poll_times == [0, 5.1]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_wait_that_expires_as_its_group_is_due_causes_no_single_poll() -> None:
    service = Service()
    service.group_seconds = 0.125  # these times have no rounding
    service.start(8)
    await asyncio.sleep(0.0625)
    (expiring,) = service.start(1, timeout=3.0625)  # over as the group is due again
    await asyncio.sleep(4)
    assert expiring.ended_at == 3.125
    assert service.group_poll_times == [0, 3.125]
    assert service.singles == []
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_target_that_is_due_as_another_expires_is_polled() -> None:
    service = Service(seconds=0)
    (expiring,) = service.start(1, timeout=3)
    service.start(1, first=1)
    await asyncio.sleep(4)
    assert expiring.ended_at == 3
    assert service.at("k1") == [0, 3]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_a_list_is_not_polled_for_a_wait_that_left() -> None:
    service = Service()
    service.group_seconds = 0
    service.start(20, gap=10)
    (eager,) = service.start(1, first=20, gap=1)
    await asyncio.sleep(1.5)
    service.poller.leave(eager)
    await asyncio.sleep(9)
    assert service.group_poll_times == [0, 1]
    await asyncio.sleep(1)
    assert service.group_poll_times == [0, 1, 11]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_many_waits_that_end_leave_no_heap_entries_behind() -> None:
    service = Service()
    service.start(10)
    for first in range(10, 5000, 10):
        waits = service.start(10, first=first, timeout=1000)
        await asyncio.sleep(0.5)
        service.leave(waits)
    assert len(service.poller._scheduler._heap) < 200
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@pytest.mark.parametrize("count", [1, 8])
def test_poll_now_for_a_wait_that_left_during_a_poll_sets_no_timer(count: int) -> None:
    async def main() -> None:
        service = Service()
        waits = service.start(count)
        await asyncio.sleep(0.05)
        service.poller.poll_now("k0")
        service.leave(waits)
        await service.poller.until_idle()
        assert service.poller._timer is None
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_poll_now_for_a_wait_whose_deadline_has_come_is_no_poll() -> None:
    loop: Any = asyncio.get_running_loop()
    service = Service()
    service.start(1, timeout=2)
    await asyncio.sleep(1)
    loop.now += 5
    service.poller.poll_now("k0")
    await asyncio.sleep(1)
    assert service.at("k0") == [0]
    await nothing_left(service.poller)


@poller_test
async def test_poll_now_during_a_poll_survives_a_group_poll() -> None:
    service = Service(seconds=2)
    service.start(8)
    await asyncio.sleep(2.9)
    service.poller.poll_now("k0")
    await asyncio.sleep(0.1)
    service.poller.poll_now("k0")
    await asyncio.sleep(3)
    assert service.group_poll_times[:2] == [0, 3.1]
    assert service.at("k0") == [2.9, 4.9]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@poller_test
async def test_poll_now_during_a_group_poll_causes_another() -> None:
    service = Service()
    waits = service.start(10, gap=10)
    await asyncio.sleep(0.05)
    service.poller.poll_now("k0")
    await asyncio.sleep(5)
    assert [when for when, _ in waits[0].seen] == [0.1, 0.2]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)


@pytest.mark.parametrize("why", ["failed", "missing"])
def test_poll_now_polls_singly_each_batch_that_the_list_lacks(
    why: str,
) -> None:
    async def main() -> None:
        service = Service()
        waits = service.start(20, gap=10)
        await asyncio.sleep(1)
        if why == "failed":
            service.groups = [GroupResult(failure="broken")]
        else:
            service.missing = {wait.key for wait in waits}
        for wait in waits:
            service.poller.poll_now(wait.key)
        await asyncio.sleep(2)
        assert service.group_poll_times == [0, 1]
        assert sorted(service.singles) == sorted((1.1, wait.key) for wait in waits)
        service.poller.close(CLOSED)
        await nothing_left(service.poller)

    run(main())


@poller_test
async def test_poll_now_for_a_separate_target_survives_a_poll_of_its_group() -> None:
    service = Service()
    service.missing = {"k3"}
    service.start(20, gap=10)
    await asyncio.sleep(5)
    service.poller.poll_now("k3")
    (group,) = service.scheduler.groups.by_workspace.values()
    assert isinstance(group, WorkspaceGroup)
    # Comes first, in this very moment.
    assert service.scheduler._queue(group, asyncio.get_running_loop().time())
    service.poller._queue.append(group)
    service.poller._start_queued_polls()
    await asyncio.sleep(1)
    assert service.at("k3") == [0.1, 5]
    service.poller.close(CLOSED)
    await nothing_left(service.poller)
