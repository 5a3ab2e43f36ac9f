"""Policies: which values they accept, and which gaps they give."""

import itertools
import math
import pickle
import random
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prolific_async import PollPolicy, RetryPolicy

RETRY = {"max_attempts": 4, "initial": 0.5, "maximum": 8.0, "retry_after_cap": 60.0}
POLL = {
    "initial": 1.0,
    "factor": 1.25,
    "maximum": 10.0,
    "jitter": 0.1,
    "timeout": 1800.0,
    "uninitialised_grace": 60.0,
    "not_found_grace": 5.0,
    "max_consecutive_failures": 20,
}
WHOLE = ("max_attempts", "max_consecutive_failures")
NO_NUMBERS: list[Any] = [
    "1",
    "",
    b"1",
    [1],
    {},
    1j,
    True,
    False,
    math.nan,
    math.inf,
    -math.inf,
    ...,
]
KNOBS = [(RetryPolicy, key) for key in RETRY] + [(PollPolicy, key) for key in POLL]

Policy = type[RetryPolicy] | type[PollPolicy]


def gaps(policy: PollPolicy, rng: random.Random) -> Iterator[float]:
    """Return the gaps of a wait whose polls show nothing new."""
    gap = policy.initial
    while True:
        yield policy.jittered(gap, rng.random())
        gap = policy.next_gap(gap)


