"""How help pages poll: plain text in which nothing is cut, however narrow the terminal.

typer's own pages with frames cut the names of options at 40 columns.
"""

import re
import shutil
from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "Group", "width"]

_WIDEST, _NARROWEST = 80, 30  # columns
# click joins the lines of a paragraph, but for one that begins with this mark.
_AS_WRITTEN = re.compile(r"^(?=(Endpoints|Examples?):$)", re.MULTILINE)


def width() -> int:
    """Return how many columns a help page may take."""
    return max(min(shutil.get_terminal_size().columns, _WIDEST) - 2, _NARROWEST)


class Command(TyperCommand):
    """A command whose examples stand as they are to be typed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what typer gives."""
        super().__init__(*args, **options)
        self.help = _AS_WRITTEN.sub("\b\n", self.help or "")

    # typer's releases dress up the names of arguments, each in a way of its own: with braces, types
    # and dots. Here they are what they are told to be.

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what may follow the command's name."""
        return ["[OPTIONS]", *(_name(each) for each in self.get_params(ctx) if _is_argument(each))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what the arguments and the options are."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for each in self.get_params(ctx):
            if (told := each.get_help_record(ctx)) is None:
                continue
            if _is_argument(each):
                sections["Arguments"].append((_name(each), told[1]))
            else:
                sections["Options"].append(told)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _name(argument: Any) -> str:
    return str(argument.metavar)


class Group(TyperGroup):
    """A group that shows the whole first sentence of each command."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each command does."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None  # noqa: S101 - for the type checker
            rows.append((name, command.get_short_help_str(limit=1000)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
