"""``dataset upload`` and ``append``, against the simulator."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prolific_async.simulator import Fault, OmittedBody, Simulator

SCHEMA = {"fields": {"prompt": {"type": "text"}}, "strict": True}
Given = Callable[[bytes], None]


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    """Make a file with some bytes the standard input."""
    opened: list[Any] = []

    def give(data: bytes) -> None:
        path = tmp_path / f"input-{len(opened)}"
        path.write_bytes(data)
        opened.append(path.open("rb"))
        monkeypatch.setattr(sys, "stdin", opened[-1])

    yield give
    for file in opened:
        file.close()


@pytest.fixture
def csv(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("sample_id,prompt\ns1,Which?\ns2,Why?\n")
    return str(path)


@pytest.fixture
def v3(account: Simulator) -> str:
    return account.add_dataset(status="UNINITIALISED", datapoints=0)


@pytest.fixture
def v4(account: Simulator) -> str:
    return account.add_dataset(schema=SCHEMA, datapoints=0)


def posted(account: Simulator) -> list[Any]:
    return [seen.body for seen in account.requests if seen.method == "POST"]


def stored_size(account: Simulator) -> int:
    """Return the number of bytes that the storage got."""
    (stored,) = [seen.body for seen in account.requests if seen.method == "PUT"]
    assert isinstance(stored, OmittedBody)
    return stored.size


def test_upload_prints_the_datasets_id(account: Simulator, v3: str, csv: str, cli: Any) -> None:
    ran = cli("dataset", "upload", v3, csv, "--key", "sample_id")
    assert (ran.code, ran.out) == (0, f"{v3}\n")
    (line,) = ran.err.splitlines()
    size = stored_size(account)
    assert line == f"0.0 s\tupload\t{size}/{size} bytes"
    assert size > Path(csv).stat().st_size, "the key was added"


def test_upload_as_json_has_nothing_beside_it(v4: str, csv: str, cli: Any) -> None:
    ran = cli("dataset", "upload", v4, csv, "--filename", "other.csv", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["filename"] == "other.csv"
    assert (ran.json["dataset_id"], ran.json["id"]) == (v4, ran.json["import_id"])


def test_upload_of_standard_input(account: Simulator, v3: str, given: Given, cli: Any) -> None:
    given(b"prompt\nWhich?\n")
    ran = cli("dataset", "upload", v3, "-", "--filename", "rows.csv")
    assert (ran.code, ran.out) == (0, f"{v3}\n")
    assert stored_size(account) == len("prompt\nWhich?\n")


def test_a_terminal_gets_a_bar(v3: str, csv: str, terminal: Any) -> None:
    ran = terminal("dataset", "upload", v3, csv)
    assert (ran.code, ran.out) == (0, f"{v3}\n")
    _, last = ran.bars.rsplit("upload", 1)
    assert last.split() == ["━" * 36, "35/35", "bytes", "0.0", "s"]


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_dumb_terminal_gets_lines(
    v3: str, csv: str, terminal: Any, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    ran = terminal("dataset", "upload", v3, csv)
    assert (ran.code, ran.err) == (0, "0.0 s\tupload\t35/35 bytes\n")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("nothing.csv", "'nothing.csv' cannot be sent (No such file or directory)"),
        (".", "a file's name must end in .csv"),
        ("directory.csv", "'directory.csv' is a directory, not a file"),
        ("pipe.csv", "'pipe.csv' is a pipe, not a file"),
        ("empty.csv", "the source is empty"),
        ("rows.txt", "a file's name must end in .csv, .zip (V3) or .jsonl (V4): 'rows.txt'"),
    ],
)
def test_a_file_that_cannot_be_sent_is_a_usage_error_before_any_request(
    account: Simulator,
    file: str,
    told: str,
    tmp_path: Path,
    cli: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "directory.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "empty.csv").touch()
    ran = cli("dataset", "upload", "d1", file)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(told)
    assert len(ran.err.splitlines()) == 1
    assert account.requests == ()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-",), "- needs --filename, whose ending tells the format, such as rows.csv"),
        (("rows.csv", "--partial", "accept"), "--partial and --timeout need --wait"),
        (("rows.csv", "--timeout", "5"), "--partial and --timeout need --wait"),
        (("rows.csv", "--wait", "--partial", "refuse"), "'refuse' is not"),
        (("rows.csv", "--wait", "--timeout", "-1"), "'-1' is not a number of seconds from 0 on"),
    ],
)
def test_options_of_upload_that_make_no_sense(
    account: Simulator, options: tuple[str, ...], told: str, cli: Any
) -> None:
    ran = cli("dataset", "upload", "d1", *options)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err.splitlines()[-1]
    assert ran.err.startswith("Usage: prolific-async dataset upload ")
    assert account.requests == ()


def test_a_dataset_without_a_schema_takes_one_file(csv: str, account: Simulator, cli: Any) -> None:
    ran = cli("dataset", "upload", account.add_dataset(), csv)
    assert (ran.code, ran.out) == (2, "")
    assert "takes one, so upload to a new dataset" in ran.err


def test_a_refused_upload_is_one_sentence(
    account: Simulator, v3: str, csv: str, cli: Any, terminal: Any
) -> None:
    account.inject("PUT", "/rows.csv", Fault(403), times=None)
    for run in (cli, terminal):
        ran = run("dataset", "upload", v3, csv)
        assert (ran.code, ran.out) == (4, "")
        assert "answered with 403" in ran.err


@pytest.mark.slow
def test_a_network_error_is_none_of_the_file(csv: str, account: Simulator, cli: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    ran = cli("dataset", "upload", "d1", csv, "--url", url)
    assert (ran.code, "cannot be sent" in ran.err) == (4, False)


def test_append_prints_what_was_taken(
    account: Simulator, v4: str, tmp_path: Path, given: Given, cli: Any
) -> None:
    data = b'\xef\xbb\xbf{"prompt": "a", "score": 0.10}\r\n\n  \n{"prompt": "\xc3\xa9"}'
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    ran = cli("dataset", "append", v4, str(path))
    assert (ran.code, ran.lines) == (0, ["accepted\t2", "rejected\t0"])
    assert ran.err == "0.0 s\tappend\t2/2 records\n"
    (body,) = posted(account)
    assert [*map(json.loads, body.splitlines())] == [
        {"prompt": "a", "score": 0.1},
        {"prompt": "é"},
    ]
    assert "0.10" in body, "numbers keep their digits"

    given(data)
    ran = cli("dataset", "append", v4, "-", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {"accepted": 2, "rejected": 0, "errors": []}
    assert posted(account)[-1] == body


def test_append_names_the_records_that_were_not_taken(v4: str, tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a"}\n' + '{"other": 1}\n' * 30)
    ran = cli("dataset", "append", v4, str(path))
    assert (ran.code, ran.lines) == (1, ["accepted\t1", "rejected\t30"])
    _, *told = ran.err.splitlines()
    assert told[0] == "rejected: row 1 (counted from 0), field 'prompt': missing"
    assert (len(told), told[-1]) == (21, "rejected: 10 more")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "has no records"),
        (b"\n \n", "has no records"),
        (b'{"a": 1}\n[1]\n', 'is not a JSON object, such as {"prompt": "..."}'),
        (b'{"a": 1}\na,b\n', "is not JSON (Expecting value): a record is a JSON object in a line"),
        (b'[\n{"a": 1}\n]', "is not JSON (Expecting value): a record is"),
        (b'{"a": NaN}', "is not JSON (it holds NaN)"),
        (b'{"a": "\xe9"}', "is not UTF-8: save it as UTF-8 first"),
        (b'{"a": %s' % (b"[" * 100_000), "is nested too deeply"),
        ('{"a": 1}\n'.encode("utf-16"), "is UTF-16, but it is read as UTF-8: in PowerShell"),
        (b'{"a": "%s"}' % (b"x" * 17_000_000), "has a line of more than 16777216 bytes"),
    ],
)
def test_bad_records_are_a_usage_error_before_any_request(
    account: Simulator, data: bytes, told: str, tmp_path: Path, cli: Any
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    ran = cli("dataset", "append", "d1", str(path))
    assert (ran.code, ran.out) == (2, "")
    (error,) = ran.err.splitlines()
    assert told in error
    assert f"'{path}' " in error
    assert account.requests == ()


@pytest.mark.parametrize("file", ["nothing.jsonl", "directory", "pipe"])
def test_records_that_cannot_be_read_are_a_usage_error(
    account: Simulator, file: str, tmp_path: Path, cli: Any
) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    ran = cli("dataset", "append", "d1", str(tmp_path / file))
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be read (" in ran.err or "is a pipe, not a file: give - and pipe" in ran.err
    assert account.requests == ()


def test_an_error_in_the_input_tells_what_was_accepted_before(
    account: Simulator, v4: str, given: Given, cli: Any
) -> None:
    given(b'{"prompt": "a"}\n' * 1100 + b"oops\n")
    ran = cli("dataset", "append", v4, "-")
    assert (ran.code, ran.out) == (2, "")
    progress, before, error = ran.err.splitlines()
    assert progress == "0.0 s\tappend\t1,000 records"
    assert before == "before the error: 1000 records accepted, 0 rejected"
    assert error.startswith("line 1101 of standard input is not JSON")
    assert len(posted(account)) == 1


def test_empty_input_is_wrong_usage(account: Simulator, v4: str, given: Given, cli: Any) -> None:
    given(b"\n")
    ran = cli("dataset", "append", v4, "-")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "no records came from standard input, so there was nothing to append\n"
    assert posted(account) == []


def test_append_to_a_busy_dataset_times_out(
    account: Simulator, v4: str, tmp_path: Path, cli: Any
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a"}\n')
    account.inject("POST", "/datapoints", Fault(409), times=None)
    ran = cli("dataset", "append", v4, str(path), "--timeout", "0.1")
    assert (ran.code, ran.out) == (4, "")
    assert "0.0 s were allowed for all records" in ran.err
