"""The ledger of copies: whatever happens when, no call is shown another call's copy as its own."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from prolific_async._posts.claims import Claim, Claims, default_name

HOUR = 3600.0
NAMES = ["Round 2", "Original (Copy)", "Other"]


def opened(claims: Claims, name: str | None, now: float = 0.0) -> Claim:
    return claims.open(name, now)


def ended(claims: Claims, claim: Claim, now: float = 0.0, **outcome: Any) -> None:
    for key, value in outcome.items():
        setattr(claim, key, value)
    claims.close(claim, now)


def test_the_default_name_is_the_services() -> None:
    assert default_name("Original") == "Original (Copy)"


def test_a_named_call_alone_may_take_its_copy() -> None:
    claims = Claims()
    assert claims.is_alone(opened(claims, "Round 2"))


def test_a_call_with_the_default_name_is_never_alone() -> None:
    claims = Claims()
    assert not claims.is_alone(opened(claims, None))


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
def test_a_rival_in_flight_or_lost_leaves_a_call_in_doubt(
    name: str,
    rival: str | None,
    alone: bool,  # noqa: FBT001 - a case
    rival_first: bool,  # noqa: FBT001 - a case
    lost: bool,  # noqa: FBT001 - a case
) -> None:
    claims = Claims()
    if rival_first:
        other = opened(claims, rival)
        mine = opened(claims, name)
    else:
        mine = opened(claims, name)
        other = opened(claims, rival)
    if lost:
        ended(claims, other)
    assert claims.is_alone(mine) is alone


def test_a_call_that_was_not_told_to_end_otherwise_is_lost() -> None:
    # So it is with one that is cancelled.
    claims = Claims()
    ended(claims, opened(claims, "Round 2"))
    assert not claims.is_alone(opened(claims, "Round 2"))


def test_a_call_that_surely_did_not_run_is_no_rival() -> None:
    claims = Claims()
    other = opened(claims, "Round 2")
    mine = opened(claims, "Round 2")
    ended(claims, other, may_have_run=False)
    assert claims.is_alone(mine)


def test_a_call_that_has_its_copy_is_no_rival_but_its_copy_is_taken() -> None:
    claims = Claims()
    other = opened(claims, "Round 2")
    mine = opened(claims, "Round 2")
    ended(claims, other, copy="b-2")
    assert claims.is_alone(mine)
    assert claims.is_taken("b-2")
    assert not claims.is_taken("b-3")


def test_when_a_copy_was_given_is_known() -> None:
    claims = Claims()
    claim = opened(claims, "Round 2", now=10.0)
    ended(claims, claim, now=12.5, copy="b-2")
    assert claims.given_at("b-2") == 12.5
    assert claims.given_at("b-3") is None


def test_what_is_long_past_is_forgotten() -> None:
    claims = Claims()
    for number in range(3_000):
        ended(claims, opened(claims, None, now=number), now=number, copy=f"b-{number}")
        ended(claims, opened(claims, "Round 2", now=number), now=number)
    late = opened(claims, "Round 2", now=3 * HOUR)
    assert claims.is_alone(late)
    assert not claims.is_taken("b-99")
    assert len(claims._given) == len(claims._lost) == 0


def test_nothing_is_forgotten_that_an_open_call_may_still_meet() -> None:
    claims = Claims()
    slow = opened(claims, "Round 2")
    other = opened(claims, "Round 2", now=1.0)
    ended(claims, other, now=2.0, copy="b-2")
    ended(claims, opened(claims, "Round 2", now=1.0), now=2.0)
    opened(claims, "Other", now=5 * HOUR)
    assert claims.is_taken("b-2")
    assert not claims.is_alone(slow)


def test_a_busy_client_remembers_an_hour_and_no_more() -> None:
    claims = Claims()
    for number in range(20_000):
        claim = opened(claims, f"Round {number}", now=number)
        ended(claims, claim, now=number + 1.0, copy=f"b-{number}")
    assert len(claims._given) <= HOUR + 2


def test_a_copy_is_remembered_for_an_hour_and_as_one_of_a_thousand_for_longer() -> None:
    claims = Claims()
    for number in range(1000):
        ended(claims, opened(claims, "Round 2"), now=0.0, copy=f"b-{number}")
    opened(claims, "Round 2", now=9 * HOUR)
    assert claims.is_taken("b-0")

    claims = Claims()
    for number in range(1001):
        ended(claims, opened(claims, "Round 2"), now=0.0, copy=f"b-{number}")
    ended(claims, opened(claims, "Round 2", now=HOUR), now=HOUR, may_have_run=False)
    assert claims.is_taken("b-0")
    opened(claims, "Round 2", now=HOUR + 1)
    assert not claims.is_taken("b-0")


def test_a_rival_counts_for_as_long_as_it_is_remembered() -> None:
    claims = Claims()
    for _ in range(2):
        ended(claims, opened(claims, "Round 2", now=0.0), now=1.0)
    nameless = opened(claims, None, now=2.0)
    assert not claims.is_alone(opened(claims, "Original (Copy)", now=2.0))
    ended(claims, nameless, now=3.0, copy="b-1")
    assert claims.is_alone(opened(claims, "Other (Copy)", now=3.0))
    assert not claims.is_alone(opened(claims, "Round 2", now=4.0))
    claims = Claims()
    ended(claims, opened(claims, "Round 2", now=0.0), now=1.0)
    assert claims.is_alone(opened(claims, "Round 2", now=3 * HOUR))
    assert dict(claims._names) == {"Round 2": 1}


def cost_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def test_a_busy_ledger_does_not_grow_slow() -> None:
    claims = Claims()
    going = deque(opened(claims, f"n-{number}") for number in range(40_000))

    def rounds(number: int) -> None:
        for _ in range(number):
            ended(claims, going.popleft())
            going.append(opened(claims, "Round 2"))

    first = min(cost_of(lambda: rounds(200)) for _ in range(5))
    rounds(30_000)
    assert min(cost_of(lambda: rounds(200)) for _ in range(5)) < 10 * first


def test_very_many_are_forgotten_as_quickly_as_a_few() -> None:
    def forgetting(number: int) -> float:
        claims = Claims()
        for one in range(number):
            ended(claims, opened(claims, f"n-{one}"), copy=f"b-{one}")
        return cost_of(lambda: opened(claims, "Round 2", now=3 * HOUR)) / number

    few = min(forgetting(2000) for _ in range(5))
    assert min(forgetting(60_000) for _ in range(2)) < 10 * few


def test_to_be_alone_among_very_many_is_told_at_once() -> None:
    def asked(claims: Claims) -> float:
        claim = opened(claims, "Round 2")
        return min(cost_of(lambda: [claims.is_alone(claim) for _ in range(100)]) for _ in range(5))

    few, many = Claims(), Claims()
    for number in range(20_000):
        opened(many, f"n-{number}")
    assert asked(many) < 20 * asked(few)


class Ledger(RuleBasedStateMachine):
    """Calls that begin, run on the service late or never, and end in any order.

    Each call knows what it made; the ledger only knows what it is told, and a call that looks its
    copy up sees what is on the service under its name, made since the call began.
    """

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.claims = Claims()
        self.open: list[Claim] = []
        self.pending: dict[Claim, float] = {}  # may still run on the service, until when
        self.made: dict[str, tuple[Claim, str, float]] = {}
        self.given: list[str] = []

    @rule(target=calls, name=st.none() | st.sampled_from(NAMES))
    def begin(self, name: str | None) -> Claim:
        claim = self.claims.open(name, self.now)
        self.open.append(claim)
        self.pending[claim] = float("inf")
        return claim

    @rule(seconds=st.sampled_from([0.0, 0.5, 60.0, 1800.0, 3601.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(claim=calls, source=st.sampled_from(["Original", "Elsewhere"]))
    def the_post_runs(self, claim: Claim, source: str) -> None:
        # A POST whose caller has gone may run late, but not by more than an hour.
        if self.now <= self.pending.pop(claim, -1.0):
            name = claim.name or f"{source} (Copy)"
            self.made[f"b-{len(self.made)}"] = (claim, name, self.now)

    @rule(claim=calls)
    def the_answer_comes(self, claim: Claim) -> None:
        own = [batch_id for batch_id, (maker, _, _) in self.made.items() if maker is claim]
        if claim in self.open and own:
            self.finish(claim, own[0])

    @rule(claim=calls)
    def the_copy_is_looked_up(self, claim: Claim) -> None:
        if claim not in self.open:
            return
        found = [
            batch_id
            for batch_id, (_, name, made_at) in self.made.items()
            if name == claim.name and made_at >= claim.began and not self.claims.is_taken(batch_id)
        ]
        if len(found) == 1 and self.claims.is_alone(claim):
            maker, _, _ = self.made[found[0]]
            assert maker is claim
            self.finish(claim, found[0])

    @rule(claim=calls)
    def the_call_is_lost(self, claim: Claim) -> None:
        if claim in self.open:
            self.end(claim)
            if claim in self.pending:
                self.pending[claim] = self.now + HOUR

    @rule(claim=calls)
    def the_service_refuses(self, claim: Claim) -> None:
        if claim in self.open and claim in self.pending:
            del self.pending[claim]
            claim.may_have_run = False
            self.end(claim)

    @precondition(lambda self: self.given)
    @invariant()
    def no_copy_is_given_twice(self) -> None:
        assert len(self.given) == len(set(self.given))

    @invariant()
    def a_copy_given_since_the_oldest_call_is_taken(self) -> None:
        oldest = min((claim.began for claim in self.open), default=self.now)
        for batch_id in self.given:
            if self.made[batch_id][2] >= oldest:
                assert self.claims.is_taken(batch_id)

    def finish(self, claim: Claim, batch_id: str) -> None:
        claim.copy = batch_id
        self.given.append(batch_id)
        self.end(claim)

    def end(self, claim: Claim) -> None:
        self.open.remove(claim)
        self.claims.close(claim, self.now)


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=80, stateful_step_count=30)
