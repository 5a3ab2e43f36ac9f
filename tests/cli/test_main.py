"""The command line as a process: a missing extra, pipes, signals."""

import contextlib
import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from prolific_async import __version__
from prolific_async.__main__ import main
from prolific_async.simulator import Simulator
from prolific_async.simulator.command import DESCRIPTION, OPTIONS

COMMAND = [sys.executable, "-W", "error", "-m", "prolific_async"]
FULL = Path("/dev/full")
# What is None in sys.modules cannot be imported.
CORE_ONLY = """
import sys
sys.modules["{missing}"] = None
from prolific_async.__main__ import main
sys.exit(main({argv}))
"""


def core_only(*argv: str, missing: str = "typer") -> subprocess.Popen[str]:
    program = CORE_ONLY.format(missing=missing, argv=list(argv))
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


SIMULATE = ["simulate", "--port=0", "--token", "a-token", "--workspace-id=w", "--batch-id", "b"]


@pytest.fixture(params=["with the extra", "with the core alone"])
def serving(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    if request.param == "with the core alone":
        process = core_only(*SIMULATE)
    else:
        process = subprocess.Popen(
            [*COMMAND, *SIMULATE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    with process:
        yield process
        process.kill()


def test_simulate_works_with_and_without_the_extra(serving: subprocess.Popen[str]) -> None:
    assert serving.stdout is not None
    url, *fixed = (serving.stdout.readline() for _ in range(4))
    assert url.startswith("PROLIFIC_URL=http://127.0.0.1:")
    assert fixed == ["PROLIFIC_TOKEN=a-token\n", "WORKSPACE_ID=w\n", "BATCH_ID=b\n"]
    serving.send_signal(signal.SIGINT)
    assert serving.communicate() == ("", "")
    assert serving.returncode == 0


def test_the_core_alone_has_the_help_of_simulate_and_the_version() -> None:
    out, err = (process := core_only("simulate", "-h")).communicate()
    assert (process.returncode, err) == (0, "")
    assert DESCRIPTION in out
    assert not [name for name in OPTIONS if f"--{name} " not in out]
    out, err = (process := core_only("--version")).communicate()
    assert (process.returncode, out, err) == (0, f"prolific-async {__version__}\n", "")


def test_the_core_alone_reports_wrong_usage_of_simulate() -> None:
    out, err = (process := core_only("simulate", "--setup", "soon")).communicate()
    assert (process.returncode, out) == (2, "")
    assert "--setup: 'soon' is not immediately, seconds:N or polls:N\n" in err


@pytest.mark.parametrize(
    ("missing", "argv"),
    [
        ("typer", ["demo"]),
        pytest.param("rich.table", ["--help"], marks=pytest.mark.slow),
        pytest.param("typer", [], marks=pytest.mark.slow),
    ],
)
def test_without_the_extra_it_says_what_to_install(missing: str, argv: list[str]) -> None:
    out, err = (process := core_only(*argv, missing=missing)).communicate()
    assert (process.returncode, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "the extra [cli]" in err
    # The package itself is on no index yet; the packages of the extra are.
    assert "pip install rich typer " in err
    assert "'simulate' and '--version'" in err


def test_another_missing_module_is_not_hidden() -> None:
    _, err = core_only("demo", missing="prolific_async.cli.demo").communicate()
    assert "ModuleNotFoundError" in err


def test_importing_the_package_imports_nothing_of_the_command_line() -> None:
    program = "import sys, prolific_async; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    modules = ran.stdout.decode().split()
    assert "prolific_async.client" in modules
    assert not {"typer", "rich", "click", "prolific_async.cli"} & set(modules)


@pytest.mark.parametrize(
    "argv",
    [
        ["batch", "list"],
        *(
            pytest.param(argv, marks=pytest.mark.slow)
            for argv in (["simulate", "--port=0"], ["--help"])
        ),
    ],
)
def test_a_closed_pipe_exits_quietly(account: Simulator, argv: list[str]) -> None:
    account.add_batch()
    if argv == ["batch", "list"]:
        argv = [*argv, account.workspace_id]
    with open(closed_pipe(), "wb") as out:
        ran = subprocess.run(
            [*COMMAND, *argv],
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_a_closed_pipe_ends_a_wait(
    account: Simulator, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    ids = [account.add_batch(), account.add_batch(status="READY")]
    with open(closed_pipe(), "w", encoding="utf-8") as out, contextlib.redirect_stdout(out):
        assert main(["batch", "wait", *ids]) == 141
    assert (capsys.readouterr().err, caplog.records) == ("", [])


@pytest.mark.skipif(not FULL.exists(), reason="Linux has it")
@pytest.mark.parametrize(
    "argv",
    [
        ["batch", "list", "WORKSPACE", "--json"],
        ["simulate", "--port=0"],
        ["--help"],
        ["simulate", "-h"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_a_full_disk_is_reported_in_one_line(
    account: Simulator, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    argv = [account.workspace_id if each == "WORKSPACE" else each for each in argv]
    with FULL.open("w", encoding="utf-8") as out, contextlib.redirect_stdout(out):
        assert main(argv) == 2
    told = "the output cannot be written (No space left on device)\n"
    assert capsys.readouterr().err == told


def test_ctrl_c_exits_quietly(account: Simulator) -> None:
    batch_id = account.add_batch()
    with subprocess.Popen(
        [*COMMAND, "batch", "wait", batch_id], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b"UNINITIALISED" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate() == (b"", b"")
    assert process.returncode == 130


def test_sigterm_exits_quietly_and_restores_the_cursor(account: Simulator) -> None:
    screen, out = pty.openpty()
    command = [*COMMAND, "batch", "wait", account.add_batch()]
    with subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE) as process:
        os.close(out)
        shown = b""
        while b"UNINITIALISED" not in shown:
            shown += os.read(screen, 65536)
        process.terminate()
        with contextlib.suppress(OSError):  # as a terminal ends on Linux
            while more := os.read(screen, 65536):
                shown += more
        assert process.communicate()[1] == b""
    os.close(screen)
    assert process.returncode == 143
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")


@pytest.mark.parametrize("command", ["batch", pytest.param("dataset", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_table_has_told_why_a_wait_failed(
    account: Simulator, command: str, sent: signal.Signals, code: int
) -> None:
    running = (
        account.add_batch() if command == "batch" else account.add_dataset(status="PROCESSING")
    )
    screen, out = pty.openpty()
    argv = [*COMMAND, command, "wait", running, "nope", "--timeout", "20"]
    with subprocess.Popen(argv, stdout=out, stderr=subprocess.PIPE) as process:
        os.close(out)
        assert process.stderr is not None
        sentence = process.stderr.readline()
        assert sentence.startswith(f"waiting for {command} nope failed: GET ".encode())
        process.send_signal(sent)
        with contextlib.suppress(OSError):  # as a terminal ends on Linux
            while os.read(screen, 65536):
                pass
        assert process.communicate()[1] == b""
    os.close(screen)
    assert process.returncode == code


def test_a_command_restores_the_handling_of_sigterm(ready: str, cli: Any) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert cli("batch", "wait", ready).code == 0
    assert signal.getsignal(signal.SIGTERM) == before  # uvloop's own loops keep theirs


def test_ctrl_c_at_the_start_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, _name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "prolific_async.cli", Interrupted("cli"))
    assert main(["demo"]) == 130


def test_version(cli: Any) -> None:
    assert cli("--version").out == f"prolific-async {__version__}\n"


def test_stdout_may_be_any_text_stream() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["--version"]) == 0
    assert out.getvalue()
