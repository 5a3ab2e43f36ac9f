"""Shell completion, which typer provides, for the installed command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMPLETE = "_PROLIFIC_ASYNC_COMPLETE"
IN_BASH = """
eval "$SCRIPT"
COMP_WORDS=(prolific-async batch w) COMP_CWORD=2
_prolific_async_completion prolific-async
echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_the_shell(
    shell: str, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMPLETE, f"source_{shell}")
    ran = cli()
    assert (ran.code, ran.err) == (0, "")
    assert f"{COMPLETE}=complete_{shell}" in ran.out
    if path := shutil.which(shell):
        subprocess.run([path, "-n"], input=ran.out, text=True, check=True)


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("prolific-async ba", ["batch"]),
        ("prolific-async batch s", ["setup", "show", "status", "sync"]),
        ("prolific-async d", ["dataset", "demo"]),
        ("prolific-async dataset a", ["append"]),
        ("prolific-async dataset upload d1 rows.csv --pa", ["--partial"]),
        ("prolific-async dataset upload d1 rows.csv --partial a", ["accept"]),
        ("prolific-async dataset create --fi", ["--field"]),
        ("prolific-async batch create --la", ["--layout"]),
        ("prolific-async batch update b1 --c", ["--clear-items"]),
        ("prolific-async batch sync b1 --wa", ["--wait"]),
        ("prolific-async batch wait --ti", ["--timeout"]),
        ("prolific-async batch duplicate b1 --new", ["--new-dataset"]),
        ("prolific-async simulate --p", ["--port"]),
    ],
)
def test_commands_and_options_are_completed(
    typed: str, proposed: list[str], cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMPLETE, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert sorted(cli().lines) == proposed
    monkeypatch.setenv(COMPLETE, "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", typed)
    out = cli().out
    assert all(f'"{each}"' in out for each in proposed)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_with_the_script(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMPLETE, "source_bash")
    monkeypatch.setenv("SCRIPT", cli().out)
    monkeypatch.delenv(COMPLETE)
    command = tmp_path / "prolific-async"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m prolific_async "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    ran = subprocess.run(["bash", "-c", IN_BASH], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("wait\n", "")
