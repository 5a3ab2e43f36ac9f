"""``prolific-async batch wait``."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Annotated

from attrs import define, field

from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import ExitCode, exit_code_of, worst_exit_code
from prolific_async.cli.options import AsJson, BatchIdsOrStdin, Url
from prolific_async.cli.options import timeout as seconds
from prolific_async.cli.output import is_terminal, print_error
from prolific_async.cli.stdin import first_words, is_typed
from prolific_async.cli.table_display import TableDisplay
from prolific_async.cli.text_display import JsonDisplay, TextDisplay
from prolific_async.cli.wait_display import WaitDisplay
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
    """Wait until all batches are READY, whatever becomes of the others.

    A terminal gets a live table. A pipe gets a line when a status changes:
    seconds, id and status, parted by tabs.

    With --json there is one object a line. For each poll: kind ("poll"),
    batch_id, status, previous, polls, elapsed and next_in (in seconds), error
    (null, or type and message). For each end: kind ("end"), batch_id, outcome
    ("ready", "failed", "not_set_up", "timed_out" or "gave_up"), status, polls,
    elapsed, batch (null, or all of it) and error.

    Of standard input the first word of each line is an id. The lines may come
    slowly, and be any number: at most 10,000 of them wait at once. A line that
    holds no id is told and passed over; the exit code is 2 then, and also when
    no line came.

    Examples:
      prolific-async batch wait "$copy" --timeout 600 && echo ready
      prolific-async batch list "$WORKSPACE_ID" | prolific-async batch wait -
      prolific-async batch wait - --json < ids.txt > polls.jsonl
    """

    async def work() -> ExitCode:
        given = list(dict.fromkeys(batch_ids))
        if reads_stdin := _STDIN in given:
            given.remove(_STDIN)
        display = _display(given, as_json=as_json, reads_stdin=reads_stdin)
        report = _Report(display)
        async with ProlificClient(base_url=url) as client:
            outcomes = client.batches.as_ready(
                _with_stdin(given) if reads_stdin else given,
                timeout=timeout,
                on_event=display.add_event,
            )
            await display.show_during(report.collect(outcomes))
        return report.finish()

    run_command(work())


@define(eq=False)
class _Report:
    """Reports the outcomes of any number of waits, and keeps little of each."""

    _display: WaitDisplay
    _errors: dict[ExitCode, WaitError] = field(factory=dict, init=False)
    _deferred: list[str] = field(factory=list, init=False)
    _is_empty: bool = field(default=True, init=False)

    async def collect(self, outcomes: AsyncGenerator[Batch | WaitError]) -> None:
        """Show each outcome; errors are printed at once, or by ``finish`` if a table is shown."""
        async with aclosing(outcomes):
            async for outcome in outcomes:
                self._is_empty = False
                if isinstance(outcome, WaitError):
                    self._display.add_end(outcome.id, outcome)
                    self._add_error(outcome)
                else:
                    self._display.add_end(outcome.id, outcome)

    def finish(self) -> ExitCode:
        """Print the deferred errors, and return the exit code."""
        for message in self._deferred:
            print_error(message)
        if self._is_empty:
            print_error("no ids came from standard input, so there was nothing to wait for")
            return ExitCode.USAGE
        return worst_exit_code(self._errors.values())

    def _add_error(self, error: WaitError) -> None:
        self._errors.setdefault(exit_code_of(error), error)
        if isinstance(self._display, TableDisplay):
            self._deferred.append(str(error))
        else:
            print_error(error)


async def _with_stdin(given: Iterable[str]) -> AsyncGenerator[str]:
    for batch_id in given:
        yield batch_id
    async with aclosing(first_words()) as words:
        async for word in words:
            yield word


def _display(batch_ids: Iterable[str], *, as_json: bool, reads_stdin: bool) -> WaitDisplay:
    if as_json:
        return JsonDisplay()
    # Ids that are typed at a terminal would be echoed into a table.
    if not is_terminal() or (reads_stdin and is_typed()):
        return TextDisplay()
    return TableDisplay({each: each for each in batch_ids}, keeps_ready=not reads_stdin)
