import json

import pytest

from benchmarks import engine


@pytest.mark.slow
def test_it_measures_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    engine.main(["--quick", "--json"])
    figures = json.loads(capsys.readouterr().out)["figures"]
    ours, heap, tasks = figures
    assert [each["subject"] for each in figures] == list(engine.SUBJECTS)
    assert heap["memory"] < min(ours["memory"], tasks["memory"])
    assert ours["look"] > 0
    assert (heap["look"], tasks["look"]) == (None, None)


@pytest.mark.slow
def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    engine.main(["--quick"])
    assert "| 100 waits " in capsys.readouterr().out
