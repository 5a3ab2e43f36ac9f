"""The commands of ``prolific-async``; they need the extra ``[cli]``."""

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from prolific_async import __version__
from prolific_async.cli import batch, demo, exits
from prolific_async.simulator.command import main as serve

__all__ = ["app", "run"]

_NAME = "prolific-async"

app = typer.Typer(
    name=_NAME,
    no_args_is_help=True,
    epilog=exits.HELP,
    # A traceback with local values could show the token.
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.add_typer(batch.app, name="batch")


def run(argv: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks must not end a command.
        sys.stdout.reconfigure(errors="backslashreplace")
    code: object = 0
    try:
        app(args=list(argv), prog_name=_NAME)
    except SystemExit as stop:
        code = stop.code
    return code if isinstance(code, int) else 0


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def simulate(context: typer.Context) -> None:
    """Serve a simulated Prolific to any client, in any language; needs no extra.

    Example: prolific-async simulate --port 8765
    """
    raise typer.Exit(serve(context.args))


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
    """Duplicate Prolific's Task Builder batches, set them up, and wait until they are READY.

    Try 'prolific-async demo' first: it needs no token.
    """
