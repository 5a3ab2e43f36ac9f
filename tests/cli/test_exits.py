"""The table of exit codes."""

import pytest

from prolific_async import errors
from prolific_async.cli.board import ending
from prolific_async.cli.exits import ExitCode, code_of, worst

WAIT = ("some-id", None, 1.0, 1, ())
HEADERS: dict[str, str] = {}
REFUSED = (418, "GET", "/x", None, None, None, None, None, HEADERS)
FAILED = errors.BatchFailedError(*WAIT)
TIMED_OUT = errors.WaitTimeoutError(*WAIT)
LOST = errors.ConnectionLostError("GET", "/x", "reset")
NO_ID = errors.WaitFailedError(*WAIT)
NO_ID.failure = ValueError("no id")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FAILED, 1),
        (errors.BatchNotSetUpError(*WAIT), 1),
        (errors.ConfigurationError("no token"), 2),
        (ValueError("no id"), 2),
        (TIMED_OUT, 3),
        (LOST, 4),
        (errors.RequestTimeoutError("GET", "/x", "late"), 4),
        (errors.APIStatusError(*REFUSED), 4),
        (errors.NotFoundError(*REFUSED), 4),
        (errors.DecodeError((), None), 4),
        (errors.OutcomeUnknownError("POST", "/x"), 4),
        (errors.WaitFailedError(*WAIT), 4),
        (NO_ID, 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_its_code(error: Exception, code: int) -> None:
    assert code_of(error) == code


def test_every_end_has_its_word() -> None:
    assert ending(FAILED) == "failed"
    assert ending(errors.BatchNotSetUpError(*WAIT)) == "not_set_up"
    assert ending(TIMED_OUT) == "timed_out"
    assert ending(errors.WaitFailedError(*WAIT)) == "gave_up"


def test_of_many_the_worst_decides() -> None:
    assert worst([]) is ExitCode.OK
    assert worst([TIMED_OUT]) is ExitCode.TIMED_OUT
    assert worst([TIMED_OUT, LOST, TIMED_OUT]) is ExitCode.SERVICE
    assert worst([TIMED_OUT, LOST, FAILED]) is ExitCode.FAILED
    assert worst([TIMED_OUT, NO_ID, LOST, FAILED]) is ExitCode.USAGE
