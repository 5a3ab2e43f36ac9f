"""The `simulate` command."""

import io
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import Any

import pytest

from prolific_async.simulator import AfterPolls, AfterSeconds, Immediately, RowsPerSecond, Simulator
from prolific_async.simulator.command import DESCRIPTION, _ending, _import_ending, main
from tests.conftest import HANGS

PROGRAM = """
import sys
from prolific_async.simulator.command import main
sys.exit(main(["--port=0", "--exports=immediately"]))
"""
NAMES = ["PROLIFIC_URL", "PROLIFIC_TOKEN", "WORKSPACE_ID", "BATCH_ID", "STORAGE_URL"]


class Screen(io.StringIO):
    """A standard output that asks the command to stop once it is flushed."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        super().flush()
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_a_line_each_and_stops_on_a_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    screen = Screen(number)
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["--port", "0", "--setup", "immediately", "--imports", "rows:27"]) == 0
    assert [line.partition("=")[0] for line in screen.getvalue().splitlines()] == NAMES
    assert screen.getvalue().endswith("\n")
    assert capsys.readouterr().err == ""
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_program_finds_a_ready_batch_and_ctrl_c_prints_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        printed = dict(process.stdout.readline().rstrip("\n").split("=", 1) for _ in NAMES)
        url = f"{printed['PROLIFIC_URL']}/api/v1/data-collection/batches/{printed['BATCH_ID']}"
        control = f"{printed['PROLIFIC_URL']}/_simulator"

        def ask(url: str, body: bytes | None = None) -> Any:
            request = urllib.request.Request(url, data=body)
            request.add_header("Authorization", f"Token {printed['PROLIFIC_TOKEN']}")
            with urllib.request.urlopen(request, timeout=HANGS) as response:
                return json.load(response)

        batch = ask(url)
        answers = f"{control}/batches/{printed['BATCH_ID']}/answers"
        participants = ask(answers, b'{"participants": 2}')["participants"]
        responses = ask(f"{url}/responses")["results"]
        export = ask(f"{url}/export/{ask(f'{url}/export', b'')['export_id']}")
        seen = ask(f"{control}/requests")[0]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=HANGS)
    assert list(printed) == NAMES
    assert (batch["status"], batch["total_task_count"]) == ("READY", 200)
    assert [response["participant_id"] for response in responses] == participants
    assert export["status"] == "complete"
    assert export["url"].startswith(printed["STORAGE_URL"])
    assert batch["workspace_id"] == printed["WORKSPACE_ID"]
    assert (seen["path"], seen["status"]) == (url.removeprefix(printed["PROLIFIC_URL"]), 200)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_taken_port_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([f"--port={port}"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert f"cannot listen on port {port} (" in shown.err
    assert "--port" in shown.err


def test_a_taken_storage_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port=0", f"--storage-port={port}"]) == 2
    shown = capsys.readouterr().err
    assert f"storage port {port} (" in shown
    assert "--storage-port" in shown


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 0), (OSError("without a number"), 2)]
)
def test_what_can_happen_before_it_listens(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    async def start(_: Simulator) -> None:
        raise error

    monkeypatch.setattr(Simulator, "start", start)
    assert main([]) == code
    assert ("without a number" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("immediately", Immediately()),
        ("seconds:0.5", AfterSeconds(0.5)),
        ("polls:3", AfterPolls(3)),
    ],
)
def test_endings_are_parsed(text: str, ending: Any) -> None:
    assert _ending(text) == _import_ending(text) == ending
    assert _import_ending("rows:27") == RowsPerSecond(27)


@pytest.mark.parametrize(
    "argv",
    [
        ["--port", "65536"],
        ["--port", "-1"],
        ["--port", "http"],
        ["--port", ""],
        ["--setup", "seconds"],
        ["--setup", "seconds:-1"],
        ["--setup", "seconds:inf"],
        ["--setup", "polls:1.5"],
        ["--setup", "immediately:1"],
        ["--setup", "never"],
        ["--setup", "rows:27"],
        ["--imports", "rows:0"],
        ["--imports", "rows"],
        ["--imports", "never"],
        ["--exports", "rows:27"],
        ["--host", "0.0.0.0"],
        ["--token", ""],
        ["--token", "a b"],
        ["--workspace-id", "ü"],
        ["--batch-id", "b\n"],
        ["here"],
    ],
)
def test_invalid_arguments_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_help_shows_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "8765" in shown
    assert "seconds:5" in shown
    assert DESCRIPTION in shown


def test_a_wrong_token_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--token", "secret with spaces"])
    assert "secret" not in capsys.readouterr().err


def test_token_and_ids_are_fixed_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(signal.SIGINT)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("PROLIFIC_TOKEN", "a-real-one")  # the simulator must not use it
    assert main(["--port=0"]) == 0
    assert "a-real-one" not in screen.getvalue()
    assert main(["--port=0", "--token=t", "--workspace-id", "w", "--batch-id=b"]) == 0
    assert "\nPROLIFIC_TOKEN=t\nWORKSPACE_ID=w\nBATCH_ID=b\nSTORAGE_URL=" in screen.getvalue()
