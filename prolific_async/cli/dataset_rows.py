"""``prolific-async dataset upload`` and ``append``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from prolific_async.cli.command_runner import run_command
from prolific_async.cli.dataset_output import print_rejected
from prolific_async.cli.exit_codes import ExitCode, exit_code_of
from prolific_async.cli.help_pages import UsageError
from prolific_async.cli.json_lines import FileRecords, input_records
from prolific_async.cli.options import AsJson, DatasetId, Url, text
from prolific_async.cli.options import timeout as seconds
from prolific_async.cli.output import print_error, print_json, print_line, printable
from prolific_async.cli.progress_display import ProgressDisplay, progress_display
from prolific_async.cli.stdin import input_pieces
from prolific_async.cli.wait_report import outcome_document
from prolific_async.client import ProlificClient
from prolific_async.dataset_models import Dataset, Upload
from prolific_async.errors import PartialImportError, ProlificError, WaitError
from prolific_async.job_models import AppendResult

__all__ = ["append", "upload"]

_STDIN = "-"


class Partial(StrEnum):
    """Values of ``--partial``: what to do if the service takes only some of the rows."""

    ACCEPT = "accept"


def upload(
    dataset_id: DatasetId,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A .csv, .zip (V3) or .jsonl (V4); - reads standard input.",
            show_default=False,
        ),
    ],
    *,
    filename: Annotated[
        str | None, text("--filename", "Its name for the service; needed for -.", metavar="NAME")
    ] = None,
    key: Annotated[
        str | None,
        text("--key", "Column that joins answers to rows later; unique.", metavar="COLUMN"),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the rows are imported.")] = False,
    timeout: Annotated[
        float | None,
        seconds("Seconds to wait; by default half an hour, or longer for many rows."),
    ] = None,
    partial: Annotated[
        Partial | None,
        typer.Option(
            "--partial",
            metavar="accept",
            help="With --wait: succeed although the service took only some of the rows.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Upload a file to a dataset, and print the dataset's id once it is stored.

    With --wait it is printed once the rows are imported. Rows that are
    rejected (V4) are named, and the exit code is 1; the other rows stay.

    With --json --wait the object has, beside the keys of the upload, outcome
    ("ready", "partial", "failed", "schema_needed", "timed_out" or "gave_up"),
    dataset if it is ready, job (null, or the import that failed) and error
    (null, or type and message).

    Examples:
      prolific-async dataset upload "$dataset" rows.csv --key sample_id --wait
      gunzip < rows.csv.gz |
        prolific-async dataset upload "$dataset" - --filename rows.csv
    """
    if file == _STDIN and filename is None:
        raise UsageError("- needs --filename, whose ending tells the format, such as rows.csv")
    if not wait and (partial is not None or timeout is not None):
        raise UsageError("--partial and --timeout need --wait")

    async def work() -> ExitCode:
        display = progress_display(as_json=as_json, reads_stdin=file == _STDIN)

        async def upload_and_wait() -> tuple[Upload, Dataset | WaitError | None]:
            stored = await _upload(client, dataset_id, file, filename, key, display)
            if not wait:
                return stored, None
            try:
                return stored, await stored.wait(
                    partial="raise" if partial is None else "accept",
                    timeout=... if timeout is None else timeout,
                    on_event=display.add_event,
                )
            except WaitError as error:
                return stored, error

        async with ProlificClient(base_url=url) as client:
            stored, outcome = await display.show_during(upload_and_wait())
        return _print_upload(stored, outcome, as_json=as_json)

    run_command(work())


def append(
    dataset_id: DatasetId,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="JSON lines, an object each; - reads standard input.",
            show_default=False,
        ),
    ],
    *,
    key: Annotated[
        str | None,
        text("--key", "Field that joins answers to records later; unique.", metavar="FIELD"),
    ] = None,
    timeout: Annotated[
        float | None,
        seconds("Seconds for everything; by default half an hour, or longer for many records."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Add records to a dataset with a schema (V4), and print how many were accepted.

    All lines of a file are checked before anything is sent, those of standard
    input as they come. Records that are there already are not stored twice, so
    the command may be run again. If the service rejects records, they are named
    and the exit code is 1. More tasks under an active study may mean more pay.

    Example:
      prolific-async dataset append "$dataset" new.jsonl
    """

    async def work() -> ExitCode:
        display = progress_display(as_json=as_json, reads_stdin=file == _STDIN)
        try:
            async with ProlificClient(base_url=url) as client:
                appending = _append(client, dataset_id, file, key, timeout, display)
                result = await display.show_during(appending)
        except (ProlificError, ValueError) as error:
            _print_appended_before(error)
            raise
        if as_json:
            print_json(result.to_dict())
        else:
            print_line("accepted", result.accepted)
            print_line("rejected", result.rejected)
        print_rejected(result.errors, result.rejected)
        return ExitCode.FAILED if result.rejected else ExitCode.OK

    run_command(work())


def _print_upload(
    stored: Upload, outcome: Dataset | WaitError | None, *, as_json: bool
) -> ExitCode:
    if as_json:
        dataset = {"dataset": outcome.to_dict()} if isinstance(outcome, Dataset) else {}
        print_json(stored.to_dict() | dataset | outcome_document(outcome))
    if isinstance(outcome, WaitError):
        print_error(outcome)
        if isinstance(outcome, PartialImportError):
            print_rejected(outcome.errors, outcome.rejected_count)
        return exit_code_of(outcome)
    if not as_json:
        print_line(stored.dataset_id)
    return ExitCode.OK


async def _upload(
    client: ProlificClient,
    dataset_id: str,
    file: str,
    filename: str | None,
    key: str | None,
    display: ProgressDisplay,
) -> Upload:
    source = input_pieces() if file == _STDIN else Path(file)
    try:
        return await client.datasets.upload(
            dataset_id, source, filename=filename, key=key, on_progress=display.add_progress
        )
    except OSError as error:
        if isinstance(error, ProlificError):
            raise
        # An error of the file, or of the temporary file to which some sources are copied.
        reason = error.strerror or error
        raise ValueError(f"'{printable(file)}' cannot be sent ({reason})") from None


async def _append(
    client: ProlificClient,
    dataset_id: str,
    file: str,
    key: str | None,
    timeout: float | None,
    display: ProgressDisplay,
) -> AppendResult:
    records = input_records() if file == _STDIN else FileRecords(file)
    if isinstance(records, FileRecords):
        await records.check()
    result = await client.datasets.append(
        dataset_id,
        records,
        key=key,
        timeout=... if timeout is None else timeout,
        on_progress=display.add_progress,
    )
    if not result.accepted and not result.rejected:
        raise ValueError("no records came from standard input, so there was nothing to append")
    return result


def _print_appended_before(error: Exception) -> None:
    before: AppendResult | None = getattr(error, "result", None)
    if before is not None and (before.accepted or before.rejected):
        print_error(
            f"before the error: {before.accepted} records accepted, {before.rejected} rejected"
        )
