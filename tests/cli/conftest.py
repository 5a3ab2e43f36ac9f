"""Fixtures that run the command line in this process, against a simulator in a thread."""

import asyncio
import contextlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import frozen

from prolific_async.__main__ import main
from prolific_async.simulator import Immediately, Simulator

_CURSOR_UP = re.compile(r"\x1b\[\d*A")
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_TOKEN = re.compile(r"\x1b\[(?P<count>[0-9;?]*)(?P<command>[A-Za-z])|(?P<text>\r|[^\x1b\r]+)")
_ELAPSED = re.compile(r"\b[0-9]+\.[0-9] s\b")


@frozen
class CommandResult:
    """Output and exit code of a command, all times shown as 0.0 s."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def bars(self) -> str:
        """Return what a terminal got on stderr, without colours and cursor movements."""
        return _without_controls(self.err)

    @property
    def screen(self) -> str:
        """Return all terminal output, without colours and cursor movements."""
        return _without_controls(self.out)


class Screen(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def _without_controls(text: str) -> str:
    return _CONTROLS.sub("", _CURSOR_UP.sub("\n", text))


def _written_to(stream: io.TextIOWrapper) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode(stream.encoding)


def shown_on(screen: Screen) -> str:
    """Return everything that a screen was sent, without colours and cursor movements."""
    return _without_controls(_written_to(screen))


def lines_on(screen: Screen, *, columns: int = 80, height: int = 24) -> list[str]:
    """Return the lines of a terminal after all that it was sent, those scrolled off it first."""
    lines, row, column = [""], 0, 0
    for token in _TOKEN.finditer(_written_to(screen)):
        count, command = token["count"], token["command"]
        if command == "A":
            row = max(row - int(count or 1), len(lines) - height, 0)
        elif command == "K":
            lines[row] = ""
        elif token["text"] == "\r":
            column = 0
        for char in "" if command or token["text"] == "\r" else token["text"]:
            if char == "\n" or column == columns:
                row, column = row + 1, 0
                lines += [""] * (row == len(lines))
            if char != "\n":
                lines[row] = lines[row][:column].ljust(column) + char + lines[row][column + 1 :]
                column += 1
    return [line.rstrip() for line in lines]


Cli = Callable[..., CommandResult]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    simulator = Simulator(imports=Immediately())
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        runner.run(simulator.start())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        yield simulator
        asyncio.run_coroutine_threadsafe(simulator.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROLIFIC_TOKEN", "PROLIFIC_URL", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def account(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """Set PROLIFIC_TOKEN and PROLIFIC_URL to those of the simulator."""
    monkeypatch.setenv("PROLIFIC_TOKEN", sim.token)
    monkeypatch.setenv("PROLIFIC_URL", sim.url)
    return sim


@pytest.fixture
def ready(account: Simulator) -> str:
    return account.add_batch(status="READY")


@pytest.fixture
def failed(account: Simulator) -> str:
    return account.add_batch(status="ERROR")


def _run(kind: type[io.TextIOWrapper], argv: tuple[str, ...], encoding: str) -> CommandResult:
    out, err = kind(io.BytesIO(), encoding), kind(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv)
    texts = (_ELAPSED.sub("0.0 s", _written_to(stream)) for stream in (out, err))
    return CommandResult(code, *texts)


@pytest.fixture
def cli() -> Cli:
    """Run a command with its output on a pipe."""
    return lambda *argv, encoding="utf-8": _run(io.TextIOWrapper, argv, encoding)


@pytest.fixture
def terminal() -> Cli:
    """Run a command on a terminal of 80 columns and 24 lines."""
    return lambda *argv, encoding="utf-8": _run(Screen, argv, encoding)
