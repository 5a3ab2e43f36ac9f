"""Pending duplicates: no call ever gets another call's copy."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from prolific_async._recovery.duplicate import (
    PendingDuplicate,
    PendingDuplicates,
)

HOUR = 3600.0
NAMES = ["Round 2", "Original (Copy)", "Other"]


def opened(
    pending_duplicates: PendingDuplicates, name: str | None, now: float = 0.0
) -> PendingDuplicate:
    return pending_duplicates.open(name, now)


def ended(
    pending_duplicates: PendingDuplicates,
    pending: PendingDuplicate,
    now: float = 0.0,
    **outcome: Any,
) -> None:
    for key, value in outcome.items():
        setattr(pending, key, value)
    pending_duplicates.close(pending, now)


def test_a_single_call_with_a_name_may_take_its_copy() -> None:
    pending_duplicates = PendingDuplicates()
    assert pending_duplicates.is_only_call_for_name(opened(pending_duplicates, "Round 2"))


def test_a_call_with_the_default_name_is_never_alone() -> None:
    pending_duplicates = PendingDuplicates()
    assert not pending_duplicates.is_only_call_for_name(opened(pending_duplicates, None))


@pytest.mark.parametrize(
    ("name", "rival", "alone"),
    [
        ("Round 2", "Round 2", False),
        ("Round 2", "Round 3", True),
        ("Round 2", "round 2", True),
        ("Round 2", " Round 2\n", False),
        (" Round 2", "Round 2", False),
        ("Round 2", None, True),
        ("Original (Copy)", None, False),
        ("Original (Copy) ", None, False),
        ("Original (Copy)", "Original (Copy)", False),
        ("Original (Copy)", "Other (Copy)", True),
    ],
)
@pytest.mark.parametrize("rival_first", [True, False])
@pytest.mark.parametrize("lost", [True, False])
def test_another_call_in_flight_or_lost_leaves_a_call_in_doubt(
    name: str,
    rival: str | None,
    alone: bool,  # noqa: FBT001 - a case
    rival_first: bool,  # noqa: FBT001 - a case
    lost: bool,  # noqa: FBT001 - a case
) -> None:
    pending_duplicates = PendingDuplicates()
    if rival_first:
        other = opened(pending_duplicates, rival)
        mine = opened(pending_duplicates, name)
    else:
        mine = opened(pending_duplicates, name)
        other = opened(pending_duplicates, rival)
    if lost:
        ended(pending_duplicates, other)
    assert pending_duplicates.is_only_call_for_name(mine) is alone


def test_a_call_without_a_reported_outcome_is_lost() -> None:
    # The same for a cancelled call.
    pending_duplicates = PendingDuplicates()
    ended(pending_duplicates, opened(pending_duplicates, "Round 2"))
    assert not pending_duplicates.is_only_call_for_name(opened(pending_duplicates, "Round 2"))


def test_a_call_that_surely_did_not_run_disturbs_no_other() -> None:
    pending_duplicates = PendingDuplicates()
    other = opened(pending_duplicates, "Round 2")
    mine = opened(pending_duplicates, "Round 2")
    ended(pending_duplicates, other, may_have_run=False)
    assert pending_duplicates.is_only_call_for_name(mine)


def test_a_call_with_its_copy_disturbs_no_other_but_its_copy_is_taken() -> None:
    pending_duplicates = PendingDuplicates()
    other = opened(pending_duplicates, "Round 2")
    mine = opened(pending_duplicates, "Round 2")
    ended(pending_duplicates, other, copy="b-2")
    assert pending_duplicates.is_only_call_for_name(mine)
    assert pending_duplicates.is_taken("b-2")
    assert not pending_duplicates.is_taken("b-3")


def test_the_time_at_which_a_copy_was_returned_is_known() -> None:
    pending_duplicates = PendingDuplicates()
    pending = opened(pending_duplicates, "Round 2", now=10.0)
    ended(pending_duplicates, pending, now=12.5, copy="b-2")
    assert pending_duplicates.returned_at.get("b-2") == 12.5
    assert pending_duplicates.returned_at.get("b-3") is None


def test_old_calls_are_forgotten() -> None:
    pending_duplicates = PendingDuplicates()
    for number in range(3_000):
        ended(
            pending_duplicates,
            opened(pending_duplicates, None, now=number),
            now=number,
            copy=f"b-{number}",
        )
        ended(pending_duplicates, opened(pending_duplicates, "Round 2", now=number), now=number)
    late = opened(pending_duplicates, "Round 2", now=3 * HOUR)
    assert pending_duplicates.is_only_call_for_name(late)
    assert not pending_duplicates.is_taken("b-99")
    assert len(pending_duplicates.returned_at) == len(pending_duplicates._lost) == 0


def test_nothing_is_forgotten_while_an_open_call_needs_it() -> None:
    pending_duplicates = PendingDuplicates()
    slow = opened(pending_duplicates, "Round 2")
    other = opened(pending_duplicates, "Round 2", now=1.0)
    ended(pending_duplicates, other, now=2.0, copy="b-2")
    ended(pending_duplicates, opened(pending_duplicates, "Round 2", now=1.0), now=2.0)
    opened(pending_duplicates, "Other", now=5 * HOUR)
    assert pending_duplicates.is_taken("b-2")
    assert not pending_duplicates.is_only_call_for_name(slow)


def test_a_busy_client_remembers_one_hour() -> None:
    pending_duplicates = PendingDuplicates()
    for number in range(20_000):
        pending = opened(pending_duplicates, f"Round {number}", now=number)
        ended(pending_duplicates, pending, now=number + 1.0, copy=f"b-{number}")
    assert len(pending_duplicates.returned_at) <= HOUR + 2


def test_copies_are_remembered_for_an_hour() -> None:
    pending_duplicates = PendingDuplicates()
    ended(pending_duplicates, opened(pending_duplicates, "Round 2"), copy="b-0")
    did_not_run = opened(pending_duplicates, "Round 2", now=HOUR)
    ended(pending_duplicates, did_not_run, now=HOUR, may_have_run=False)
    assert pending_duplicates.is_taken("b-0")
    opened(pending_duplicates, "Round 2", now=HOUR + 1)
    assert not pending_duplicates.is_taken("b-0")


def test_another_call_counts_as_long_as_it_is_remembered() -> None:
    pending_duplicates = PendingDuplicates()
    for _ in range(2):
        ended(pending_duplicates, opened(pending_duplicates, "Round 2", now=0.0), now=1.0)
    nameless = opened(pending_duplicates, None, now=2.0)
    assert not pending_duplicates.is_only_call_for_name(
        opened(pending_duplicates, "Original (Copy)", now=2.0)
    )
    ended(pending_duplicates, nameless, now=3.0, copy="b-1")
    assert pending_duplicates.is_only_call_for_name(
        opened(pending_duplicates, "Other (Copy)", now=3.0)
    )
    assert not pending_duplicates.is_only_call_for_name(
        opened(pending_duplicates, "Round 2", now=4.0)
    )
    pending_duplicates = PendingDuplicates()
    ended(pending_duplicates, opened(pending_duplicates, "Round 2", now=0.0), now=1.0)
    assert pending_duplicates.is_only_call_for_name(
        opened(pending_duplicates, "Round 2", now=3 * HOUR)
    )
    assert dict(pending_duplicates._names) == {"Round 2": 1}


def cost_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def test_the_cost_of_a_call_does_not_grow() -> None:
    pending_duplicates = PendingDuplicates()
    going = deque(opened(pending_duplicates, f"n-{number}") for number in range(40_000))

    def rounds(number: int) -> None:
        for _ in range(number):
            ended(pending_duplicates, going.popleft())
            going.append(opened(pending_duplicates, "Round 2"))

    first = min(cost_of(lambda: rounds(200)) for _ in range(5))
    rounds(30_000)
    assert min(cost_of(lambda: rounds(200)) for _ in range(5)) < 10 * first


def test_the_cost_of_forgetting_does_not_grow() -> None:
    def forgetting(number: int) -> float:
        pending_duplicates = PendingDuplicates()
        for one in range(number):
            ended(pending_duplicates, opened(pending_duplicates, f"n-{one}"), copy=f"b-{one}")
        return cost_of(lambda: opened(pending_duplicates, "Round 2", now=3 * HOUR)) / number

    few = min(forgetting(2000) for _ in range(5))
    assert min(forgetting(60_000) for _ in range(2)) < 10 * few


def test_the_cost_of_looking_for_other_calls_does_not_grow() -> None:
    def asked(pending_duplicates: PendingDuplicates) -> float:
        pending = opened(pending_duplicates, "Round 2")
        return min(
            cost_of(lambda: [pending_duplicates.is_only_call_for_name(pending) for _ in range(100)])
            for _ in range(5)
        )

    few, many = PendingDuplicates(), PendingDuplicates()
    for number in range(20_000):
        opened(many, f"n-{number}")
    assert asked(many) < 20 * asked(few)


class Ledger(RuleBasedStateMachine):
    """A state machine of calls that begin, run late or never, and end in any order.

    Each call knows what it made; the ledger only knows what it is told, and a call that polls its
    copy up sees what is on the service under its name, made since the call began.
    """

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pending_duplicates = PendingDuplicates()
        self.open: list[PendingDuplicate] = []
        self.pending: dict[PendingDuplicate, float] = {}  # may still run on the service, until when
        self.made: dict[str, tuple[PendingDuplicate, str, float]] = {}
        self.given: list[str] = []

    @rule(target=calls, name=st.none() | st.sampled_from(NAMES))
    def begin(self, name: str | None) -> PendingDuplicate:
        pending = self.pending_duplicates.open(name, self.now)
        self.open.append(pending)
        self.pending[pending] = float("inf")
        return pending

    @rule(seconds=st.sampled_from([0.0, 0.5, 60.0, 1800.0, 3601.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(pending=calls, source=st.sampled_from(["Original", "Elsewhere"]))
    def the_post_runs(self, pending: PendingDuplicate, source: str) -> None:
        # The POST of an ended call may run late, but by an hour at most.
        if self.now <= self.pending.pop(pending, -1.0):
            name = pending.name or f"{source} (Copy)"
            self.made[f"b-{len(self.made)}"] = (pending, name, self.now)

    @rule(pending=calls)
    def the_answer_comes(self, pending: PendingDuplicate) -> None:
        own = [batch_id for batch_id, (maker, _, _) in self.made.items() if maker is pending]
        if pending in self.open and own:
            self.finish(pending, own[0])

    @rule(pending=calls)
    def the_copy_is_looked_up(self, pending: PendingDuplicate) -> None:
        if pending not in self.open:
            return
        found = [
            batch_id
            for batch_id, (_, name, made_at) in self.made.items()
            if name == pending.name
            and made_at >= pending.began
            and not self.pending_duplicates.is_taken(batch_id)
        ]
        if len(found) == 1 and self.pending_duplicates.is_only_call_for_name(pending):
            maker, _, _ = self.made[found[0]]
            assert maker is pending
            self.finish(pending, found[0])

    @rule(pending=calls)
    def the_call_is_lost(self, pending: PendingDuplicate) -> None:
        if pending in self.open:
            self.end(pending)
            if pending in self.pending:
                self.pending[pending] = self.now + HOUR

    @rule(pending=calls)
    def the_service_refuses(self, pending: PendingDuplicate) -> None:
        if pending in self.open and pending in self.pending:
            del self.pending[pending]
            pending.may_have_run = False
            self.end(pending)

    @precondition(lambda self: self.given)
    @invariant()
    def no_copy_is_given_twice(self) -> None:
        assert len(self.given) == len(set(self.given))

    @invariant()
    def a_copy_given_since_the_oldest_call_is_taken(self) -> None:
        oldest = min((pending.began for pending in self.open), default=self.now)
        for batch_id in self.given:
            if self.made[batch_id][2] >= oldest:
                assert self.pending_duplicates.is_taken(batch_id)

    def finish(self, pending: PendingDuplicate, batch_id: str) -> None:
        pending.copy = batch_id
        self.given.append(batch_id)
        self.end(pending)

    def end(self, pending: PendingDuplicate) -> None:
        self.open.remove(pending)
        self.pending_duplicates.close(pending, self.now)


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=80, stateful_step_count=30)
