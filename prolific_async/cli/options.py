"""Arguments and options that several commands share."""

import math
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

__all__ = [
    "AsJson",
    "BatchId",
    "BatchIds",
    "BatchIdsOrStdin",
    "DatasetId",
    "DatasetIds",
    "DatasetIdsOrStdin",
    "Output",
    "Overwrite",
    "Url",
    "Workspace",
    "number",
    "text",
    "timeout",
]

_Number = TypeVar("_Number", int, float)

BatchId = Annotated[
    str, typer.Argument(metavar="BATCH_ID", help="The batch's id.", show_default=False)
]
BatchIds = Annotated[
    list[str],
    typer.Argument(metavar="BATCH_ID...", help="Ids of batches, any number.", show_default=False),
]
BatchIdsOrStdin = Annotated[
    list[str],
    typer.Argument(
        metavar="BATCH_ID...",
        help="Ids of batches, any number; - reads more from standard input, one per line.",
        show_default=False,
    ),
]
DatasetId = Annotated[
    str, typer.Argument(metavar="DATASET_ID", help="The dataset's id.", show_default=False)
]
DatasetIds = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET_ID...", help="Ids of datasets, any number.", show_default=False
    ),
]
DatasetIdsOrStdin = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET_ID...",
        help="Ids of datasets, any number; - reads more from standard input, one per line.",
        show_default=False,
    ),
]
# There is no option for the token: other users of the machine can read a process's arguments.
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Base URL of the service; by default PROLIFIC_URL, else https://api.prolific.com.",
        show_default=False,
    ),
]


def number(
    kind: Callable[[Any], _Number], least: float, most: float = math.inf, *, words: str
) -> Callable[[Any], _Number]:
    """Return a parser for an option whose value is a number.

    Args:
        kind: int or float.
        least: The least valid number.
        most: The greatest valid number.
        words: Description of a valid number, for the error.

    """

    def parse(given: Any) -> _Number:
        try:
            value = kind(given)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:  # NaN is never between
            raise typer.BadParameter(f"'{given}' is not {words}")
        return value

    return parse


def timeout(description: str, *, shows_default: bool = False) -> Any:
    """Return an option whose value is a number of seconds."""
    return typer.Option(
        "--timeout",
        parser=number(float, 0, words="a number of seconds from 0 on, or inf"),
        metavar="SECONDS",
        help=description,
        show_default=shows_default,
    )


def text(name: str, description: str, *, metavar: str = "TEXT") -> Any:
    """Return an option whose value is any text."""
    return typer.Option(name, metavar=metavar, help=description, show_default=False)


Workspace = Annotated[str, text("--workspace", "The workspace's id.", metavar="ID")]
Output = Annotated[
    str | None,
    text("--output", "Write to this file, which appears only when it is complete.", metavar="FILE"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if there is one.")]
