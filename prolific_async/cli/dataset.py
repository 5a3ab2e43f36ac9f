"""``prolific-async dataset``: a command for each call of ``client.datasets``."""

import asyncio
from typing import Annotated, Any

import typer

from prolific_async.cli import dataset_rows, dataset_wait
from prolific_async.cli.command_runner import run_command
from prolific_async.cli.dataset_output import dataset_line
from prolific_async.cli.exit_codes import EXIT_CODES_HELP, ExitCode, worst_exit_code
from prolific_async.cli.help_pages import Command, Group, UsageError
from prolific_async.cli.json_files import read_schema
from prolific_async.cli.options import AsJson, DatasetIds, Url, Workspace, text
from prolific_async.cli.output import error_document, print_error, print_json, print_line
from prolific_async.client import ProlificClient
from prolific_async.dataset_models import Dataset
from prolific_async.dataset_schema import DatasetSchema
from prolific_async.datasets import Datasets
from prolific_async.errors import ProlificError

__all__ = ["app"]

app = typer.Typer(cls=Group, no_args_is_help=True, epilog=EXIT_CODES_HELP, rich_markup_mode=None)


@app.callback()
def _dataset() -> None:
    """Make, fill and await datasets of rows; the token is read from PROLIFIC_TOKEN."""


@app.command(cls=Command)
def create(
    *,
    workspace: Workspace,
    name: Annotated[str, text("--name", "The dataset's name.")],
    schema: Annotated[
        Any,
        typer.Option(
            "--schema",
            parser=read_schema,
            metavar="FILE",
            help='JSON file of the fields: {"fields": {"prompt": {"type": "text"}}}.',
            show_default=False,
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="NAME=TYPE",
            help="A field; may be given more than once. Types: text, image_url, audio_url,"
            " video_url, metadata, task_group_id.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    r"""Make a dataset without rows, and print its id.

    With a schema or fields (V4) it takes any number of CSV and JSONL files, and
    records. Without (V3) it takes one CSV or ZIP file.

    Example:
      dataset=$(prolific-async dataset create --workspace "$WORKSPACE_ID" \
        --name "Round 1" --field prompt=text --field META_ROW_KEY=metadata)
    """
    if fields:
        if schema is not None:
            raise UsageError("--schema and --field cannot be given together")
        schema = _schema(fields)

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            dataset = await client.datasets.create(workspace, name=name, schema=schema)
        if as_json:
            print_json(dataset.to_dict())
        else:
            print_line(dataset.id)
        return ExitCode.OK

    run_command(work())


app.command(cls=Command, epilog=EXIT_CODES_HELP)(dataset_rows.upload)
app.command(cls=Command, epilog=EXIT_CODES_HELP)(dataset_rows.append)


@app.command(cls=Command)
def status(dataset_ids: DatasetIds, *, as_json: AsJson = False, url: Url = None) -> None:
    """Print id, status and number of rows of each dataset, one per line.

    The status of a dataset with a schema (V4) is that of its imports: of the
    one that runs, else of one that has brought rows. A fourth column says what
    went wrong with the newest one.

    Example:
      prolific-async dataset status "$dataset"
    """

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            results = await asyncio.gather(*(_get(client.datasets, one) for one in dataset_ids))
        if as_json:
            pairs = zip(dataset_ids, results, strict=True)
            print_json([_status_document(*pair) for pair in pairs])
        for result in results:
            if isinstance(result, ProlificError):
                print_error(result)
            elif not as_json:
                print_line(*dataset_line(result))
        return worst_exit_code(one for one in results if isinstance(one, ProlificError))

    run_command(work())


app.command(cls=Command, epilog=EXIT_CODES_HELP)(dataset_wait.wait)


def _schema(fields: list[str]) -> DatasetSchema:
    types: dict[str, str] = {}
    for one in fields:
        name, equals, kind = one.rpartition("=")
        if not equals:
            raise UsageError(f"--field '{one}' is not of the form NAME=TYPE, such as prompt=text")
        if name in types:
            raise UsageError(f"--field '{name}' is given twice")
        types[name] = kind
    try:
        return DatasetSchema(types)
    except ValueError as error:
        raise UsageError(f"--field: {error}") from None


async def _get(datasets: Datasets, dataset_id: str) -> Dataset | ProlificError:
    try:
        return await datasets.get(dataset_id)
    except ProlificError as error:
        return error


def _status_document(dataset_id: str, result: Dataset | ProlificError) -> dict[str, object]:
    error = result if isinstance(result, ProlificError) else None
    return {
        "dataset_id": dataset_id,
        "dataset": result.to_dict() if isinstance(result, Dataset) else None,
        "error": error_document(error),
    }
