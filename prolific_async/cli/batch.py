"""``prolific-async batch …``: the verbs of ``client.batches``, a command each."""

import asyncio
from typing import Annotated

import typer

from prolific_async.batches import Batches
from prolific_async.cli import exits, wait
from prolific_async.cli.connect import connect
from prolific_async.cli.exits import ExitCode
from prolific_async.cli.help import Command, Group
from prolific_async.cli.options import AsJson, BatchId, BatchIds, Url, number
from prolific_async.cli.output import complain, error_document, print_json, print_line
from prolific_async.cli.tables import print_list, print_whole
from prolific_async.errors import ProlificError
from prolific_async.models import BatchStatus

__all__ = ["app"]

app = typer.Typer(cls=Group, no_args_is_help=True, epilog=exits.HELP, rich_markup_mode=None)


@app.callback()
def _batch() -> None:
    """Duplicate, set up, read and await batches; the token is read from PROLIFIC_TOKEN."""


@app.command(cls=Command)
def duplicate(
    batch_id: BatchId,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="TEXT",
            help="The copy's name; with a unique one, a copy whose answer is lost is found again.",
            show_default=False,
        ),
    ] = None,
    new_dataset: Annotated[
        bool, typer.Option("--new-dataset", help="Leave out the dataset, to upload another.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make a copy of a batch and print the copy's id.

    Example:
      copy=$(prolific-async batch duplicate "$BATCH_ID" --name "Round 2")
    """

    async def work() -> ExitCode:
        async with connect(url) as client:
            copy = await client.batches.duplicate(
                batch_id, name=name, upload_new_dataset=new_dataset
            )
        if as_json:
            print_json(copy.to_dict())
        else:
            print_line(copy.id)
        return ExitCode.OK

    exits.run(work())


@app.command(cls=Command)
def setup(
    batch_id: BatchId,
    *,
    dataset_id: Annotated[
        str | None,
        typer.Option(
            "--dataset-id",
            metavar="ID",
            help="The dataset to use; not needed when one is attached.",
            show_default=False,
        ),
    ] = None,
    tasks_per_group: Annotated[
        int | None,
        typer.Option(
            "--tasks-per-group",
            parser=number(int, 1, words="a whole number from 1 on"),
            metavar="N",
            help="Tasks in each group; left out, the service makes groups of 1.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Have a batch's tasks built, and print its id; 'wait' awaits the end.

    Example:
      prolific-async batch setup "$copy" --tasks-per-group 5
    """

    async def work() -> ExitCode:
        async with connect(url) as client:
            await client.batches.setup(
                batch_id, dataset_id=dataset_id, tasks_per_group=tasks_per_group
            )
        if as_json:
            print_json({"batch_id": batch_id})
        else:
            print_line(batch_id)
        return ExitCode.OK

    exits.run(work())


@app.command(cls=Command)
def status(batch_ids: BatchIds, *, as_json: AsJson = False, url: Url = None) -> None:
    """Print the status of each batch, a line each.

    Example:
      prolific-async batch status "$copy"
    """

    async def work() -> ExitCode:
        async with connect(url) as client:
            found = await asyncio.gather(*(_status(client.batches, each) for each in batch_ids))
        errors = [each for each in found if isinstance(each, ProlificError)]
        pairs = list(zip(batch_ids, found, strict=True))
        if as_json:
            print_json([_status_document(*pair) for pair in pairs])
        for batch_id, seen in pairs:
            if isinstance(seen, ProlificError):
                complain(seen)
            elif not as_json:
                print_line(batch_id, seen or "-")
        return exits.worst(errors)

    exits.run(work())


@app.command(name="list", cls=Command)
def list_(
    workspace_id: Annotated[
        str,
        typer.Argument(metavar="WORKSPACE_ID", help="The workspace's id.", show_default=False),
    ],
    *,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List a workspace's batches.

    On a pipe, and on a narrow terminal, the columns are parted by tabs: id,
    name, status, tasks, and when it was created.

    Example:
      prolific-async batch list "$WORKSPACE_ID"
    """

    async def work() -> ExitCode:
        async with connect(url) as client:
            batches = await client.batches.list(workspace_id)
        if as_json:
            print_json([batch.to_dict() for batch in batches])
        else:
            print_list(batches)
        return ExitCode.OK

    exits.run(work())


@app.command(cls=Command)
def show(batch_id: BatchId, *, as_json: AsJson = False, url: Url = None) -> None:
    """Show all of a batch, a field a line.

    Example:
      prolific-async batch show "$copy"
    """

    async def work() -> ExitCode:
        async with connect(url) as client:
            batch = await client.batches.get(batch_id)
        if as_json:
            print_json(batch.to_dict())
        else:
            print_whole(batch)
        return ExitCode.OK

    exits.run(work())


app.command(cls=Command, epilog=exits.HELP)(wait.wait)


async def _status(batches: Batches, batch_id: str) -> BatchStatus | ProlificError | None:
    try:
        return await batches.get_status(batch_id)
    except ProlificError as error:
        return error


def _status_document(batch_id: str, seen: BatchStatus | ProlificError | None) -> dict[str, object]:
    error = seen if isinstance(seen, ProlificError) else None
    return {
        "batch_id": batch_id,
        "status": None if error else seen,
        "error": error_document(error),
    }
