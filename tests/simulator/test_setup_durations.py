"""When a setup ends."""

import math

import pytest

from prolific_async.simulator.setup_durations import (
    AfterPolls,
    AfterSeconds,
    Immediately,
    has_ended,
)


def test_immediately_has_ended_before_any_poll() -> None:
    assert has_ended(Immediately(), elapsed=0.0, polls=0)


def test_after_seconds_counts_time_and_no_polls() -> None:
    assert not has_ended(AfterSeconds(2), elapsed=1.999, polls=99)
    assert has_ended(AfterSeconds(2), elapsed=2.0, polls=0)


def test_after_polls_counts_polls_and_no_time() -> None:
    assert not has_ended(AfterPolls(2), elapsed=9e9, polls=2)
    assert has_ended(AfterPolls(2), elapsed=0.0, polls=3)


def test_after_zero_polls_the_first_one_shows_the_end() -> None:
    assert not has_ended(AfterPolls(0), elapsed=0.0, polls=0)
    assert has_ended(AfterPolls(0), elapsed=0.0, polls=1)


@pytest.mark.parametrize("seconds", [-0.1, math.inf, math.nan, True])
def test_invalid_seconds_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be 0 or more"):
        AfterSeconds(seconds)


@pytest.mark.parametrize("polls", [-1, True])
def test_invalid_polls_are_refused(polls: int) -> None:
    with pytest.raises(ValueError, match="polls must be 0 or more"):
        AfterPolls(polls)


def test_a_fraction_of_polls_is_refused() -> None:
    with pytest.raises(TypeError):
        AfterPolls(1.5)  # type: ignore[arg-type] # what is tested
