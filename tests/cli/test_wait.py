"""``batch wait``: outcomes, exit codes and output."""

import asyncio
import contextlib
import io
import json
from typing import Any

import pytest

from prolific_async import (
    ConnectError,
    ConnectionLostError,
    ProlificError,
    RequestTimeoutError,
    StatusEvent,
)
from prolific_async.cli.table_display import TableDisplay
from prolific_async.cli.text_display import TextDisplay
from prolific_async.simulator import Fault, Simulator
from tests.cli.conftest import Screen

POLL_KEYS = {"kind", "batch_id", "status", "previous", "polls", "elapsed", "next_in", "error"}
END = {"kind", "batch_id", "outcome", "status", "polls", "elapsed", "batch", "error"}


@pytest.fixture
def pending(account: Simulator) -> str:
    return account.add_batch()


def test_ready_exits_with_0(ready: str, cli: Any) -> None:
    ran = cli("batch", "wait", ready)
    assert (ran.code, ran.err) == (0, "")
    assert ran.screen.splitlines() == [f"0.0 s\t{ready}\tREADY"]


def test_failed_exits_with_1(failed: str, cli: Any) -> None:
    ran = cli("batch", "wait", failed)
    assert (ran.code, ran.screen.splitlines()) == (1, [f"0.0 s\t{failed}\tERROR"])
    assert ran.err.startswith(f"waiting for batch {failed} found ERROR")


def test_timed_out_exits_with_3(pending: str, cli: Any) -> None:
    ran = cli("batch", "wait", pending, "--timeout", "0")
    assert ran.code == 3
    assert ran.screen.splitlines() == [
        f"0.0 s\t{pending}\tUNINITIALISED",
        f"0.0 s\t{pending}\ttimed out",
    ]
    assert "timed out" in ran.err


def test_not_found_exits_with_4(account: Simulator, cli: Any) -> None:
    ran = cli("batch", "wait", "nothing", "--url", account.url)
    assert ran.code == 4
    assert len(ran.err.splitlines()) == 1


def test_all_batches_are_awaited_and_the_worst_outcome_decides(
    ready: str, failed: str, pending: str, cli: Any
) -> None:
    everything = (pending, "nothing", failed, ready)
    assert cli("batch", "wait", pending, ready, "--timeout", "0").code == 3
    assert cli("batch", "wait", pending, "nothing", "--timeout", "0").code == 4
    ran = cli("batch", "wait", *everything, "--timeout", "0")
    assert ran.code == 1
    assert f"0.0 s\t{ready}\tREADY" in ran.screen.splitlines()
    assert len(ran.err.splitlines()) == 3


def test_an_id_given_twice_is_awaited_once(account: Simulator, ready: str, cli: Any) -> None:
    assert cli("batch", "wait", ready, ready).screen.splitlines() == [f"0.0 s\t{ready}\tREADY"]
    assert sum(request.path.endswith("/status") for request in account.requests) <= 1


def test_json_has_a_line_for_every_poll_and_every_end(
    ready: str, failed: str, pending: str, cli: Any
) -> None:
    ran = cli("batch", "wait", ready, failed, pending, "nothing", "--timeout", "0", "--json")
    documents = [json.loads(line) for line in ran.lines]
    assert {frozenset(each) for each in documents} == {frozenset(POLL_KEYS), frozenset(END)}

    ends = {each["batch_id"]: each for each in documents if each["kind"] == "end"}
    assert {id_: end["outcome"] for id_, end in ends.items()} == {
        ready: "ready",
        failed: "failed",
        pending: "timed_out",
        "nothing": "gave_up",
    }
    assert ends[ready]["batch"]["id"] == ready
    assert ends[ready]["error"] is None
    assert (ends[ready]["status"], ends[ready]["polls"]) == ("READY", 1)
    assert ends[failed]["batch"]["status"] == "ERROR"
    assert ends[failed]["error"]["type"] == "BatchFailedError"
    assert (ends[pending]["batch"], ends[pending]["status"]) == (None, "UNINITIALISED")

    (poll,) = [each for each in documents if each["kind"] == "poll" and each["batch_id"] == pending]
    assert poll["status"] == "UNINITIALISED"
    assert (poll["polls"], poll["previous"], poll["error"]) == (1, None, None)


def test_json_names_the_failure_of_a_poll(account: Simulator, ready: str, cli: Any) -> None:
    account.inject("GET", "/status", Fault(503), times=None)
    account.inject("GET", f"/{ready}", Fault(503), times=None)
    ran = cli("batch", "wait", ready, "--timeout", "0", "--json")
    poll, end = (json.loads(line) for line in ran.lines)
    assert poll["error"]["type"] == "ServerError"
    assert (ran.code, end["outcome"]) == (3, "timed_out")


