"""Help pages in plain text, in which nothing is cut on a narrow terminal.

typer's own pages, in frames, cut the names of options at 40 columns.
"""

import re
import shutil
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "Group", "UsageError", "width"]

_WIDEST, _NARROWEST = 80, 30  # columns
_WIDEST_NAME = 24  # columns
# click joins the lines of a paragraph unless it begins with "\b".
_UNWRAPPED = re.compile(r"^(?=(Endpoints|Examples?):$)", re.MULTILINE)


def width() -> int:
    """Return the width of help pages, in columns."""
    return max(min(shutil.get_terminal_size().columns, _WIDEST) - 2, _NARROWEST)


class UsageError(typer.BadParameter):
    """An error for options that are invalid together, raised before a command does anything."""

    def format_message(self) -> str:
        """Return the message alone, as it names the options."""
        return self.message


class Command(TyperCommand):
    """A command whose examples are not wrapped, and whose function may raise UsageError."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Keep the line breaks of examples in the help text."""
        super().__init__(*args, **options)
        self.help = _UNWRAPPED.sub("\b\n", self.help or "")

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print a UsageError with the usage line of the command."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            error.ctx, error.cmd = ctx, self
            raise

    # Each release of typer decorates the names of arguments differently, with braces, types and
    # dots. Here they are their metavars.

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line after the command's name."""
        return ["[OPTIONS]", *(_name(each) for each in self.get_params(ctx) if _is_argument(each))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of arguments and options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for each in self.get_params(ctx):
            if (record := each.get_help_record(ctx)) is None:
                continue
            if _is_argument(each):
                sections["Arguments"].append((_name(each), record[1]))
            else:
                sections["Options"].append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    # A longer name is alone in its line: 40 columns would not hold both.
                    formatter.write_dl(rows, col_max=_WIDEST_NAME)


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _name(argument: Any) -> str:
    return str(argument.metavar)


class Group(TyperGroup):
    """A group whose help page shows the whole first sentence of each command."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the section of commands."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None  # noqa: S101 - for the type checker
            rows.append((name, command.get_short_help_str(limit=1000)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
