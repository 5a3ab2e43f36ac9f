"""Exit codes of errors, and names of outcomes."""

import pytest

from prolific_async import errors
from prolific_async.cli.exit_codes import ExitCode, exit_code_of, worst_exit_code
from prolific_async.cli.wait_display import outcome_name
from tests import samples

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
        (errors.NothingUploadedError(*WAIT), 1),
        (errors.SchemaNeededError(*WAIT), 1),
        (errors.PartialImportError(*WAIT), 1),
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
    assert exit_code_of(error) == code


def test_every_outcome_has_its_name() -> None:
    assert outcome_name(FAILED) == "failed"
    assert outcome_name(errors.BatchNotSetUpError(*WAIT)) == "not_set_up"
    assert outcome_name(TIMED_OUT) == "timed_out"
    assert outcome_name(errors.WaitFailedError(*WAIT)) == "gave_up"
    assert outcome_name(errors.JobFailedError(*WAIT)) == "failed"
    assert outcome_name(errors.PartialImportError(*WAIT)) == "partial"
    assert outcome_name(errors.NothingUploadedError(*WAIT)) == "nothing_uploaded"
    assert outcome_name(errors.SchemaNeededError(*WAIT)) == "schema_needed"
    assert outcome_name(samples.dataset()) == "ready"


def test_the_worst_error_decides() -> None:
    assert worst_exit_code([]) is ExitCode.OK
    assert worst_exit_code([TIMED_OUT]) is ExitCode.TIMED_OUT
    assert worst_exit_code([TIMED_OUT, LOST, TIMED_OUT]) is ExitCode.SERVICE
    assert worst_exit_code([TIMED_OUT, LOST, FAILED]) is ExitCode.FAILED
    assert worst_exit_code([TIMED_OUT, NO_ID, LOST, FAILED]) is ExitCode.USAGE