def test_a_terminal_gets_a_table(ready: str, failed: str, pending: str, terminal: Any) -> None:
    ran = terminal("batch", "wait", ready, failed, pending, "nothing", "--timeout", "0")
    assert ran.code == 1
    table = ran.screen.splitlines()[-6:]
    assert table[0].split() == ["batch", "status", "polls", "elapsed"]
    assert table[1].split() == [ready, "READY", "1", "0.0", "s", "200", "tasks"]
    assert table[2].split() == [failed, "ERROR", "1", "0.0", "s", "failed"]
    assert table[3].split() == [pending, "UNINITIALISED", "1", "0.0", "s", "timed", "out"]
    assert table[4].split() == ["nothing", "-", "1", "0.0", "s", "gave", "up"]
    assert table[5] == "1 READY, 1 ERROR, 1 UNINITIALISED, 1 without a status"
    assert max(map(len, ran.screen.splitlines())) <= 80
    assert len(ran.err.splitlines()) == 3


def test_the_last_table_is_whole(account: Simulator, terminal: Any) -> None:
    ids = [account.add_batch(status="READY") for _ in range(40)]
    ran = terminal("batch", "wait", *ids)
    assert [line.split()[0] for line in ran.screen.splitlines()[-41:-1]] == ids


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_dumb_terminal_gets_lines(
    ready: str, terminal: Any, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    assert terminal("batch", "wait", ready).screen.splitlines() == [f"0.0 s\t{ready}\tREADY"]


@pytest.mark.parametrize(("columns", "shown"), [("40", 12), ("60", 16), ("80", 36), ("200", 36)])
def test_shortened_ids_stay_distinct(
    account: Simulator,
    failed: str,
    terminal: Any,
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
    shown: int,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ids = [f"018f2b7e-7d3c-7a10-9c55-{number:012x}" for number in range(30)]
    for batch_id in ids:
        account.add_batch(batch_id=batch_id, status="READY")
    ran = terminal("batch", "wait", *ids, failed, account.add_batch(), "--timeout", "0")
    heading, *rows = ran.screen[ran.screen.rindex("batch ") :].splitlines()
    assert ("polls" in heading) == (columns != "40")
    names = [row.split()[0] for row in rows[:30]]
    assert len(set(names)) == 30
    assert {len(name) for name in names} == {shown}
    assert all(name.startswith("018f") for name in names)
    assert max(map(len, ran.screen.splitlines())) <= int(columns)
    assert "not shown" in ran.screen.replace("\n", " ")
    assert "..." not in ran.screen, "the counts, too, have room while it runs"


def test_a_timed_out_wait_says_why_its_last_poll_failed(
    account: Simulator, ready: str, cli: Any, terminal: Any
) -> None:
    account.inject("GET", "/status", Fault(503), times=None)
    for run in (cli, terminal):
        (sentence,) = run("batch", "wait", ready, "--timeout", "0").err.splitlines()
        assert "timed out: GET" in sentence
        assert "503" in sentence


def failing(error: ProlificError, next_in: float | None = 1.0) -> StatusEvent:
    return StatusEvent("b1", None, None, 1, 0.0, next_in, error)


LOST = ConnectError("GET", "/status", "refused")
LATE = RequestTimeoutError("GET", "/status", "30 s")


def test_lines_report_each_kind_of_failed_poll_once(capsys: pytest.CaptureFixture[str]) -> None:
    display = TextDisplay()
    fatal = failing(ConnectionLostError("GET", "/status", "reset"), next_in=None)
    for event in (failing(LOST), failing(LOST), failing(LATE), fatal):
        display.add_event(event)
    asyncio.run(display.show_during(asyncio.sleep(0)))
    sentences = [str(error).replace("base_url", "--url") for error in (LOST, LATE)]
    told = [f"still waiting, though a poll failed: {sentence}" for sentence in sentences]
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()) == ("", told)


@pytest.mark.parametrize(("columns", "note"), [("40", "Conn…"), ("80", "ConnectError,…")])
def test_a_row_of_the_table_notes_a_failed_poll(
    monkeypatch: pytest.MonkeyPatch, columns: str, note: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    screen = Screen(io.BytesIO(), "utf-8", write_through=True)
    with contextlib.redirect_stdout(screen):
        display = TableDisplay({"b1": "018f2b7e-7d3c-7a10-9c55-000000000001"})
        display.add_event(failing(LOST))
        asyncio.run(display.show_during(asyncio.sleep(0)))
    assert isinstance(screen.buffer, io.BytesIO)
    assert f"s  {note}" in screen.buffer.getvalue().decode()
