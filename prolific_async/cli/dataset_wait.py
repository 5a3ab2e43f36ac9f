"""``prolific-async dataset wait``."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from attrs import frozen

from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import ExitCode
from prolific_async.cli.options import AsJson, DatasetIdsOrStdin, Url
from prolific_async.cli.options import timeout as seconds
from prolific_async.cli.stdin import with_stdin
from prolific_async.cli.wait_display import WaitDisplay
from prolific_async.cli.wait_report import WaitReport, wait_display
from prolific_async.client import ProlificClient
from prolific_async.dataset_models import Dataset
from prolific_async.datasets import Datasets
from prolific_async.errors import WaitError, WaitFailedError

__all__ = ["wait"]

_STDIN = "-"
_MAX_WAITS = 10_000  # waits at the same time; standard input may have no end


def wait(
    dataset_ids: DatasetIdsOrStdin,
    *,
    timeout: Annotated[
        float | None,
        seconds(
            "Seconds for each dataset, by default half an hour; 0 is one poll, inf has no end."
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Wait until the rows of all datasets are imported; a failed dataset ends no other wait.

    A dataset without a schema (V3) is awaited until it is READY, one with a
    schema (V4) until none of its imports runs and it has rows. 'upload --wait'
    tells whether all rows of a file were accepted.

    A terminal gets a live table. A pipe gets a line when a status changes:
    seconds, id and status, parted by tabs.

    With --json there is one object a line. For each poll: kind ("poll"),
    dataset_id, status, previous, polls, elapsed and next_in (in seconds), error
    (null, or type and message). For each end: kind ("end"), dataset_id, outcome
    ("ready", "failed", "nothing_uploaded", "timed_out" or "gave_up"), status,
    polls, elapsed, dataset (null, or all of it) and error.

    On standard input the first word of each line is an id.

    Examples:
      prolific-async dataset wait "$dataset" --timeout 600 && echo ready
      prolific-async dataset wait - --json < ids.txt > polls.jsonl
    """

    async def work() -> ExitCode:
        given = list(dict.fromkeys(dataset_ids))
        if reads_stdin := _STDIN in given:
            given.remove(_STDIN)
        display = wait_display(given, "dataset", as_json=as_json, reads_stdin=reads_stdin)
        report = WaitReport(display)
        async with ProlificClient(base_url=url) as client:
            waits = _Waits(client.datasets, timeout, display, report)
            ids = with_stdin(given, reads_stdin=reads_stdin)
            await display.show_during(waits.run(ids))
        return report.finish()

    run_command(work())


@frozen
class _Waits:
    """The waits of one command.

    Args:
        datasets: The client's ``datasets``.
        timeout: Seconds for each wait, None for the default.
        display: Shows the polls.
        report: Reports the outcomes.

    """

    _datasets: Datasets
    _timeout: float | None
    _display: WaitDisplay
    _report: WaitReport

    async def run(self, ids: AsyncGenerator[str]) -> None:
        """Wait for all datasets, beginning each wait as soon as the id arrives."""
        room = asyncio.Semaphore(_MAX_WAITS)
        try:
            async with aclosing(ids), asyncio.TaskGroup() as waits:
                async for dataset_id in ids:
                    await room.acquire()
                    one = waits.create_task(self._report_on(dataset_id))
                    one.add_done_callback(lambda _: room.release())
        except BaseExceptionGroup as errors:  # has a single error, such as an unreadable input
            raise errors.exceptions[0] from None

    async def _report_on(self, dataset_id: str) -> None:
        self._report.add(dataset_id, await self._outcome(dataset_id))

    async def _outcome(self, dataset_id: str) -> Dataset | WaitError:
        try:
            return await self._datasets.wait_until_ready(
                dataset_id,
                timeout=... if self._timeout is None else self._timeout,
                on_event=self._display.add_event,
            )
        except WaitError as error:
            return error
        except ValueError as error:  # an invalid id
            return WaitFailedError(dataset_id, None, 0.0, 0, (), error, kind="dataset")
