"""``prolific-async batch wait``."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

import typer

from prolific_async.batches import Batches
from prolific_async.cli import exits
from prolific_async.cli.board import Board
from prolific_async.cli.exits import ExitCode
from prolific_async.cli.lines import JsonLines, Lines
from prolific_async.cli.live import LiveTable
from prolific_async.cli.options import AsJson, BatchIds, Url
from prolific_async.cli.output import complain, is_terminal
from prolific_async.client import ProlificClient
from prolific_async.errors import WaitError
from prolific_async.models import Batch

__all__ = ["wait"]


def wait(
    batch_ids: BatchIds,
    *,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            min=0,
            metavar="SECONDS",
            help="For each batch; 0 is one look, inf has no end.",
        ),
    ] = 1800.0,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Wait until all batches are READY, whatever becomes of the others.

    On a pipe it writes a line when a status changes; with --json one for
    each look ("kind": "look") and one for each end ("kind": "end").

    Example: prolific-async batch wait "$copy" --timeout 600 && echo ready
    """

    async def work() -> ExitCode:
        board = _board(batch_ids, as_json=as_json)

        async def end_of(batches: Batches, batch_id: str) -> Batch | WaitError:
            try:
                end: Batch | WaitError = await batches.wait_until_ready(
                    batch_id, timeout=timeout, on_event=board.saw
                )
            except WaitError as error:
                end = error
            board.ended(batch_id, end)
            return end

        async with ProlificClient(base_url=url) as client:
            ends = await board.during(
                asyncio.gather(*(end_of(client.batches, each) for each in dict.fromkeys(batch_ids)))
            )
        errors = [end for end in ends if isinstance(end, WaitError)]
        for error in errors:
            complain(error)
        return exits.worst(errors)

    exits.run(work())


def _board(batch_ids: Iterable[str], *, as_json: bool) -> Board:
    if as_json:
        return JsonLines()
    names = {batch_id: batch_id for batch_id in batch_ids}
    return LiveTable(names) if is_terminal() else Lines(names)
