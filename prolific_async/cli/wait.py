"""``prolific-async batch wait``."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import ExitCode
from prolific_async.cli.options import AsJson, BatchIdsOrStdin, Url
from prolific_async.cli.options import timeout as seconds
from prolific_async.cli.stdin import with_stdin
from prolific_async.cli.wait_report import WaitReport, wait_display
from prolific_async.client import ProlificClient
from prolific_async.errors import WaitError
from prolific_async.models import Batch

__all__ = ["wait"]

_STDIN = "-"


def wait(
    batch_ids: BatchIdsOrStdin,
    *,
    timeout: Annotated[
        float,
        seconds("Seconds for each batch; 0 is one poll, inf has no end.", shows_default=True),
    ] = 1800,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Wait until all batches are READY; a failed batch ends no other wait.

    A terminal gets a live table. A pipe gets a line when a status changes:
    seconds, id and status, parted by tabs.

    With --json there is one object a line. For each poll: kind ("poll"),
    batch_id, status, previous, polls, elapsed and next_in (in seconds), error
    (null, or type and message). For each end: kind ("end"), batch_id, outcome
    ("ready", "failed", "not_set_up", "timed_out" or "gave_up"), status, polls,
    elapsed, batch (null, or all of it) and error.

    On standard input the first word of each line is an id. There may be any
    number of lines, and they may come slowly: at most 10,000 of them wait at
    once. A line without a valid id is reported and skipped; the exit code is 2
    then, and also when no line came.

    Examples:
      prolific-async batch wait "$copy" --timeout 600 && echo ready
      prolific-async batch list "$WORKSPACE_ID" | prolific-async batch wait -
      prolific-async batch wait - --json < ids.txt > polls.jsonl
    """

    async def work() -> ExitCode:
        given = list(dict.fromkeys(batch_ids))
        if reads_stdin := _STDIN in given:
            given.remove(_STDIN)
        display = wait_display(given, "batch", as_json=as_json, reads_stdin=reads_stdin)
        report = WaitReport(display)
        async with ProlificClient(base_url=url) as client:
            outcomes = client.batches.as_ready(
                with_stdin(given, reads_stdin=True) if reads_stdin else given,
                timeout=timeout,
                on_event=display.add_event,
            )
            await display.show_during(_collect(outcomes, report))
        return report.finish()

    run_command(work())


async def _collect(outcomes: AsyncGenerator[Batch | WaitError], report: WaitReport) -> None:
    async with aclosing(outcomes):
        async for outcome in outcomes:
            report.add(outcome.id, outcome)