class Fixed(random.Random):
    """A random source that always returns the same share."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


def nominal(policy: PollPolicy, step: int) -> float:
    try:
        return min(policy.initial * policy.factor**step, policy.maximum)
    except OverflowError:
        return policy.maximum


@pytest.mark.parametrize(("cls", "defaults"), [(RetryPolicy, RETRY), (PollPolicy, POLL)])
def test_policies_have_the_documented_defaults(cls: Policy, defaults: dict[str, Any]) -> None:
    assert attrs.asdict(cls()) == defaults
    assert cls() == cls(**defaults)


@pytest.mark.parametrize("cls", [RetryPolicy, PollPolicy])
def test_policies_are_values(cls: Policy) -> None:
    policy = cls(initial=0.25)
    assert policy == cls(initial=0.25)
    assert policy != cls()
    assert len({policy, cls(initial=0.25), cls()}) == 2
    assert pickle.loads(pickle.dumps(policy)) == policy
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        policy.initial = 2.0  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize("cls", [RetryPolicy, PollPolicy])
def test_policies_take_keyword_arguments_only(cls: Any) -> None:
    with pytest.raises(TypeError):
        cls(1)


@pytest.mark.parametrize(("cls", "key"), KNOBS)
def test_values_that_are_not_finite_numbers_are_refused(cls: Policy, key: str) -> None:
    for value in NO_NUMBERS:
        with pytest.raises(ValueError, match=key):
            cls(**{key: value})


@pytest.mark.parametrize(("cls", "key"), KNOBS)
def test_negative_numbers_are_refused(cls: Policy, key: str) -> None:
    with pytest.raises(ValueError, match=key):
        cls(**{key: -1})


def test_a_number_beyond_every_float_is_a_value_error() -> None:
    for cls, key in KNOBS:
        if key not in WHOLE:
            with pytest.raises(ValueError, match=key):
                cls(**{key: 10**400})


@pytest.mark.parametrize(("cls", "key"), [knob for knob in KNOBS if knob[1] != "timeout"])
def test_none_is_refused_except_as_timeout(cls: Policy, key: str) -> None:
    with pytest.raises(ValueError, match=key):
        cls(**{key: None})  # type: ignore[arg-type]  # that it is refused is the point


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (RetryPolicy, {"max_attempts": 0}),
        (RetryPolicy, {"max_attempts": 2.0}),
        (RetryPolicy, {"max_attempts": 1.5}),
        (RetryPolicy, {"initial": 9.0}),
        (RetryPolicy, {"maximum": 0.4}),
        (PollPolicy, {"initial": 0}),
        (PollPolicy, {"maximum": 0}),
        (PollPolicy, {"initial": 10.5}),
        (PollPolicy, {"maximum": 0.5}),
        (PollPolicy, {"factor": 0.99}),
        (PollPolicy, {"factor": 0}),
        (PollPolicy, {"max_consecutive_failures": 3.0}),
    ],
)
def test_values_out_of_range_are_refused(cls: Policy, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        cls(**arguments)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (RetryPolicy, {"max_attempts": 1, "initial": 0, "maximum": 0, "retry_after_cap": 0}),
        (RetryPolicy, {"initial": 8, "maximum": 8}),
        (PollPolicy, {"initial": 10, "maximum": 10, "factor": 1, "jitter": 0}),
        (PollPolicy, {"timeout": None}),
        (PollPolicy, {"timeout": 0}),
        (PollPolicy, {"uninitialised_grace": 0, "not_found_grace": 0}),
        (PollPolicy, {"max_consecutive_failures": 0}),
    ],
)
def test_bounds_themselves_are_accepted(cls: Policy, arguments: dict[str, Any]) -> None:
    assert attrs.asdict(cls(**arguments)).items() >= arguments.items()


def test_a_changed_policy_is_checked_as_well() -> None:
    with pytest.raises(ValueError, match="initial"):
        attrs.evolve(PollPolicy(), initial=11.0)


def test_an_initial_above_the_maximum_is_refused_with_both_values() -> None:
    with pytest.raises(ValueError, match="initial") as raised:
        RetryPolicy(initial=2.0, maximum=1.5)
    told = "RetryPolicy(initial=2.0, maximum=1.5): initial must not be above maximum"
    assert str(raised.value) == told


def test_a_timeout_of_none_is_no_limit() -> None:
    with pytest.raises(ValueError, match=r"^timeout must be a finite number from 0, or None: inf$"):
        PollPolicy(timeout=math.inf)


def test_the_largest_float_is_a_number() -> None:
    assert PollPolicy(timeout=sys.float_info.max).timeout == sys.float_info.max


@given(
    initial=st.floats(1e-3, 100.0),
    room=st.floats(1.0, 1e6),
    factor=st.floats(1.0, 10.0),
    jitter=st.floats(0.0, 10.0),
    share=st.floats(0.0, 1.0, exclude_max=True),
)
@settings(max_examples=50)
def test_gaps_grow_by_factor_to_maximum_and_jitter_adds_its_share_at_most(
    initial: float, room: float, factor: float, jitter: float, share: float
) -> None:
    policy = PollPolicy(initial=initial, factor=factor, maximum=initial * room, jitter=jitter)
    for step, gap in enumerate(itertools.islice(gaps(policy, Fixed(share)), 200)):
        expected = nominal(policy, step) * (1 + jitter * share)
        assert gap == pytest.approx(expected, rel=1e-9)


@given(policy=st.builds(PollPolicy, jitter=st.floats(0.0, 2.0)), seed=st.integers())
@settings(max_examples=30)
def test_jitter_never_takes_away(policy: PollPolicy, seed: int) -> None:
    for step, gap in enumerate(itertools.islice(gaps(policy, random.Random(seed)), 50)):
        low = nominal(policy, step)
        assert low * (1 - 1e-9) <= gap <= low * (1 + policy.jitter) * (1 + 1e-9)


@given(
    initial=st.floats(5e-324, 1e300),
    factor=st.floats(1.0, 1.7e308),
    room=st.floats(1.0, 1e300),
)
@settings(max_examples=10)
def test_no_gap_overflows_in_ten_thousand_steps(initial: float, factor: float, room: float) -> None:
    maximum = min(max(initial * room, initial), 1e300)
    policy = PollPolicy(initial=initial, factor=factor, maximum=maximum)
    last = 0.0
    for gap in itertools.islice(gaps(policy, Fixed(0.5)), 10_000):
        assert last <= gap <= maximum * (1 + policy.jitter)
        last = gap


def test_gaps_of_the_defaults() -> None:
    seen = list(itertools.islice(gaps(PollPolicy(jitter=0), random.Random()), 13))
    assert seen[:4] == [1.0, 1.25, 1.5625, 1.953125]
    assert seen[10] < 10.0
    assert seen[11:] == [10.0, 10.0]


def test_a_factor_of_one_keeps_the_gap() -> None:
    seen = itertools.islice(gaps(PollPolicy(initial=2, factor=1, jitter=0), random.Random()), 50)
    assert set(seen) == {2.0}


def test_jitter_drives_two_waits_apart() -> None:
    first, second = (
        list(itertools.islice(gaps(PollPolicy(), random.Random(seed)), 20)) for seed in (1, 2)
    )
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_two_sequences_of_one_policy_are_independent() -> None:
    policy = PollPolicy(jitter=0)
    first = gaps(policy, random.Random())
    assert [next(first), next(first)] == [1.0, 1.25]
    assert next(gaps(policy, random.Random())) == 1.0
