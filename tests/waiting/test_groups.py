"""When a group is looked at as one, and what is told of that."""

from __future__ import annotations

import math

import pytest

from prolific_async._waiting.entries import APART, HEAVY, Entry, Group, GroupLook

GOOD, FAILED = GroupLook({}, 100), GroupLook(failure="HTTP 503")
REFUSED = GroupLook(failure="HTTP 429", refused_for=5)


@pytest.fixture
def group() -> Group:
    home = Group("home", 2)
    home.entries = dict.fromkeys([Entry("k0"), Entry("k1")])
    return home


def test_only_what_is_new_is_told(group: Group) -> None:
    looks = [GOOD, GOOD, REFUSED, REFUSED, GOOD, FAILED, FAILED, GOOD]
    assert [group.judge(look, 8, 0) for look in looks] == [
        "are looked at as one",
        None,
        "are held back for 5 s: HTTP 429",
        None,
        "are looked at as one",
        "are looked at singly for 60 s: HTTP 503",
        None,
        "are looked at as one",
    ]


@pytest.mark.parametrize(("served", "bound"), [(0, HEAVY), (1, HEAVY), (8, 8 * HEAVY)])
def test_a_look_may_be_heavy_for_many(group: Group, served: int, bound: int) -> None:
    group.judge(GroupLook({}, bound), served, 0)
    assert group.is_one(0)
    told = group.judge(GroupLook({}, bound + 1), served, 0)
    assert not group.is_one(APART - 1)
    assert group.is_one(APART)
    assert told == f"are looked at singly for 60 s: {bound + 1} bytes for {served} are too heavy"


def test_a_look_from_the_first_entry_on_may_be_as_heavy_as_it_is() -> None:
    group = Group("home", 1)
    assert group.judge(GroupLook({}, 1000 * HEAVY), 1, 0) == "are looked at as one"
    assert group.apart_until < 0


@pytest.mark.parametrize("between", [GOOD, FAILED])
def test_only_refusals_in_a_row_count(group: Group, between: GroupLook) -> None:
    group.judge(REFUSED, 8, 0)
    group.judge(REFUSED, 8, 0)
    group.judge(between, 8, 0)
    for _ in range(2):
        group.judge(REFUSED, 8, 100)
        assert group.held_until == 105
        assert group.is_one(100)
    group.judge(REFUSED, 8, 100)
    assert not group.is_one(100)


def test_a_look_that_gave_up_sets_the_group_itself_not_apart(group: Group) -> None:
    looks = [GroupLook({}, 100, gave_up="alone"), GOOD]
    assert [group.judge(look, 8, 0) for look in looks] == [
        "are looked at singly for 60 s: alone",
        "are looked at as one",
    ]
    assert group.is_one(0)


@pytest.mark.parametrize("later", [GroupLook(failure="HTTP 503"), GroupLook({}, 10**9)])
def test_a_group_that_is_distrusted_stays_apart(group: Group, later: GroupLook) -> None:
    group.apart_until = math.inf  # while a poll of it was under way
    group.judge(later, 8, 0)
    assert not group.is_one(APART)
    group.take_apart(0)
    assert not group.is_one(APART)
