import json

import pytest

from benchmarks import poller


@pytest.mark.slow
def test_the_poller_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    poller.main(["--quick", "--json"])
    figures = json.loads(capsys.readouterr().out)["figures"]
    ours, heap, tasks = figures
    assert [each["subject"] for each in figures] == list(poller.SUBJECTS)
    assert heap["memory"] < min(ours["memory"], tasks["memory"])
    assert ours["poll"] > 0
    assert (heap["poll"], tasks["poll"]) == (None, None)


@pytest.mark.slow
def test_figures_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    poller.main(["--quick"])
    assert "| 100 waits " in capsys.readouterr().out
