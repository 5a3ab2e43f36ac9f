import json

import pytest

from benchmarks.comparison import Comparison, Spread, report


def ran() -> Comparison:
    """Return three rounds, each on a machine half as fast; "slow" takes part in the first."""
    compared = Comparison(
        "a comparison", ("ours", "raw", "slow"), (("cpu", "raw"),), slow=("slow",)
    )
    for count, subject in enumerate(compared.turns(3)):
        pace = 1 if count < 3 else 2 ** (1 + (count - 3) // 2)
        compared.add(subject, cpu=pace * {"ours": 1.1, "raw": 1.0, "slow": 9.0}[subject])
    return compared


def test_ratios_are_taken_within_a_round() -> None:
    ratio = ran().ratio("ours", "cpu", "raw")
    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((1.1, 1.1, 1.1))


def test_slow_subjects_are_compared_over_the_rounds_that_they_ran_in() -> None:
    assert ran().seconds("slow", "cpu") == [9.0]
    assert ran().ratio("slow", "cpu", "raw") == Spread(9.0, 9.0, 9.0)


def test_the_table_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    report([ran()], {"cores": 2}, as_json=False, unit=("ms", 1e3))
    assert "2200 | 1.10 (1.10 to 1.10) |\n" in capsys.readouterr().out


def test_json_holds_the_rounds_too(capsys: pytest.CaptureFixture[str]) -> None:
    report([ran()], {"cores": 2}, as_json=True, unit=("ms", 1e3))
    said = json.loads(capsys.readouterr().out)
    assert said["machine"] == {"cores": 2}
    assert said["comparisons"][0]["subjects"]["raw"]["samples"]["cpu"] == [1.0, 2.0, 4.0]
    assert said["comparisons"][0]["subjects"]["ours"]["ratios"]["cpu / raw"]["median"] == 1.1
