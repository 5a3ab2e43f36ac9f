"""Outcomes of any number of waits: the errors to print, and the exit code."""

from collections.abc import Iterable

from attrs import define, field

from prolific_async.cli.exit_codes import ExitCode, exit_code_of, worst_exit_code
from prolific_async.cli.output import error_document, is_terminal, print_error
from prolific_async.cli.stdin import is_typed
from prolific_async.cli.table_display import TableDisplay
from prolific_async.cli.text_display import JsonDisplay, TextDisplay
from prolific_async.cli.wait_display import WaitDisplay, outcome_name
from prolific_async.dataset_models import Dataset
from prolific_async.errors import WaitError
from prolific_async.models import Batch

__all__ = ["WaitReport", "outcome_document", "wait_display"]


@define(eq=False)
class WaitReport:
    """Shows the outcomes of any number of waits and finds the exit code; does not keep results."""

    _display: WaitDisplay
    _errors: dict[ExitCode, WaitError] = field(factory=dict, init=False)
    _is_empty: bool = field(default=True, init=False)

    def add(self, awaited_id: str, outcome: Batch | Dataset | WaitError) -> None:
        """Show an outcome, and print it if it is an error."""
        self._is_empty = False
        self._display.add_end(awaited_id, outcome)
        if isinstance(outcome, WaitError):
            self._errors.setdefault(exit_code_of(outcome), outcome)
            print_error(outcome)

    def finish(self) -> ExitCode:
        """Return the exit code, and print an error if there was no wait."""
        if self._is_empty:
            print_error("no ids came from standard input, so there was nothing to wait for")
            return ExitCode.USAGE
        return worst_exit_code(self._errors.values())


def outcome_document(outcome: object) -> dict[str, object]:
    """Return the JSON of a wait's result or error; empty for None, if there was no wait."""
    if outcome is None:
        return {}
    error = outcome if isinstance(outcome, WaitError) else None
    job = getattr(error, "job", None)
    return {
        "outcome": outcome_name(outcome),
        "job": None if job is None else job.to_dict(),
        "error": error_document(error),
    }


def wait_display(ids: Iterable[str], kind: str, *, as_json: bool, reads_stdin: bool) -> WaitDisplay:
    """Return the display that suits stdout: a table, lines of text, or lines of JSON.

    Args:
        ids: Ids that are known from the start.
        kind: "batch" or "dataset".
        as_json: Whether lines of JSON were asked for.
        reads_stdin: Whether more ids come from standard input.

    """
    if as_json:
        return JsonDisplay(kind)
    # Ids that are typed at a terminal would be echoed into a table.
    if not is_terminal() or (reads_stdin and is_typed()):
        return TextDisplay()
    return TableDisplay({each: each for each in ids}, heading=kind, keeps_ready=not reads_stdin)
