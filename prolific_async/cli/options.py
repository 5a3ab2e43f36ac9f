"""Arguments and options that several commands have."""

from typing import Annotated

import typer

__all__ = ["AsJson", "BatchId", "BatchIds", "BatchIdsOrStdin", "Url"]

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
        help="Ids of batches, any number; - reads more from standard input, a line each.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Where the service is; by default PROLIFIC_URL, else https://api.prolific.com.",
        show_default=False,
    ),
]
