"""When a group is polled as a group, and what is told of that."""

from __future__ import annotations

import math

import pytest

from prolific_async._polling.targets import APART, HEAVY, GroupResult, PollTarget, WorkspaceGroup

GOOD, FAILED = GroupResult({}, 100), GroupResult(failure="HTTP 503")
REFUSED = GroupResult(failure="HTTP 429", refused_for=5)


@pytest.fixture
def group() -> WorkspaceGroup:
    home = WorkspaceGroup("home", 2)
    home.targets = dict.fromkeys([PollTarget("k0"), PollTarget("k1")])
    return home


def test_only_what_is_new_is_told(group: WorkspaceGroup) -> None:
    polls = [GOOD, GOOD, REFUSED, REFUSED, GOOD, FAILED, FAILED, GOOD]
    assert [group.judge(poll, 8, 0) for poll in polls] == [
        "are polled as a group",
        None,
        "are held back for 5 s: HTTP 429",
        None,
        "are polled as a group",
        "are polled singly for 60 s: HTTP 503",
        None,
        "are polled as a group",
    ]


@pytest.mark.parametrize(("served", "bound"), [(0, HEAVY), (1, HEAVY), (8, 8 * HEAVY)])
def test_a_poll_may_be_heavy_for_many(group: WorkspaceGroup, served: int, bound: int) -> None:
    group.judge(GroupResult({}, bound), served, 0)
    assert group.is_one(0)
    told = group.judge(GroupResult({}, bound + 1), served, 0)
    assert not group.is_one(APART - 1)
    assert group.is_one(APART)
    assert told == f"are polled singly for 60 s: {bound + 1} bytes for {served} are too heavy"


def test_a_poll_from_the_first_target_on_may_be_as_heavy_as_it_is() -> None:
    group = WorkspaceGroup("home", 1)
    assert group.judge(GroupResult({}, 1000 * HEAVY), 1, 0) == "are polled as a group"
    assert group.apart_until < 0


@pytest.mark.parametrize("between", [GOOD, FAILED])
def test_only_refusals_in_a_row_count(group: WorkspaceGroup, between: GroupResult) -> None:
    group.judge(REFUSED, 8, 0)
    group.judge(REFUSED, 8, 0)
    group.judge(between, 8, 0)
    for _ in range(2):
        group.judge(REFUSED, 8, 100)
        assert group.held_until == 105
        assert group.is_one(100)
    group.judge(REFUSED, 8, 100)
    assert not group.is_one(100)


def test_a_poll_that_gave_up_sets_the_group_itself_not_apart(group: WorkspaceGroup) -> None:
    polls = [GroupResult({}, 100, gave_up="alone"), GOOD]
    assert [group.judge(poll, 8, 0) for poll in polls] == [
        "are polled singly for 60 s: alone",
        "are polled as a group",
    ]
    assert group.is_one(0)


@pytest.mark.parametrize("later", [GroupResult(failure="HTTP 503"), GroupResult({}, 10**9)])
def test_a_group_that_is_distrusted_stays_apart(group: WorkspaceGroup, later: GroupResult) -> None:
    group.apart_until = math.inf  # while a poll of it was under way
    group.judge(later, 8, 0)
    assert not group.is_one(APART)
    group.take_apart(0)
    assert not group.is_one(APART)
