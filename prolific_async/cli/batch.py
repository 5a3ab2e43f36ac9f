"""``prolific-async batch``: a command for each call of ``client.batches``."""

import asyncio
from typing import Annotated

import typer

from prolific_async.batches import Batches
from prolific_async.cli import batch_answers, batch_editing, batch_exports, wait
from prolific_async.cli.batch_output import print_batch, print_batches
from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import EXIT_CODES_HELP, ExitCode, worst_exit_code
from prolific_async.cli.help_pages import Command, Group
from prolific_async.cli.options import AsJson, BatchId, BatchIds, Url, number
from prolific_async.cli.output import error_document, print_error, print_json, print_line
from prolific_async.client import ProlificClient
from prolific_async.errors import ProlificError
from prolific_async.models import BatchStatus

__all__ = ["app"]

app = typer.Typer(cls=Group, no_args_is_help=True, epilog=EXIT_CODES_HELP, rich_markup_mode=None)


@app.callback()
def _batch() -> None:
    """Make, duplicate, set up, read and await batches, and get the answers.

    The token is read from PROLIFIC_TOKEN.
    """


@app.command(cls=Command)
def duplicate(
    batch_id: BatchId,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="TEXT",
            help="The copy's name; a unique one lets a copy be found if its response is lost.",
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
        async with ProlificClient(base_url=url) as client:
            copy = await client.batches.duplicate(
                batch_id, name=name, upload_new_dataset=new_dataset
            )
        if as_json:
            print_json(copy.to_dict())
        else:
            print_line(copy.id)
        return ExitCode.OK

    run_command(work())


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
    """Start to build a batch's tasks, and print the batch's id; 'wait' waits for the end.

    Example:
      prolific-async batch setup "$copy" --tasks-per-group 5
    """

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            await client.batches.setup(
                batch_id, dataset_id=dataset_id, tasks_per_group=tasks_per_group
            )
        if as_json:
            print_json({"batch_id": batch_id})
        else:
            print_line(batch_id)
        return ExitCode.OK

    run_command(work())


@app.command(cls=Command)
def status(batch_ids: BatchIds, *, as_json: AsJson = False, url: Url = None) -> None:
    """Print the status of each batch, one per line.

    Example:
      prolific-async batch status "$copy"
    """

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            results = await asyncio.gather(*(_status(client.batches, one) for one in batch_ids))
        pairs = list(zip(batch_ids, results, strict=True))
        if as_json:
            print_json([_status_document(*pair) for pair in pairs])
        for batch_id, result in pairs:
            if isinstance(result, ProlificError):
                print_error(result)
            elif not as_json:
                print_line(batch_id, result or "-")
        return worst_exit_code(one for one in results if isinstance(one, ProlificError))

    run_command(work())


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
        async with ProlificClient(base_url=url) as client:
            batches = await client.batches.list(workspace_id)
        if as_json:
            print_json([batch.to_dict() for batch in batches])
        else:
            print_batches(batches)
        return ExitCode.OK

    run_command(work())


@app.command(cls=Command)
def show(batch_id: BatchId, *, as_json: AsJson = False, url: Url = None) -> None:
    """Show every field of a batch, one per line.

    Example:
      prolific-async batch show "$copy"
    """

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            batch = await client.batches.get(batch_id)
        if as_json:
            print_json(batch.to_dict())
        else:
            print_batch(batch)
        return ExitCode.OK

    run_command(work())


app.command(cls=Command)(batch_editing.create)
app.command(cls=Command)(batch_editing.update)
app.command(cls=Command, epilog=EXIT_CODES_HELP)(batch_editing.sync)
app.command(cls=Command)(batch_editing.preview)
app.command(cls=Command, epilog=EXIT_CODES_HELP)(wait.wait)
app.command(cls=Command)(batch_answers.responses)
app.command(cls=Command)(batch_answers.report)
app.command(cls=Command, epilog=EXIT_CODES_HELP)(batch_exports.export)
app.command(cls=Command)(batch_exports.exports)


async def _status(batches: Batches, batch_id: str) -> BatchStatus | ProlificError | None:
    try:
        return await batches.get_status(batch_id)
    except ProlificError as error:
        return error


def _status_document(
    batch_id: str, result: BatchStatus | ProlificError | None
) -> dict[str, object]:
    error = result if isinstance(result, ProlificError) else None
    return {
        "batch_id": batch_id,
        "status": None if error else result,
        "error": error_document(error),
    }
