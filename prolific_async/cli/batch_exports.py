"""``prolific-async batch export`` and ``exports``."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import typer

from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import ExitCode, exit_code_of
from prolific_async.cli.help_pages import UsageError
from prolific_async.cli.options import AsJson, BatchId, Output, Overwrite, Url, text
from prolific_async.cli.options import timeout as seconds
from prolific_async.cli.output import print_error, print_json, print_line
from prolific_async.cli.progress_display import ProgressDisplay, progress_display
from prolific_async.cli.record_output import file_errors
from prolific_async.cli.wait_report import outcome_document
from prolific_async.client import ProlificClient
from prolific_async.errors import WaitError
from prolific_async.export_models import Export
from prolific_async.extensions import PartFile

__all__ = ["export", "exports"]


def _parsed_time(given: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(
            f"'{given}' is not a time with an offset, such as 2026-05-04T00:00:00Z"
        )
    return moment


def _time_option(name: str, description: str) -> Any:
    return typer.Option(
        name, parser=_parsed_time, metavar="TIME", help=description, show_default=False
    )


def export(
    batch_id: BatchId,
    *,
    output: Output = None,
    overwrite: Overwrite = False,
    export_id: Annotated[
        str | None, text("--id", "Id of an export started before; see 'exports'.", metavar="ID")
    ] = None,
    study: Annotated[str | None, text("--study", "Only answers of a study.", metavar="ID")] = None,
    since: Annotated[Any, _time_option("--since", "Only answers from this time on.")] = None,
    until: Annotated[Any, _time_option("--until", "Only answers up to this time.")] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the export once it is saved.")
    ] = False,
    timeout: Annotated[
        float | None, seconds("Seconds to wait for the archive; by default half an hour.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Export the answers to an archive (ZIP), and save it or print the export's id.

    With --output it waits for the archive, and prints the path of the file.
    Without, it prints the export's id; 'export --id' saves it later. A batch
    has at most ten exports. A TIME has an offset, as in 2026-05-04T00:00:00Z.

    With --json --output the object has, beside those of the export, the keys
    path if it is saved, outcome ("ready", "failed", "timed_out" or "gave_up"),
    job (null, or the export that failed) and error (null, or type and message).

    Example:
      prolific-async batch export "$batch" --output answers.zip --delete
    """
    needs = {"--overwrite": overwrite, "--delete": delete, "--timeout": timeout is not None}
    _check_needs_output(output, [name for name, is_given in needs.items() if is_given])
    if export_id is not None and (output is None or study or since or until):
        raise UsageError("--id needs --output, and no --study, --since or --until")

    async def work() -> ExitCode:
        display = progress_display(as_json=as_json)

        async def begin_and_save() -> tuple[Export, Export | WaitError | None]:
            if output is not None:  # checked before an export is begun: a batch has at most ten
                with file_errors(output):
                    await asyncio.to_thread(PartFile(output, overwrite=overwrite).check)
            if export_id is None:
                job = await client.batches.export(
                    batch_id, study_id=study, since=since, until=until
                )
            else:
                job = await _find(client, batch_id, export_id)
            if output is None:
                return job, None
            try:
                ready = await job.wait(
                    timeout=... if timeout is None else timeout, on_event=display.add_event
                )
            except WaitError as error:
                return job, error
            await _save(ready, output, overwrite=overwrite, display=display)
            if delete:
                await ready.delete()
            return ready, ready

        async with ProlificClient(base_url=url) as client:
            job, outcome = await display.show_during(begin_and_save())
        return _print_export(job, outcome, output, as_json=as_json)

    run_command(work())


def exports(
    batch_id: BatchId,
    *,
    delete: Annotated[
        list[str] | None,
        typer.Option(
            "--delete",
            metavar="ID",
            help="First delete this export; may be given more than once.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List a batch's exports: id, status, time of the request, and filter.

    Example:
      prolific-async batch exports "$batch" --delete "$export"
    """

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            for export_id in delete or ():
                await (await _find(client, batch_id, export_id)).delete()
            found = await client.batches.exports(batch_id)
        if as_json:
            print_json([one.to_dict() for one in found])
            return ExitCode.OK
        for one in found:
            print_line(one.id, one.status, _shown(one.created_at), *_filter(one))
        return ExitCode.OK

    run_command(work())


def _check_needs_output(output: str | None, given: list[str]) -> None:
    if output is None and given:
        raise UsageError(f"{' and '.join(given)} cannot be given without --output")


async def _find(client: ProlificClient, batch_id: str, export_id: str) -> Export:
    for one in await client.batches.exports(batch_id):
        if one.id == export_id:
            return one
    raise ValueError(f"the batch has no export '{export_id}'; 'batch exports' lists them")


async def _save(ready: Export, path: str, *, overwrite: bool, display: ProgressDisplay) -> None:
    with file_errors(path):
        await ready.download(path, overwrite=overwrite, on_progress=display.add_progress)


def _print_export(
    job: Export, outcome: Export | WaitError | None, path: str | None, *, as_json: bool
) -> ExitCode:
    error = outcome if isinstance(outcome, WaitError) else None
    if as_json:
        saved = {} if path is None or error is not None else {"path": path}
        print_json(job.to_dict() | saved | outcome_document(outcome))
    if error is not None:
        print_error(error)
        return exit_code_of(error)
    if not as_json:
        print_line(job.id if path is None else path)
    return ExitCode.OK


def _shown(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _filter(job: Export) -> list[str]:
    given = {"study": job.study_id, "since": job.since, "until": job.until}
    return [
        f"{name} {_shown(one) if isinstance(one, datetime) else one}"
        for name, one in given.items()
        if one is not None
    ]
