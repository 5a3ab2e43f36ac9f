"""Command line ``prolific-async``; needs the extra ``[cli]``."""

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from prolific_async import __version__
from prolific_async.cli import batch, dataset, demo, simulate, workspace
from prolific_async.cli.command_runner import handle_output_error
from prolific_async.cli.exit_codes import EXIT_CODES_HELP, ExitCode
from prolific_async.cli.help_pages import Command, Group, width

__all__ = ["app", "run"]

_NAME = "prolific-async"

app = typer.Typer(
    name=_NAME,
    cls=Group,
    no_args_is_help=True,
    epilog=EXIT_CODES_HELP,
    context_settings={"help_option_names": ["--help", "-h"]},
    rich_markup_mode=None,
    # A traceback with local values could show the token.
    pretty_exceptions_enable=False,
)
app.command(cls=Command)(demo.demo)
app.command(cls=Command, help=simulate.DESCRIPTION)(simulate.simulate)
app.add_typer(batch.app, name="batch")
app.add_typer(dataset.app, name="dataset")
app.add_typer(workspace.app, name="workspace")


def run(argv: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the terminal's encoding lacks must not end a command.
        sys.stdout.reconfigure(errors="backslashreplace")
    code: object = 0
    out = sys.stdout
    try:
        app(args=list(argv), prog_name=_NAME, terminal_width=width())
    except SystemExit as stop:
        # typer replaces stdout when the reader of a help page is gone.
        code = stop.code if sys.stdout is out else ExitCode.CLOSED_PIPE
    except OSError as error:  # from a help page; commands handle the errors of their output
        code = handle_output_error(error)
    return code if isinstance(code, int) else 0


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's call
    if wanted:
        typer.echo(f"{_NAME} {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Duplicate Prolific's Task Builder batches, set them up, wait for them, and get the answers.

    Try 'prolific-async demo' first: it needs no token.
    """
