"""``prolific-async batch responses`` and ``report``."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

import typer

from prolific_async.answer_models import Answer, TaskResponse
from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import ExitCode
from prolific_async.cli.follow import follow as follow_responses
from prolific_async.cli.help_pages import UsageError
from prolific_async.cli.options import AsJson, BatchId, Output, Overwrite, Url
from prolific_async.cli.output import print_error, print_json, print_line
from prolific_async.cli.record_output import RecordOutput, file_errors
from prolific_async.cli.record_text import Format
from prolific_async.client import ProlificClient
from prolific_async.errors import ProlificError
from prolific_async.policies import PollPolicy
from prolific_async.report_models import Annotation, ReportRow

__all__ = ["report", "responses"]

_POLL = PollPolicy()
_FORMAT = typer.Option(
    "--format",
    metavar="csv|jsonl",
    help="By default CSV where the file's name ends with .csv, else JSON lines."
    " CSV is UTF-8 without a byte order mark.",
    show_default=False,
)
_RESPONSE_COLUMNS = (
    *("id", "created_at", "key", "batch_id", "participant_id", "submission_id", "task_id"),
    *("instruction_id", "type"),
)
_ANSWER_COLUMNS = (
    *("value", "unit", "explanation"),
    *("file_key", "file_name", "file_size_mb", "content_type"),
)
_REPORT_COLUMNS = tuple(
    ReportRow("", "", "", "", {}, (Annotation(1, "", ""),)).flat()[0]  # a row without data
)


def responses(
    batch_id: BatchId,
    *,
    output: Output = None,
    overwrite: Overwrite = False,
    format_: Annotated[Format | None, _FORMAT] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Go on with new responses as they come, until interrupted."),
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write the participants' answers, each response as soon as it has come.

    A line of JSON has all that the service sends of a response. In CSV each
    answer is a row, with the key that its row was uploaded with.

    With --json --output one object is printed: path, and the number of
    responses.

    Examples:
      prolific-async batch responses "$batch" --output answers.csv
      prolific-async batch responses "$batch" --follow | jq .response
    """
    if follow and output is not None:
        raise UsageError("--follow has no end, and a file is written whole: leave --output out")
    records = RecordOutput(output, overwrite, format_, as_json)

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            read = partial(client.batches.responses, batch_id)
            found = follow_responses(read, _POLL, _print_failed_read) if follow else read()
            columns = [*_RESPONSE_COLUMNS, *_ANSWER_COLUMNS]
            await records.write(found, "responses", _csv_rows, columns)
        return ExitCode.OK

    run_command(work())


def report(
    batch_id: BatchId,
    *,
    output: Output = None,
    overwrite: Overwrite = False,
    format_: Annotated[Format | None, _FORMAT] = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Save the service's own CSV; its text is escaped as HTML."),
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write the answers beside the rows they belong to, with the rows' keys.

    A line of JSON is a row of the dataset and an instruction, with all answers
    to it. In CSV each answer is a row, and the dataset's columns begin with
    "data.".

    With --json --output one object is printed: path, and the number of rows.

    Example:
      prolific-async batch report "$batch" --output report.csv
    """
    if raw and (output is None or format_ is not None):
        raise UsageError("--raw needs --output, and no --format")
    records = RecordOutput(output, overwrite, format_, as_json)

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            found = client.batches.report(batch_id)
            if not raw or output is None:
                await records.write(found.rows(), "rows", ReportRow.flat, _REPORT_COLUMNS)
                return ExitCode.OK
            display = records.display()
            with file_errors(output):
                saving = found.download(
                    output, overwrite=overwrite, on_progress=display.add_progress
                )
                await display.show_during(saving)
        if as_json:
            print_json({"path": output})
        else:
            print_line(output)
        return ExitCode.OK

    run_command(work())


def _csv_rows(response: TaskResponse) -> Sequence[Mapping[str, object]]:
    own = {name: getattr(response, name) for name in _RESPONSE_COLUMNS}
    # A response without an answer has a row, too.
    return [
        own | {name: getattr(answer, name) for name in _ANSWER_COLUMNS}
        for answer in response.answers or (Answer(),)
    ]


def _print_failed_read(error: ProlificError) -> None:
    print_error(f"still following, though a read failed: {error}")
