"""Exit codes of the commands, and the errors that they stand for."""

from collections.abc import Iterable
from enum import IntEnum

from prolific_async.errors import (
    BatchFailedError,
    BatchNotSetUpError,
    ConfigurationError,
    JobFailedError,
    NothingUploadedError,
    ProlificError,
    SchemaNeededError,
    WaitFailedError,
    WaitTimeoutError,
)

__all__ = ["EXIT_CODES_HELP", "ExitCode", "exit_code_of", "worst_exit_code"]


class ExitCode(IntEnum):
    """An exit code of the process."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 3
    SERVICE = 4
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


EXIT_CODES_HELP = (
    "Exit codes: 0 ready or done; 1 the work failed or was never begun, or rows were rejected;"
    " 2 wrong usage; 3 timed out; 4 the service refused the call, or the service or the network"
    " failed. If there are several, the worst one counts: 2 before 1 before 4 before 3."
)

_WORST_FIRST = (
    ExitCode.USAGE,
    ExitCode.FAILED,
    ExitCode.SERVICE,
    ExitCode.TIMED_OUT,
    ExitCode.OK,
)


def exit_code_of(error: Exception) -> ExitCode:
    """Return the exit code that an error stands for."""
    match error:
        case BatchFailedError() | BatchNotSetUpError() | JobFailedError():
            return ExitCode.FAILED
        case NothingUploadedError() | SchemaNeededError():
            return ExitCode.FAILED
        case WaitFailedError(failure=ValueError()):  # an invalid id
            return ExitCode.USAGE
        case WaitTimeoutError():
            return ExitCode.TIMED_OUT
        case ProlificError() if not isinstance(error, ConfigurationError):
            return ExitCode.SERVICE
        case _:
            return ExitCode.USAGE


def worst_exit_code(errors: Iterable[Exception]) -> ExitCode:
    """Return the exit code of the worst of some errors, OK without any."""
    return min(map(exit_code_of, errors), key=_WORST_FIRST.index, default=ExitCode.OK)
