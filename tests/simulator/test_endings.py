"""When a set-up is over."""

import math

import pytest

from prolific_async.simulator.endings import AfterLooks, AfterSeconds, Immediately, is_over


def test_immediately_is_over_before_any_look() -> None:
    assert is_over(Immediately(), elapsed=0.0, looks=0)


def test_after_seconds_counts_time_and_no_looks() -> None:
    assert not is_over(AfterSeconds(2), elapsed=1.999, looks=99)
    assert is_over(AfterSeconds(2), elapsed=2.0, looks=0)


def test_after_looks_counts_looks_and_no_time() -> None:
    assert not is_over(AfterLooks(2), elapsed=9e9, looks=2)
    assert is_over(AfterLooks(2), elapsed=0.0, looks=3)


def test_after_no_looks_the_first_one_shows_the_end() -> None:
    assert not is_over(AfterLooks(0), elapsed=0.0, looks=0)
    assert is_over(AfterLooks(0), elapsed=0.0, looks=1)


@pytest.mark.parametrize("seconds", [-0.1, math.inf, math.nan, True])
def test_seconds_that_make_no_sense_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be 0 or more"):
        AfterSeconds(seconds)


@pytest.mark.parametrize("looks", [-1, True])
def test_looks_that_make_no_sense_are_refused(looks: int) -> None:
    with pytest.raises(ValueError, match="looks must be 0 or more"):
        AfterLooks(looks)


def test_half_a_look_is_no_number_of_looks() -> None:
    with pytest.raises(TypeError):
        AfterLooks(1.5)  # type: ignore[arg-type] # what is tested
