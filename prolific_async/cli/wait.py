"""``prolific-async batch wait``."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Annotated

import typer

from prolific_async.cli import exits
from prolific_async.cli.board import Board
from prolific_async.cli.connect import connect
from prolific_async.cli.exits import ExitCode
from prolific_async.cli.lines import JsonLines, Lines
from prolific_async.cli.live import LiveTable
from prolific_async.cli.options import AsJson, BatchIdsOrStdin, Url, number
from prolific_async.cli.output import complain, is_terminal
from prolific_async.cli.stdin import first_words, is_typed
from prolific_async.errors import WaitError
from prolific_async.models import Batch

__all__ = ["wait"]

_STDIN = "-"


def wait(
    batch_ids: BatchIdsOrStdin,
    *,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            parser=number(float, 0, words="a number of seconds from 0 on, or inf"),
            metavar="SECONDS",
            help="Seconds for each batch; 0 is one poll, inf has no end.",
        ),
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
        board = _board(given, as_json=as_json, reads_stdin=reads_stdin)
        ends = _Ends(board)
        async with connect(url) as client:
            outcomes = client.batches.as_ready(
                _with_stdin(given) if reads_stdin else given, timeout=timeout, on_event=board.saw
            )
            await board.during(ends.follow(outcomes))
        return ends.tell()

    exits.run(work())


class _Ends:
    """Follows waits to their ends, and keeps of them only what is told at the end."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._errors: dict[ExitCode, WaitError] = {}
        self._sentences: list[str] = []
        self._is_empty = True

    async def follow(self, outcomes: AsyncGenerator[Batch | WaitError]) -> None:
        async with aclosing(outcomes):
            async for outcome in outcomes:
                self._is_empty = False
                if isinstance(outcome, WaitError):
                    self._board.ended(outcome.batch_id, outcome)
                    self._complain(outcome)
                else:
                    self._board.ended(outcome.id, outcome)

    def tell(self) -> ExitCode:
        for sentence in self._sentences:
            complain(sentence)
        if self._is_empty:
            complain("no ids came from standard input, so there was nothing to wait for")
            return ExitCode.USAGE
        return exits.worst(self._errors.values())

    def _complain(self, error: WaitError) -> None:
        self._errors.setdefault(exits.code_of(error), error)
        if isinstance(self._board, LiveTable):
            self._sentences.append(str(error))
        else:
            complain(str(error))


async def _with_stdin(given: Iterable[str]) -> AsyncGenerator[str]:
    for batch_id in given:
        yield batch_id
    async with aclosing(first_words()) as words:
        async for word in words:
            yield word


def _board(batch_ids: Iterable[str], *, as_json: bool, reads_stdin: bool) -> Board:
    if as_json:
        return JsonLines()
    # What is typed would be written into a table.
    if not is_terminal() or (reads_stdin and is_typed()):
        return Lines()
    return LiveTable({each: each for each in batch_ids}, keeps_ready=not reads_stdin)
