"""Checks of a list by single polls: a list that lags is found, and no wait times out."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from typing import Any

import pytest

from prolific_async import BatchStatus, PollPolicy, ProlificClient
from prolific_async._polling.list_checks import EVERY, ListCheck
from prolific_async._polling.poll_results import GroupResult, PollResult, is_older
from prolific_async._polling.targets import POLLED, PollTarget
from prolific_async.simulator import Fault, Simulator
from tests.polling.fakes import BROKEN, PENDING, READY, Service, nothing_left, poller_test
from tests.virtual_time import LoopbackLoop, run

OLD = PollResult(BatchStatus.UNINITIALISED)


# --- rules -----------------------------------------------------------------------------------


def a_target(key: str = "k", **changes: Any) -> PollTarget:
    target = PollTarget(key)
    for name, value in ({"waits": ("a wait",)} | changes).items():
        setattr(target, name, value)
    return target


def test_checks_are_due_half_a_minute_after_the_first_list_and_then_each_minute() -> None:
    check, target = ListCheck(), a_target()
    found = {"k": PENDING}
    times = [0.0, 29.9, 30.0, 30.1, 89.9, 90.0]
    assert [check.choose([target], found, now) for now in times] == [
        *(None, None, target),
        *(None, None, target),
    ]
    assert check.key == "k"


@pytest.mark.parametrize(
    "unfit",
    [
        a_target("not shown"),
        a_target(waits=()),
        a_target(stage=POLLED),
        a_target(needs_object=True),
    ],
)
def test_only_a_target_that_is_shown_and_waited_for_is_checked(unfit: PollTarget) -> None:
    check, fit = ListCheck(), a_target("fit")
    found = {"k": PENDING, "fit": PENDING}
    check.choose([], found, 0)
    assert check.choose([unfit], found, EVERY) is None
    assert check.key is None
    assert check.choose([unfit, fit], found, EVERY) is fit


def a_check(result: PollResult = READY, *, list_is_polled: bool = False) -> ListCheck:
    """Return a check whose single poll showed a result, after a list that shows PROCESSING."""
    check, target = ListCheck(), a_target(result=PENDING)
    check.choose([target], {"k": PENDING}, 0)
    check.choose([target], {"k": PENDING}, EVERY)
    check.take_single_result(target, result, list_is_polled=list_is_polled)
    return check


@pytest.mark.parametrize(("result", "news"), [(READY, True), (PENDING, False), (BROKEN, False)])
def test_only_a_newer_state_than_the_lists_is_news(
    result: PollResult,
    news: bool,  # noqa: FBT001
) -> None:
    check, target = ListCheck("k"), a_target(result=PENDING)
    assert check.take_single_result(target, result, list_is_polled=False) is news
    assert check.key == ("k" if news else None)


def test_polls_that_check_nothing_are_news() -> None:
    assert ListCheck("other").take_single_result(
        a_target(result=PENDING), PENDING, list_is_polled=False
    )
    assert a_check().take_single_result(a_target(result=PENDING), PENDING, list_is_polled=False)


@pytest.mark.parametrize(("polled", "lags"), [(False, [False, True]), (True, [False, False, True])])
def test_a_list_lags_when_it_is_older_twice(polled: bool, lags: list[bool]) -> None:  # noqa: FBT001
    check = a_check(list_is_polled=polled)
    assert [check.lags({"k": PENDING}) for _ in lags] == lags
    assert check.key == "k"


@pytest.mark.parametrize("found", [{"k": READY}, {}])
@pytest.mark.parametrize("after", [0, 1])
def test_a_list_that_catches_up_does_not_lag(found: dict[str, PollResult], after: int) -> None:
    check = a_check()
    for _ in range(after):
        assert not check.lags({"k": PENDING})
    assert not check.lags(found)
    assert check.key is None
    assert [check.lags({"k": PENDING}) for _ in range(3)] == [False] * 3


def test_a_list_that_was_asked_for_before_the_check_ended_proves_nothing() -> None:
    check = a_check(list_is_polled=True)
    assert not check.lags({"k": READY})
    assert check.key == "k"


def test_the_next_check_begins_anew() -> None:
    check, target = a_check(), a_target(result=PENDING)
    assert not check.lags({"k": PENDING})
    check.choose([target], {"k": PENDING}, 3 * EVERY)
    assert not check.lags({"k": PENDING})  # it has shown nothing yet
    check.take_single_result(target, READY, list_is_polled=False)
    assert [check.lags({"k": PENDING}) for _ in range(2)] == [False, True]


# --- with a poller ---------------------------------------------------------------------------


def make_service(**settings: Any) -> Service:
    return Service(checks_lists=True, **settings)


def list_shows(service: Service, seen: PollResult = PENDING, count: int = 12) -> None:
    service.groups += [GroupResult(found={f"k{n}": seen for n in range(count)}, size=100)] * 500


@poller_test
async def test_one_batch_a_minute_is_polled_singly_in_turn() -> None:
    service = make_service()
    waits = service.start(12, gap=3.0)
    await asyncio.sleep(13 * 60)
    assert len(service.singles) == 13
    times = [when for when, _ in service.singles]
    assert 30 <= times[0] < 34
    assert all(60 <= after - before < 64 for before, after in pairwise(times))
    keys = [key for _, key in service.singles]
    assert len(set(keys[:12])) == 12
    # A check that agrees with the list is not shown to the waits.
    assert {len(one.seen) for one in waits} == {len(service.group_polls)}
    service.leave(waits)


@poller_test
async def test_a_list_that_lags_is_given_up_after_a_gap() -> None:
    service = make_service()
    list_shows(service)
    waits = service.start(12, gap=3.0)
    await asyncio.sleep(20)
    service.shown = {f"k{n}": READY for n in range(12)}
    await asyncio.sleep(30)
    assert {one.ended for one in waits} == {"ready"}
    found = service.singles[0][0]
    lists = [when for when in service.group_poll_times if when > found]
    assert len(lists) == 2
    again = service.start(12, gap=3.0)  # the list stays distrusted
    await asyncio.sleep(1)
    assert {one.ended for one in again} == {"ready"}
    assert service.group_poll_times[-1] == lists[-1]


@poller_test
async def test_a_list_with_an_older_pending_state_is_given_up_too() -> None:
    service = make_service()
    list_shows(service, OLD)
    service.shown = dict.fromkeys((f"k{n}" for n in range(12)), PENDING)
    waits = service.start(12, gap=3.0)
    await asyncio.sleep(60)
    assert len(service.group_polls) <= 13
    assert {one.seen[-1][1] for one in waits} == {PENDING}
    service.leave(waits)


@poller_test
async def test_a_list_that_is_late_by_less_than_a_gap_is_kept() -> None:
    service = make_service()
    waits = service.start(12, gap=3.0)
    await asyncio.sleep(26)
    service.groups += [GroupResult(found={f"k{n}": PENDING for n in range(12)}, size=100)] * 3
    service.shown = {"k0": READY}
    await asyncio.sleep(60 * 15)
    assert len(service.group_polls) > 290
    service.leave(waits)


@poller_test
async def test_a_list_requested_before_the_check_ended_is_not_compared() -> None:
    service = make_service(seconds=5.0)
    list_shows(service)
    waits = service.start(12, gap=3.0)
    await asyncio.sleep(25)
    service.shown = {f"k{n}": READY for n in range(12)}
    while not service.singles:
        await asyncio.sleep(0.5)
    polled = service.singles[0][0] + 5
    await asyncio.sleep(30)
    assert {one.ended for one in waits} == {"ready"}
    sent_later = [when for when in service.group_poll_times if when >= polled]
    assert len(sent_later) == 2


@pytest.mark.parametrize("seen", [BROKEN, OLD])
def test_a_check_that_shows_no_later_state_changes_nothing(seen: PollResult) -> None:
    @poller_test
    async def test() -> None:
        service = make_service()
        list_shows(service)
        service.shown = {f"k{n}": seen for n in range(12)}
        waits = service.start(12, gap=3.0)
        await asyncio.sleep(200)
        assert {tuple({seen for _, seen in one.seen}) for one in waits} == {(PENDING,)}
        assert len(service.singles) == 3
        assert len(service.group_polls) > 60
        service.leave(waits)

    test()


@poller_test
async def test_a_wait_that_joins_while_a_check_is_made_sees_it() -> None:
    service = make_service(seconds=2.0)
    waits = service.start(12, gap=3.0)
    while not service.singles:
        await asyncio.sleep(0.1)
    key = service.singles[0][1]
    (late,) = service.start(1, first=int(key[1:]), gap=3.0, fresh=0.0)
    await asyncio.sleep(2.1)
    assert [when for when, _ in late.seen] == [service.singles[0][0] + 2]
    service.leave([*waits, late])


async def break_off(service: Service) -> None:
    """Cancel the next check while it runs, as an application may that cancels all tasks."""
    already = len(service.singles)
    while len(service.singles) == already:
        await asyncio.sleep(0.05)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    (check,) = [task for task in tasks if ".get_status" in repr(task.get_coro())]
    check.cancel()


@poller_test
async def test_a_cancelled_check_ends_no_wait() -> None:
    service = make_service()
    waits = service.start(12, gap=3.0)
    await break_off(service)
    await asyncio.sleep(100)
    assert {seen for one in waits for _, seen in one.seen} == {PENDING}
    assert {len(one.seen) for one in waits} == {len(service.group_polls)}
    assert len(service.group_polls) > 40
    assert len({key for _, key in service.singles}) == len(service.singles) == 2
    service.leave(waits)
    await nothing_left(service.poller)


@poller_test
async def test_a_check_cancelled_while_its_target_is_due_is_a_failed_poll() -> None:
    service = make_service(seconds=5.0)
    waits = service.start(12, gap=3.0)
    while not service.singles:
        await asyncio.sleep(0.05)
    await asyncio.sleep(4)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    (check,) = [task for task in tasks if ".get_status" in repr(task.get_coro())]
    check.cancel()
    await asyncio.sleep(20)
    (checked,) = [one for one in waits if one.key == service.singles[0][1]]
    assert [seen.error is None for _, seen in checked.seen].count(False) == 1
    assert checked.seen[-1][1] == PENDING
    assert len(service.singles) == 1
    service.leave(waits)
    await nothing_left(service.poller)


@poller_test
async def test_a_list_that_lags_is_given_up_after_a_cancelled_check() -> None:
    service = make_service()
    list_shows(service)
    waits = service.start(12, gap=3.0)
    await asyncio.sleep(20)
    service.shown = {f"k{n}": READY for n in range(12)}
    await break_off(service)
    await asyncio.sleep(80)
    assert {one.ended for one in waits} == {"ready"}
    found = service.singles[1][0]
    assert 60 <= found - service.singles[0][0] < 64
    assert len([when for when in service.group_poll_times if when > found]) == 2
    await nothing_left(service.poller)


@poller_test
async def test_a_wait_that_leaves_during_its_check_stops_no_other_check() -> None:
    service = make_service()
    list_shows(service)
    waits = service.start(12, gap=3.0)
    while not service.singles:
        await asyncio.sleep(0.05)
    (checked,) = [one for one in waits if one.key == service.singles[0][1]]
    service.leave([checked])
    service.shown = {f"k{n}": READY for n in range(12)}
    await asyncio.sleep(80)
    assert {one.ended for one in waits if one is not checked} == {"ready"}
    await nothing_left(service.poller)


@poller_test
async def test_the_only_target_of_a_list_is_checked_too() -> None:
    service = make_service(list_threshold=1)
    list_shows(service)
    waits = service.start(1, gap=3.0)
    await asyncio.sleep(20)
    service.shown = {"k0": READY}
    await asyncio.sleep(20)
    assert {one.ended for one in waits} == {"ready"}


@poller_test
async def test_batches_of_unknown_workspaces_are_not_checked() -> None:
    service = make_service(group_of=lambda _: None)
    waits = service.start(12, gap=3.0)
    await asyncio.sleep(100)
    assert service.singles == []
    service.leave(waits)


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ("UNINITIALISED", "PROCESSING", True),
        ("PROCESSING", "READY", True),
        ("PROCESSING", "ERROR", True),
        ("UNINITIALISED", "SYNCING", True),
        ("SYNCING", "READY", True),
        ("SYNCING", "PROCESSING", False),
        ("PROCESSING", "SYNCING", False),
        ("READY", "ERROR", False),
        ("READY", "PROCESSING", False),
        ("PROCESSING", "PROCESSING", False),
        (None, "READY", False),
        ("PROCESSING", None, False),
    ],
)
def test_is_older_compares_the_statuses_of_two_polls(
    one: str | None, other: str | None, answer: Any
) -> None:
    polls = [PollResult(None if status is None else BatchStatus(status)) for status in (one, other)]
    assert is_older(polls[0], polls[1]) is answer


@pytest.mark.parametrize("strategy", ["auto", "list"])
def test_waits_whose_list_lags_end_in_time(strategy: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LoopbackLoop)
        poll = PollPolicy(timeout=120)
        async with (
            Simulator() as sim,
            ProlificClient(sim.token, base_url=sim.url, poll=poll, strategy=strategy) as client,
        ):
            loop.may_jump = lambda: not sim.in_flight
            ids = [sim.add_batch(status="PROCESSING") for _ in range(12)]
            batches = await client.batches.list(sim.workspace_id)
            stale = {"results": [one.to_dict() for one in batches]}
            sim.inject("GET", "/batches", Fault(body=stale), times=None)
            waits = asyncio.create_task(client.batches.wait_all(ids))
            await asyncio.sleep(20)
            for one in ids:
                sim.set_status(one, "READY")
            assert [one.status for one in await waits] == ["READY"] * 12

    with caplog.at_level(logging.WARNING, "prolific_async"):
        run(main(), LoopbackLoop)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "polled singly from now on" in caplog.text
