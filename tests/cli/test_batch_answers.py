"""``batch responses`` and ``report``, against the simulator."""

import contextlib
import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prolific_async import PollPolicy, ReportRow, TaskResponse
from prolific_async.__main__ import main
from prolific_async.cli import batch_answers
from prolific_async.cli.record_text import CsvText
from prolific_async.simulator import Fault, Simulator
from tests import samples
from tests.cli.conftest import Screen

HARD = 'x, "y"\r\n\x1b[31mé\N{PILE OF POO}&amp;'


@pytest.fixture
def answered(account: Simulator) -> str:
    """A batch of three rows, each answered by two participants with a text that needs escapes."""
    batch_id = account.add_batch(status="READY", datapoints=3)
    account.answer(batch_id, participants=6, answer=HARD)
    return batch_id


def written(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue()


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_responses_are_lines_of_json_in_the_services_form(answered: str, cli: Any) -> None:
    for argv in ((), ("--json",), ("--format", "jsonl")):
        ran = cli("batch", "responses", answered, *argv)
        assert ran.code == 0
        found = [TaskResponse.from_dict(one) for one in lines(ran.out)]
        assert [one.answers[0].value for one in found] == [HARD] * 6
        assert ran.err == ("" if argv == ("--json",) else "0.0 s\tresponses\t6 responses\n")


def test_responses_as_csv_have_a_row_for_each_answer(answered: str, cli: Any) -> None:
    whole = [TaskResponse.from_dict(one) for one in lines(cli("batch", "responses", answered).out)]
    ran = cli("batch", "responses", answered, "--format", "csv")
    assert ran.code == 0
    for row, response in zip(table(ran.out), whole, strict=True):
        assert row["value"] == HARD
        assert (row["id"], row["task_id"]) == (response.id, response.task_id)
        assert row["created_at"] == response.to_dict()["created_at"]
        assert (row["key"], row["unit"], row["type"]) == ("", "", "free_text")


def test_cells_are_written_as_json_writes_them() -> None:
    answers = [{"value": True}, {"value": 1.5, "unit": "kg"}, {"value": None}, {"value": "True"}]
    metadata = {"META_ROW_KEY": "s1"}
    response = TaskResponse.from_dict(samples.task_response(answer=answers, metadata=metadata))
    text = CsvText(batch_answers._csv_rows, [])
    rows = table(text.of(response) + text.rest())
    assert [row["value"] for row in rows] == ["true", "1.5", "", "True"]
    assert [row["unit"] for row in rows] == ["", "kg", "", ""]
    assert {row["key"] for row in rows} == {"s1"}
    assert {row["created_at"] for row in rows} == {"2026-03-04T05:06:07.500000Z"}


def test_a_response_without_an_answer_has_a_row_all_the_same() -> None:
    response = TaskResponse.from_dict(samples.task_response(answer=[]))
    (row,) = table(CsvText(batch_answers._csv_rows, []).of(response))
    assert (row["id"], row["value"]) == ("r1", "")


def test_a_terminal_gets_no_control_characters_and_no_bars(answered: str, terminal: Any) -> None:
    for command in ("responses", "report"):
        ran = terminal("batch", command, answered, "--format", "csv")
        assert (ran.code, ran.err) == (0, "")
        assert "\x1b" not in ran.out
        assert "\\x1b[31mé" in ran.out


@pytest.mark.parametrize("command", ["responses", "report"])
def test_records_get_where_stdout_leads_beside_bars_on_a_terminal(
    answered: str, command: str, cli: Any
) -> None:
    whole = cli("batch", command, answered).out
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), Screen(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(["batch", command, answered]) == 0
    assert sorted(written(out).splitlines()) == sorted(whole.encode().splitlines())
    assert b"\xe2\x94\x81" in written(err)
    assert b"{" not in written(err)


def test_a_pipe_gets_records_and_the_terminal_no_bars(answered: str) -> None:
    reading, writing = os.pipe()
    err = Screen(io.BytesIO(), "utf-8")
    with (
        os.fdopen(writing, "w", encoding="utf-8") as out,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        assert main(["batch", "responses", answered]) == 0
    with os.fdopen(reading, encoding="utf-8") as pipe:
        assert len(lines(pipe.read())) == 6
    assert re.fullmatch(rb"\d+\.\d s\tresponses\t6 responses\n", written(err))


@pytest.mark.parametrize("command", ["responses", "report"])
def test_what_stdout_gets_is_the_same_bytes_as_a_file_gets(
    answered: str, command: str, tmp_path: Path, cli: Any
) -> None:
    path = tmp_path / "a.csv"
    assert cli("batch", command, answered, "--output", str(path)).code == 0
    windows = io.TextIOWrapper(io.BytesIO(), "cp1252", newline="\r\n")
    with contextlib.redirect_stdout(windows):
        assert main(["batch", command, answered, "--format", "csv"]) == 0
    assert sorted(written(windows).split(b"\n")) == sorted(path.read_bytes().split(b"\n"))


@pytest.mark.parametrize("command", ["responses", "report"])
def test_a_closed_stdout_is_a_usage_error(
    account: Simulator, command: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["batch", command, account.add_batch(status="READY")]) == 2
    assert "standard output is closed: give --output" in capsys.readouterr().err
    assert account.requests == ()


def test_the_report_is_rows_with_all_their_answers(answered: str, cli: Any) -> None:
    ran = cli("batch", "report", answered)
    assert (ran.code, ran.err) == (0, "0.0 s\trows\t3 rows\n")
    rows = [ReportRow.from_dict(one) for one in lines(ran.out)]
    assert [[one.response for one in row.annotations] for row in rows] == [[HARD] * 2] * 3


def test_the_report_as_csv_has_a_row_for_each_answer(answered: str, cli: Any) -> None:
    whole = [ReportRow.from_dict(one) for one in lines(cli("batch", "report", answered).out)]
    rows = table(cli("batch", "report", answered, "--format", "csv").out)
    assert [row["response"] for row in rows] == [HARD] * 6
    assert {row["datapoint_id"] for row in rows} == {row.datapoint_id for row in whole}
    assert {row["slot"] for row in rows} == {"1", "2"}
    names = {f"data.{name}" for name in whole[0].data}
    assert names
    assert names < set(rows[0])


@pytest.mark.parametrize("command", ["responses", "report"])
def test_without_answers_there_is_the_header_alone(
    account: Simulator, command: str, cli: Any
) -> None:
    batch_id = account.add_batch(status="READY")
    assert cli("batch", command, batch_id).out == ""
    (header,) = cli("batch", command, batch_id, "--format", "csv").lines
    account.answer(batch_id)
    answered = cli("batch", command, batch_id, "--format", "csv").lines[0]
    assert answered.startswith(header)


def test_the_report_has_the_keys_of_uploaded_rows(
    account: Simulator, tmp_path: Path, cli: Any
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("sample_id,prompt\ns1,Same\ns2,Same\n")
    dataset_id = account.add_dataset(status="UNINITIALISED", datapoints=0)
    assert cli("dataset", "upload", dataset_id, str(rows), "--key", "sample_id").code == 0
    batch_id = account.add_batch(dataset_id=dataset_id)
    assert cli("batch", "setup", batch_id).code == 0
    account.set_status(batch_id, "READY")
    account.answer(batch_id, participants=2, answer=lambda task, _: task.data["sample_id"])
    found = table(cli("batch", "report", batch_id, "--format", "csv").out)
    assert sorted((row["key"], row["response"]) for row in found) == [("s1", "s1"), ("s2", "s2")]
    found = table(cli("batch", "responses", batch_id, "--format", "csv").out)
    assert sorted((row["key"], row["value"]) for row in found) == [("s1", "s1"), ("s2", "s2")]


@pytest.mark.parametrize("command", ["responses", "report"])
@pytest.mark.parametrize(
    ("name", "argv", "kind"),
    [
        ("a.csv", (), "csv"),
        ("A.CSV", (), "csv"),
        ("a.jsonl", (), "jsonl"),
        ("a", (), "jsonl"),
        ("a.csv", ("--format", "jsonl"), "jsonl"),
        ("a.txt", ("--format", "csv"), "csv"),
    ],
)
def test_a_file_has_the_form_of_its_name_or_the_one_that_is_given(
    answered: str, tmp_path: Path, command: str, name: str, argv: Any, kind: str, cli: Any
) -> None:
    path = tmp_path / name
    ran = cli("batch", command, answered, "--output", str(path), *argv)
    assert (ran.code, ran.out) == (0, f"{path}\n")
    printed = cli("batch", command, answered, "--format", kind).out
    assert path.read_bytes() == printed.encode()
    assert left(tmp_path) == [name]


def test_json_tells_the_file_and_how_many(answered: str, tmp_path: Path, cli: Any) -> None:
    path = str(tmp_path / "a.csv")
    ran = cli("batch", "responses", answered, "--output", path, "--json")
    assert (ran.json, ran.err) == ({"path": path, "responses": 6}, "")
    ran = cli("batch", "report", answered, "--output", path, "--json", "--overwrite")
    assert (ran.json, ran.err) == ({"path": path, "rows": 3}, "")


def test_a_terminal_has_a_bar_while_a_file_is_written(
    answered: str, tmp_path: Path, terminal: Any
) -> None:
    ran = terminal("batch", "responses", answered, "--output", str(tmp_path / "a.csv"))
    assert "6 responses" in ran.bars
    assert ran.out.endswith("a.csv\n")


@pytest.mark.parametrize("argv", [("responses",), ("report",), ("report", "--raw")])
def test_a_file_is_replaced_only_if_that_is_wanted(
    account: Simulator, answered: str, tmp_path: Path, argv: Any, cli: Any
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    start = ("batch", argv[0], answered, *argv[1:], "--output", str(path))
    ran = cli(*start)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(
        f"'{path}' cannot be written (there is a file already; --overwrite replaces it)\n"
    )
    assert path.read_text() == "mine"
    assert not [seen for seen in account.requests if seen.path.endswith("/responses")]
    assert cli(*start, "--overwrite").code == 0
    assert "mine" not in path.read_text()
    assert left(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("argv", [("responses",), ("report",), ("report", "--raw")])
def test_a_place_that_cannot_be_written_is_named(
    answered: str, tmp_path: Path, argv: Any, cli: Any
) -> None:
    for path in (tmp_path, tmp_path / "no" / "a.csv"):
        ran = cli("batch", argv[0], answered, *argv[1:], "--output", str(path))
        assert (ran.code, ran.out) == (2, "")
        assert f"'{path}' cannot be written (" in ran.err


def test_a_read_that_breaks_leaves_the_old_file_and_no_other(
    account: Simulator, answered: str, tmp_path: Path, cli: Any
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("old")
    account.inject("GET", "/responses", Fault(cut=700))
    ran = cli("batch", "responses", answered, "--output", str(path), "--overwrite")
    assert (ran.code, ran.out) == (4, "")
    assert "after 1 response had been yielded; another call starts over" in ran.err
    assert path.read_text() == "old"
    assert left(tmp_path) == ["a.jsonl"]


@pytest.mark.parametrize("command", ["responses", "report", "export", "exports"])
def test_a_refusal_exits_with_4_and_shows_the_status(
    account: Simulator, command: str, cli: Any
) -> None:
    ran = cli("batch", command, "nope")
    assert (ran.code, ran.out) == (4, "")
    assert "answered with 404" in ran.err
    assert cli("batch", command, "no pe").code == 2


def test_raw_saves_the_services_own_csv(answered: str, tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "a.csv"
    ran = cli("batch", "report", answered, "--raw", "--output", str(path))
    assert (ran.code, ran.out) == (0, f"{path}\n")
    assert "download" in ran.err
    assert "&amp;amp;" in path.read_text(encoding="utf-8")
    path.unlink()
    ran = cli("batch", "report", answered, "--raw", "--output", str(path), "--json")
    assert (ran.json, ran.err) == ({"path": str(path)}, "")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("responses", "x", "--overwrite"), "--overwrite needs --output"),
        (("responses", "x", "--json", "--format", "csv"), "cannot be given together"),
        (("responses", "x", "--follow", "--output", "a"), "--follow has no end"),
        (("responses", "x", "--format", "xml"), "'xml'"),
        (("report", "x", "--raw"), "--raw needs --output"),
        (("report", "x", "--raw", "--output", "a", "--format", "csv"), "and no --format"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(
    account: Simulator, argv: Any, told: str, cli: Any
) -> None:
    ran = cli("batch", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: ")
    assert told in ran.err
    assert account.requests == ()


class Reader(io.TextIOWrapper):
    """A standard output that calls back for each line, and whose pipe breaks at a chosen one."""

    def __init__(self, on_line: Callable[[int], object], leaves_at: int) -> None:
        super().__init__(io.BytesIO(), "utf-8")
        self._on_line, self._leaves_at = on_line, leaves_at
        self.lines: list[str] = []

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self.lines.append(line)
            self._on_line(len(self.lines))
            if len(self.lines) == self._leaves_at:
                raise BrokenPipeError
        return len(text)


def test_follow_gives_new_responses_as_they_come_and_each_once(
    account: Simulator, answered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_answers, "_POLL", PollPolicy(initial=0.01, maximum=0.01))

    def more(count: int) -> None:
        if count in (6, 8):
            account.answer(answered, participants=2, answer=f"after {count}")

    out = Reader(more, leaves_at=10)
    with contextlib.redirect_stdout(out):
        assert main(["batch", "responses", answered, "--follow"]) == 141
    found = [TaskResponse.from_dict(json.loads(line)) for line in out.lines]
    assert len({one.id for one in found}) == 10
    values = [one.answers[0].value for one in found]
    assert values == [HARD] * 6 + ["after 6"] * 2 + ["after 8"] * 2


def test_follow_goes_on_where_a_read_broke(
    account: Simulator, answered: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(batch_answers, "_POLL", PollPolicy(initial=0.01, maximum=0.01))
    account.inject("GET", "/responses", Fault(cut=700))
    out = Reader(lambda _: None, leaves_at=6)
    with contextlib.redirect_stdout(out):
        assert main(["batch", "responses", answered, "--follow", "--json"]) == 141
    assert len({json.loads(line)["id"] for line in out.lines}) == 6
    assert "still following, though a read failed: " in capsys.readouterr().err
