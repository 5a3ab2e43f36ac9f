"""Targets and groups: which poll serves a target, when a list is polled, and what is logged."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from prolific_async._polling.poll_results import GroupResult, PollResult
from prolific_async._polling.targets import (
    HEAVY,
    IDLE,
    POLLED,
    SHOWN,
    SINGLY_SECONDS,
    PollTarget,
    WorkspaceGroup,
)

GOOD, FAILED = GroupResult(size=100), GroupResult(failure="HTTP 503")
REFUSED = GroupResult(failure="HTTP 429", refused_for=5)


def a_group(count: int = 2, list_threshold: float = 2) -> WorkspaceGroup:
    group = WorkspaceGroup("home", list_threshold)
    group.targets = dict.fromkeys(PollTarget(f"k{number}") for number in range(count))
    return group


@pytest.fixture
def group() -> WorkspaceGroup:
    return a_group()


def test_only_changes_of_a_group_are_logged(group: WorkspaceGroup) -> None:
    polls = [GOOD, GOOD, REFUSED, REFUSED, GOOD, FAILED, FAILED, GOOD]
    assert [group.take_result(poll, 0) for poll in polls] == [
        "batches of workspace home (2) are polled as a group",
        None,
        "batches of workspace home (2) are not polled for 5 s: HTTP 429",
        None,
        "batches of workspace home (2) are polled as a group",
        "batches of workspace home (2) are polled singly for 60 s: HTTP 503",
        None,
        "batches of workspace home (2) are polled as a group",
    ]


@pytest.mark.parametrize("count", [2, 8])
def test_a_list_may_be_large_for_many_waits(count: int) -> None:
    group, bound = a_group(count), count * HEAVY
    group.take_result(GroupResult(size=bound), 0)
    assert group.is_listed(0)
    told = group.take_result(GroupResult(size=bound + 1), 0)
    assert not group.is_listed(SINGLY_SECONDS - 1)
    assert group.is_listed(SINGLY_SECONDS)
    assert told is not None
    assert told.endswith(f"60 s: the list has {bound + 1} bytes, too many for {count} batches")


def test_a_small_list_without_waits_is_not_too_large() -> None:
    group = a_group(0)
    assert "too many" not in (group.take_result(GroupResult(size=HEAVY), 0) or "")
    assert "too many for 0 batches" in (group.take_result(GroupResult(size=HEAVY + 1), 0) or "")


def test_with_strategy_list_a_list_is_never_too_large() -> None:
    group = a_group(1, list_threshold=1)
    told = group.take_result(GroupResult(size=1000 * HEAVY), 0)
    assert told == "batches of workspace home (1) are polled as a group"
    assert group.singly_until < 0


@pytest.mark.parametrize("between", [GOOD, FAILED])
def test_only_consecutive_refusals_count(group: WorkspaceGroup, between: GroupResult) -> None:
    group.take_result(REFUSED, 0)
    group.take_result(REFUSED, 0)
    group.take_result(between, 0)
    for _ in range(2):
        group.take_result(REFUSED, 100)
        assert group.held_until == 105
        assert group.is_listed(100)
    group.take_result(REFUSED, 100)
    assert not group.is_listed(100)


def test_a_failed_search_for_workspaces_does_not_separate_the_group(group: WorkspaceGroup) -> None:
    polls = [GroupResult(size=100, gave_up="alone"), GOOD]
    assert [group.take_result(poll, 0) for poll in polls] == [
        "batches of workspace home (2) are polled singly for 60 s: alone",
        "batches of workspace home (2) are polled as a group",
    ]
    assert group.is_listed(0)


@pytest.mark.parametrize("later", [FAILED, GroupResult(size=10**9)])
def test_a_group_whose_list_lags_is_polled_singly_for_good(
    group: WorkspaceGroup, later: GroupResult
) -> None:
    group.singly_until = math.inf  # while a poll of it was under way
    group.take_result(later, 0)
    assert not group.is_listed(SINGLY_SECONDS)
    group.poll_singly(0)
    assert not group.is_listed(SINGLY_SECONDS)


def test_batches_of_unknown_workspaces_are_logged_without_a_name() -> None:
    assert (
        WorkspaceGroup(None, 2).take_result(GOOD, 0)
        == "batches of unknown workspaces (0) are polled as a group"
    )


# --- which poll serves a target --------------------------------------------------------------


def in_group(
    *, group: int = IDLE, singly_until: float = -math.inf, whole: bool = False
) -> PollTarget:
    home, target = a_group(0), PollTarget("k")
    home.add(target)
    home.stage, target.singly_until, target.needs_object = group, singly_until, whole
    return target


def test_a_batch_that_a_list_lacked_fits_its_group_from_the_end_of_the_pause_on() -> None:
    target = in_group(singly_until=5)
    assert [target.fits_group(now) for now in (4.9, 5, 6)] == [False, True, True]
    target.needs_object = True
    assert not target.fits_group(6)


def test_a_target_is_served_by_its_own_poll_or_by_its_groups() -> None:
    alone = PollTarget("alone")
    assert alone.serving(0) is alone
    for target in (
        in_group(group=IDLE),
        in_group(group=POLLED, singly_until=5),
        in_group(group=POLLED, whole=True),
    ):
        assert target.serving(0) is target
    target = in_group(group=POLLED)
    assert target.serving(0) is target.group
    target.stage = POLLED
    assert target.serving(0) is target


@pytest.mark.parametrize(
    ("stage", "begun", "sent_at", "held"),
    [
        (POLLED, False, 3.0, True),  # when the poll before it was sent
        (POLLED, True, None, True),
        (POLLED, True, 3.0, False),
        (SHOWN, False, 3.0, False),
    ],
)
def test_a_poll_is_held_until_it_is_sent(
    stage: int,
    begun: bool,  # noqa: FBT001
    sent_at: float | None,
    held: bool,  # noqa: FBT001
) -> None:
    target = PollTarget("k")
    target.stage, target.sent_at = stage, sent_at
    target.task = object() if begun else None
    assert target.is_held(0) is held
    assert target.is_sent is (begun and sent_at is not None)


def test_a_poll_is_held_until_the_end_of_a_pause() -> None:
    target = PollTarget("k")
    target.not_before = 5
    assert [target.is_held(now) for now in (4.9, 5, 5.1)] == [True, True, False]


def test_a_poll_is_held_until_the_group_may_be_polled_again() -> None:
    target = in_group()
    assert target.group is not None
    assert not target.is_held(0)
    target.group.held_until = 5
    assert [target.is_held(now) for now in (4.9, 5)] == [True, False]
    target.needs_object = True  # its own poll is not held
    assert not target.is_held(4.9)


def test_a_pause_after_a_failure_spares_a_new_wait_its_poll_until_it_is_over() -> None:
    target, wait = PollTarget("k"), new_wait(initial=1)
    assert not target.can_use_newest_result(wait, 0)
    target.not_before = 5
    assert [target.can_use_newest_result(wait, now) for now in (4.9, 5)] == [True, False]
    target.result_at = 4.5
    assert [target.can_use_newest_result(wait, now) for now in (5.4, 5.5)] == [True, False]


def new_wait(**policy: float) -> Any:
    return SimpleNamespace(policy=SimpleNamespace(**policy))


def test_a_list_poll_serves_the_targets_that_have_no_other_poll() -> None:
    target = in_group()
    group: Any = target.group
    assert group.serve(target, 0)
    target.stage = POLLED
    assert not group.serve(target, 0)
    target.stage, target.singly_until = IDLE, 5
    assert not group.serve(target, 4)
    assert group.serve(target, 5)


def test_a_target_that_asked_and_was_not_shown_still_asks() -> None:
    shown, missing = PollTarget("shown"), PollTarget("missing")
    group = a_group(0)
    for target in (shown, missing):
        group.add(target)
        target.poll_requested = True
        assert group.serve(target, 0)
        assert target.poll_requested is False
    group.take_result(GroupResult(found={"shown": PollResult()}), 0)
    assert [target.poll_requested for target in (shown, missing)] == [False, True]


def test_a_group_shows_its_result_until_all_have_seen_it() -> None:
    group = a_group()
    group.take_result(GOOD, 0)
    assert group.stage == IDLE  # nothing to show
    group.take_result(GroupResult(found={"k0": PollResult()}), 0)
    assert group.stage == SHOWN
    assert group.end_showing() == []
    assert group.stage == IDLE
    group.stage = POLLED  # meanwhile the next poll
    group.end_showing()
    assert group.stage == POLLED


def test_all_targets_are_planned_when_one_came_while_a_result_was_shown() -> None:
    group = a_group()
    group.add(PollTarget("early"))
    assert group.end_showing() == []
    group.stage = SHOWN
    group.add(PollTarget("late"))
    assert [target.key for target in group.end_showing()] == ["k0", "k1", "early", "late"]
    assert group.end_showing() == []
