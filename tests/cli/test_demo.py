"""The demo, with quick set-ups."""

import asyncio
import re
from typing import Any

import pytest

from prolific_async import PollPolicy
from prolific_async.cli import demo
from prolific_async.simulator import Simulator
from tests.virtual_time import SteadyLoop


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_POLL", PollPolicy(initial=0.03, maximum=0.03, timeout=5.0))
    monkeypatch.setattr(demo, "_SETUP_SECONDS", (0.3, 0.4))
    # Service and demo share a loop, so each copy is seen PROCESSING before it is READY.
    monkeypatch.setattr(asyncio.events, "new_event_loop", SteadyLoop)


def test_on_a_pipe_it_writes_plain_lines(cli: Any) -> None:
    ran = cli("demo", "--copies", "4")
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b" not in ran.out
    statuses = [line.split("\t")[1:] for line in ran.lines if "\t" in line]
    for number in range(1, 5):
        seen = [status for name, status in statuses if name == f"Round {number}"]
        assert seen in (["PROCESSING", "READY"], ["PROCESSING", "ERROR"])
    assert [status for _, status in statuses].count("ERROR") == 1
    failed = next(name for name, status in statuses if status == "ERROR")
    assert re.search(
        rf"^{failed} raises BatchFailedError: waiting for batch ", ran.out, re.MULTILINE
    )
    verdict = r"^As expected: 3 READY, 1 failed, in 0\.0 s and \d+ requests\.$"
    assert re.search(verdict, ran.out, re.MULTILINE)


def test_it_prints_a_program_that_runs(cli: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told, heading, code = cli("demo", "--copies", "4").out.partition("as a program of your own:\n")
    assert heading
    assert max(map(len, code.splitlines())) <= 80
    assert "AfterSeconds(3)" in code
    exec(code.replace("AfterSeconds(3)", "AfterSeconds(0)"), {})
    ends = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    (failed,) = [name for name, end in ends.items() if end != "READY"]
    assert list(ends) == [f"Round {number}" for number in range(1, 5)]
    assert ends[failed].startswith("waiting for batch ")
    assert f"{failed} raises BatchFailedError" in told


def test_on_a_terminal_it_draws_a_table(terminal: Any) -> None:
    ran = terminal("demo")
    assert ran.code == 0
    shown, told = ran.screen.rsplit("19 READY, 1 ERROR", 1)
    row = re.search(r"(Round \d+) +ERROR +\d+ +0\.0 s  raises BatchFailedError", shown)
    assert row
    assert told.lstrip().startswith(f"{row[1]} raises BatchFailedError: ")
    assert max(map(len, shown.splitlines())) <= 80


def test_it_needs_no_account(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROLIFIC_URL", "https://nowhere.invalid")
    assert cli("demo", "--copies", "2").code == 0


def test_an_unplanned_outcome_is_reported(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulator, "fail", lambda _sim, _batch_id: None)
    ran = cli("demo", "--copies", "2")
    assert ran.code == 1
    assert "\nNot as expected: 2 READY, 0 failed" in ran.out


def test_the_count_of_copies_is_bounded(cli: Any) -> None:
    assert cli("demo", "--copies", "1").code == 2
