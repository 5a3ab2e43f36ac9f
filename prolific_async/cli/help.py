"""How help pages look: plain text in which nothing is cut, however narrow the terminal.

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

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what may follow the command's name."""
        # typer puts {} or [] around arguments, from 0.29 on with dots behind them.
        return [self.options_metavar, *(each.metavar for each in self._arguments(ctx))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what arguments and options are."""
        arguments = self._arguments(ctx)
        # From 0.29 on, typer puts a type such as <str> behind an argument's name.
        rows = [(each.metavar, each.get_help_record(ctx)[1]) for each in arguments]
        if rows:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        options = [each for each in self.get_params(ctx) if each not in arguments]
        with formatter.section("Options"):
            formatter.write_dl([each.get_help_record(ctx) for each in options])

    def _arguments(self, ctx: Any) -> list[Any]:
        return [each for each in self.get_params(ctx) if each.param_type_name == "argument"]


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
