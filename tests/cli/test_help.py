"""Every help page, on a wide terminal and on a narrow one."""

import re
import shutil
import subprocess
import textwrap
from typing import Any

import pytest
import typer

from prolific_async.cli import app
from prolific_async.cli.wait_display import OUTCOMES
from prolific_async.simulator.command import OPTIONS
from tests.cli.test_wait import END, POLL_KEYS

EXAMPLE = re.compile(r"^ {4}\S.*\n(?: {6}\S.*\n)*", re.MULTILINE)
EXAMPLES = re.compile(r"^ {2}Examples?:\n((?: {4}.*\n)+)", re.MULTILINE)


def _pages(command: Any, *path: str) -> list[tuple[str, ...]]:
    pages = [path]
    for name, each in getattr(command, "commands", {}).items():
        pages += _pages(each, *path, name)
    return pages


BATCH = ["duplicate", "setup", "status", "list", "show"]
BATCH += ["create", "update", "sync", "preview", "wait", "responses", "report", "export", "exports"]
DATASET = ["create", "upload", "append", "status", "wait"]
PAGES = _pages(typer.main.get_command(app))
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: " ".join(page) or "all")


def test_the_list_of_pages_is_complete() -> None:
    batch = [("batch",), *(("batch", verb) for verb in BATCH)]
    dataset = [("dataset",), *(("dataset", verb) for verb in DATASET)]
    workspace = [("workspace",), ("workspace", "list")]
    assert [(), ("demo",), ("simulate",), *batch, *dataset, *workspace] == PAGES


@every_page
def test_h_is_short_for_help(page: tuple[str, ...], cli: Any) -> None:
    ran = cli(*page, "-h")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[0].startswith(f"Usage: {' '.join(['prolific-async', *page])} ")
    assert ran.out == cli(*page, "--help").out
    assert "-h, --help" in ran.out


@every_page
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_page_fits_the_terminal_and_nothing_is_cut(
    page: tuple[str, ...], columns: int, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wide = cli(*page, "-h").out
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli(*page, "-h").out
    for many in ("[ARGS]...", "BATCH_ID...", "DATASET_ID..."):
        shown, wide = shown.replace(many, "many"), wide.replace(many, "many")
    assert not [sign for sign in ("...", "…", "\x1b") if sign in shown]
    # Line ends may differ, the words may not.
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", wide)
    assert EXAMPLE.findall(shown) == EXAMPLE.findall(wide)
    assert max(map(len, EXAMPLE.sub("", shown).splitlines())) <= min(columns, 80)


@every_page
def test_a_page_shows_no_names_of_python_types(page: tuple[str, ...], cli: Any) -> None:
    shown = cli(*page, "-h").out
    for oddity in ("<bool>", "<str>", "<float>", "{BATCH", "[IDS]", "x>=", "1800.0", "TEXT..."):
        assert oddity not in shown
    assert "Example" in shown or page in ((), ("batch",), ("dataset",), ("workspace",))


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@every_page
def test_examples_are_commands_that_a_shell_can_read(page: tuple[str, ...], cli: Any) -> None:
    for block in EXAMPLES.findall(cli(*page, "-h").out):
        commands = textwrap.dedent(block)
        assert "\\\\" not in commands
        read = subprocess.run(
            ["bash", "-n"], input=commands, capture_output=True, text=True, check=False
        )
        assert (read.returncode, read.stderr) == (0, "")


def test_metavars_show_that_ids_can_be_repeated(cli: Any) -> None:
    for verb in ("status", "wait"):
        assert f"batch {verb} [OPTIONS] BATCH_ID...\n" in cli("batch", verb, "-h").out
        assert f"dataset {verb} [OPTIONS] DATASET_ID...\n" in cli("dataset", verb, "-h").out


def test_options_show_units_and_defaults(cli: Any) -> None:
    told = " ".join(cli("batch", "wait", "-h").out.split())
    assert "--timeout SECONDS Seconds for each batch;" in told
    assert "[default: 1800]" in told
    assert "[default: 20]" in cli("demo", "-h").out


def test_groups_list_their_commands_and_the_exit_codes(cli: Any) -> None:
    told = cli("-h").out
    for word in ("  demo ", "  simulate ", "  batch ", "Exit codes", "timed out"):
        assert word in told
    for group, verbs in (("batch", BATCH), ("dataset", DATASET)):
        told = cli(group, "-h").out
        assert not [verb for verb in verbs if f"  {verb} " not in told]


def test_the_help_of_wait_names_every_field(cli: Any) -> None:
    for kind in ("batch", "dataset"):
        told = cli(kind, "wait", "-h").out
        fields = [field.replace("batch", kind) for field in POLL_KEYS | END]
        assert not [field for field in fields if field not in told]
        assert not [name for name in outcomes(kind) if f'"{name}"' not in told]


def outcomes(kind: str) -> set[str]:
    """Return the names of the outcomes that a wait of a kind can have."""
    others = {"batch": ("nothing_uploaded",), "dataset": ("not_set_up",)}
    return {"ready", *OUTCOMES.values()} - {"partial", "schema_needed", *others[kind]}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["demo", "--copies", "1"], "'1' is not a whole number from 2 to 1000"),
        (["demo", "--copies", "many"], "'many' is not a whole number from 2 to 1000"),
        (["batch", "setup", "x", "--tasks-per-group", "1.5"], "'1.5' is not a whole number from 1"),
        (["batch", "wait", "x", "--timeout", "nan"], "'nan' is not a number of seconds from 0"),
        (["batch", "wait", "x", "--timeout", "10m"], "'10m' is not a number of seconds from 0"),
        (["simulate", "--port", "none"], "'none' is no port: 0 to 65535"),
        (["simulate", "--token", "a b"], "it must be visible ASCII"),
        (["simulate", "x"], "unexpected extra argument"),
        (["simulate", "--prt", "1"], "--port"),
    ],
)
def test_every_command_prints_usage_errors_in_the_same_form(
    argv: list[str], told: str, cli: Any
) -> None:
    ran = cli(*argv)
    assert (ran.code, ran.out) == (2, "")
    usage, hint, empty, error = ran.err.splitlines()
    command = " ".join(each for each in argv[:2] if each[0] != "-" and len(each) > 1)
    assert usage.startswith(f"Usage: prolific-async {command} ")
    assert (hint, empty) == (f"Try 'prolific-async {command} --help' for help.", "")
    assert error.startswith("Error: ")
    assert told in error


def test_simulate_has_the_same_options_with_and_without_the_extra(cli: Any) -> None:
    told = " ".join(cli("simulate", "-h").out.split())
    for name, option in OPTIONS.items():
        default = f" [default: {option.default}]" if option.default else ""
        assert f"--{name} {option.metavar} {option.help}{default}" in told
