"""``batch wait -``: ids from standard input, at once, slowly or never."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prolific_async.cli import stdin
from prolific_async.simulator import Simulator
from tests.conftest import HANGS

COMMAND = [sys.executable, "-W", "error", "-m", "prolific_async", "batch", "wait", "-"]
Given = Callable[[str | bytes], None]


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    """Make a file with some text the standard input."""
    path = tmp_path / "ids"
    opened: list[Any] = []

    def give(text: str | bytes) -> None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        opened.append(path.open(encoding="utf-8"))
        monkeypatch.setattr(sys, "stdin", opened[-1])

    yield give
    for file in opened:
        file.close()


def test_the_first_word_of_each_line_is_an_id(
    account: Simulator, ready: str, failed: str, given: Given, cli: Any
) -> None:
    last = account.add_batch(status="READY")
    given(f"{ready}\tOriginal\tREADY\n\n  \n {failed} \r\n{last}")
    ran = cli("batch", "wait", "-")
    assert ran.code == 1
    assert sorted(line.split("\t")[1] for line in ran.lines) == sorted([ready, failed, last])
    assert len(ran.err.splitlines()) == 1


def test_ids_may_come_from_arguments_and_standard_input(
    account: Simulator, ready: str, given: Given, cli: Any
) -> None:
    other = account.add_batch(status="READY")
    given(f"{other}\n")
    ran = cli("batch", "wait", ready, "-", ready, "-")
    assert (ran.code, ran.err) == (0, "")
    assert {line.split("\t")[1] for line in ran.lines} == {ready, other}
    assert len(ran.lines) == 2


@pytest.mark.parametrize("text", ["", "\n", " \r\n\t\n"])
def test_empty_input_is_wrong_usage(
    account: Simulator, text: str, given: Given, cli: Any, terminal: Any
) -> None:
    told = "no ids came from standard input, so there was nothing to wait for\n"
    given(text)
    ran = cli("batch", "wait", "-", "--json")
    assert (ran.code, ran.out, ran.err) == (2, "", told)
    given(text)
    ran = terminal("batch", "wait", "-")
    assert (ran.code, ran.err) == (2, told)


def test_a_refused_list_on_the_pipe_is_wrong_usage(account: Simulator) -> None:
    pipe = '"$0" -m prolific_async batch list nowhere | "$0" -m prolific_async batch wait -'
    ran = subprocess.run(
        ["sh", "-c", pipe, sys.executable], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    refused, empty = sorted(ran.stderr.splitlines())
    assert refused.startswith("GET /api/v1/data-collection/batches was answered with 404")
    assert empty.startswith("no ids came from standard input")


def test_an_id_argument_makes_empty_input_valid(
    account: Simulator, ready: str, given: Given, cli: Any
) -> None:
    given("")
    assert cli("batch", "wait", ready, "-").code == 0


def test_many_ids_are_read_to_the_last(account: Simulator, given: Given, cli: Any) -> None:
    given("".join(f"unknown-{number}-{'x' * 490}\n" for number in range(300)))
    ran = cli("batch", "wait", "-", "--timeout", "0", "--json")
    ends = [each for each in map(json.loads, ran.lines) if each["kind"] == "end"]
    assert ran.code == 4
    assert len({each["batch_id"] for each in ends}) == len(ends) == 300
    assert {(each["outcome"], each["polls"]) for each in ends} == {("gave_up", 1)}


@pytest.mark.parametrize(
    "text",
    [
        "a\x01b\n",
        "a\x00b\n",
        b"\xff\xfd\n",
        "a\n\ufeffb\n",
        "\ufeff\ufeffa\n",
        "a\u200bb\n",
        "a\xadb\n",
    ],
)
def test_an_invalid_id_is_wrong_usage(
    account: Simulator, text: str | bytes, given: Given, cli: Any
) -> None:
    given(text)
    ran = cli("batch", "wait", "-")
    assert ran.code == 2
    assert " cannot be an id: " in ran.err


MARK = "\ufeff"


@pytest.mark.parametrize("text", [MARK, f"{MARK}\r\n", f"{MARK}  \n\n\r\n"])
def test_a_byte_order_mark_alone_is_no_id(
    account: Simulator, text: str, given: Given, cli: Any
) -> None:
    given(text)
    ran = cli("batch", "wait", "-")
    assert (ran.code, "no ids came" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "form", [f"{MARK}{{}}\r\n{{}}\r\n", f"{MARK}\r\n \t{{}} \t\r\n\n{{}}\xa0", f"{MARK} {{}}\n{{}}"]
)
def test_a_byte_order_mark_is_dropped(
    account: Simulator, ready: str, form: str, given: Given, cli: Any
) -> None:
    other = account.add_batch(status="READY")
    given(form.format(ready, other))
    ran = cli("batch", "wait", "-")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(line.split("\t")[1] for line in ran.lines) == sorted([ready, other])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_byte_order_mark_may_come_in_pieces(
    ready: str, cli: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdin, "_CHUNK", size)
    reading, writing = os.pipe()
    os.write(writing, f"{MARK}{ready}\n".encode())
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        ran = cli("batch", "wait", "-")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split("\t")[1] for line in ran.lines] == [ready]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["{}", "{}\r\n{}\r\n", "\r\n{}\n", "\n", ""])
def test_utf_16_is_reported(
    account: Simulator, ready: str, encoding: str, text: str, given: Given, cli: Any
) -> None:
    given((text.format(ready, ready)).encode(encoding))
    ran = cli("batch", "wait", "-")
    if text == "" and encoding not in ("utf-16", "utf-32"):
        assert (ran.code, "no ids came" in ran.err) == (2, True)
    else:
        assert (ran.code, ran.out) == (2, "")
        assert "standard input is UTF-16" in ran.err
        assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("kind", ["batch", "dataset"])
@pytest.mark.parametrize(
    "text", ["[]\n", '[{"id": "x"}]\n', '{"id": "x"}\n{}', f"{MARK} [\n  {{\n"]
)
def test_json_is_reported(account: Simulator, kind: str, text: str, given: Given, cli: Any) -> None:
    given(text)
    ran = cli(kind, "wait", "-")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "standard input is JSON, but a line for each id is needed: pipe the list without --json\n"
    )


def test_a_list_as_json_on_the_pipe_is_reported(
    account: Simulator, ready: str, given: Given, cli: Any
) -> None:
    given(cli("batch", "list", account.workspace_id, "--json").out)
    ran = cli("batch", "wait", "-", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "without --json" in ran.err


def test_an_invalid_line_ends_no_other_wait(
    account: Simulator, ready: str, failed: str, given: Given, cli: Any, terminal: Any
) -> None:
    last = account.add_batch(status="READY")
    text = f"{ready}\n..\n{failed}\nunknown\n.\n{last}\n"
    given(text)
    ran = cli("batch", "wait", "-", "--json")
    ends = [each for each in map(json.loads, ran.lines) if each["kind"] == "end"]
    assert ran.code == 2
    assert {each["batch_id"]: each["outcome"] for each in ends} == {
        ready: "ready",
        "..": "gave_up",
        failed: "failed",
        "unknown": "gave_up",
        ".": "gave_up",
        last: "ready",
    }
    assert ran.err.count(" cannot be an id: ") == 2
    given(text)
    ran = terminal("batch", "wait", "-")
    assert ran.code == 2
    assert ran.err.count(" cannot be an id: ") == 2


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        ("<&-", "standard input is closed"),
        ("0>/dev/null", "standard input cannot be read (Bad file"),
    ],
)
def test_unreadable_input_is_reported_in_one_line(
    account: Simulator, stdin: str, told: str
) -> None:
    ran = subprocess.run(
        ["sh", "-c", f'"$@" {stdin}', "sh", *COMMAND], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(told)
    assert len(ran.stderr.splitlines()) == 1


def test_a_line_is_read_as_soon_as_it_comes(account: Simulator, ready: str) -> None:
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for batch_id in (ready, account.add_batch(status="READY")):
            process.stdin.write(f"{batch_id}\n".encode())
            assert batch_id.encode() in process.stdout.readline()
        process.send_signal(signal.SIGINT)  # while it waits for a third
        process.wait(HANGS)
        assert process.stdout.read() == b""
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 130


def test_a_table_keeps_no_rows_of_ready_batches(
    account: Simulator, ready: str, failed: str, given: Given, terminal: Any
) -> None:
    given(f"{ready}\n{failed}\n")
    table = terminal("batch", "wait", "-").screen.splitlines()[-3:]
    assert table[1].split() == [failed, "ERROR", "1", "0.0", "s", "failed"]
    assert table[2] in ("1 READY, 1 ERROR", "1 ERROR, 1 READY")
    given(f"{ready}\n")
    assert terminal("batch", "wait", "-").screen.splitlines()[-1].endswith("1 READY")


def test_ids_that_are_typed_are_not_echoed_into_a_table(
    ready: str, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyboard, typed = pty.openpty()
    os.write(keyboard, f"{ready}\n\x04".encode())
    with os.fdopen(typed, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert terminal("batch", "wait", "-").screen.splitlines() == [f"0.0 s\t{ready}\tREADY"]
    os.close(keyboard)
