"""Workspace groups: when the list is polled, and what is logged."""

from __future__ import annotations

import math

import pytest

from prolific_async._polling.poll_results import GroupResult
from prolific_async._polling.targets import APART, HEAVY, PollTarget, WorkspaceGroup

GOOD, FAILED = GroupResult(size=100), GroupResult(failure="HTTP 503")
REFUSED = GroupResult(failure="HTTP 429", refused_for=5)


def a_group(count: int = 2, few: float = 2) -> WorkspaceGroup:
    group = WorkspaceGroup("home", few)
    group.targets = dict.fromkeys(PollTarget(f"k{number}") for number in range(count))
    return group


@pytest.fixture
def group() -> WorkspaceGroup:
    return a_group()


def test_only_changes_of_a_group_are_logged(group: WorkspaceGroup) -> None:
    polls = [GOOD, GOOD, REFUSED, REFUSED, GOOD, FAILED, FAILED, GOOD]
    assert [group.take_result(poll, 0) for poll in polls] == [
        "home: 2 are polled as a group",
        None,
        "home: 2 are held back for 5 s: HTTP 429",
        None,
        "home: 2 are polled as a group",
        "home: 2 are polled singly for 60 s: HTTP 503",
        None,
        "home: 2 are polled as a group",
    ]


@pytest.mark.parametrize("count", [2, 8])
def test_a_list_may_be_large_for_many_waits(count: int) -> None:
    group, bound = a_group(count), count * HEAVY
    group.take_result(GroupResult(size=bound), 0)
    assert group.is_listed(0)
    told = group.take_result(GroupResult(size=bound + 1), 0)
    assert not group.is_listed(APART - 1)
    assert group.is_listed(APART)
    assert told is not None
    assert told.endswith(f"60 s: {bound + 1} bytes for {count} are too heavy")


def test_a_small_list_without_waits_is_not_too_large() -> None:
    group = a_group(0)
    assert "heavy" not in (group.take_result(GroupResult(size=HEAVY), 0) or "")
    assert "for 0 are too heavy" in (group.take_result(GroupResult(size=HEAVY + 1), 0) or "")


def test_with_strategy_list_a_list_is_never_too_large() -> None:
    group = a_group(1, few=1)
    told = group.take_result(GroupResult(size=1000 * HEAVY), 0)
    assert told == "home: 1 are polled as a group"
    assert group.apart_until < 0


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
        "home: 2 are polled singly for 60 s: alone",
        "home: 2 are polled as a group",
    ]
    assert group.is_listed(0)


@pytest.mark.parametrize("later", [FAILED, GroupResult(size=10**9)])
def test_a_group_whose_list_lags_is_polled_singly_for_good(
    group: WorkspaceGroup, later: GroupResult
) -> None:
    group.apart_until = math.inf  # while a poll of it was under way
    group.take_result(later, 0)
    assert not group.is_listed(APART)
    group.take_apart(0)
    assert not group.is_listed(APART)
