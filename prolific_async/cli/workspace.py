"""``prolific-async workspace``: the workspaces that batches are in."""

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prolific_async.cli.batch_output import cut_text, has_room
from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import EXIT_CODES_HELP, ExitCode
from prolific_async.cli.help_pages import Command, Group
from prolific_async.cli.options import AsJson, Url
from prolific_async.cli.output import print_json, print_line, printable
from prolific_async.client import ProlificClient
from prolific_async.models import Workspace

__all__ = ["app"]

app = typer.Typer(cls=Group, no_args_is_help=True, epilog=EXIT_CODES_HELP, rich_markup_mode=None)


@app.callback()
def _workspace() -> None:
    """List the workspaces of the token's account; the token is read from PROLIFIC_TOKEN."""


@app.command(name="list", cls=Command)
def list_(*, as_json: AsJson = False, url: Url = None) -> None:
    """List your workspaces.

    On a pipe, and on a narrow terminal, the columns are parted by tabs: id,
    title, and description.

    Example:
      prolific-async workspace list
    """

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            workspaces = await client.workspaces.list()
        if as_json:
            print_json([workspace.to_dict() for workspace in workspaces])
        else:
            _print_workspaces(workspaces)
        return ExitCode.OK

    run_command(work())


def _print_workspaces(workspaces: Sequence[Workspace]) -> None:
    if not has_room():
        for one in workspaces:
            print_line(one.id, one.title, one.description or "")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("id", no_wrap=True)
    table.add_column("title")  # rich shrinks only columns that may wrap; the cells are cut instead
    table.add_column("description")
    for one in workspaces:
        table.add_row(Text(printable(one.id)), cut_text(one.title), cut_text(one.description or ""))
    Console().print(table)
