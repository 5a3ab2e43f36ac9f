"""Exit codes: the one place where errors become one."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Iterable
from enum import IntEnum
from typing import Any, NoReturn

import typer

from prolific_async.cli.output import complain
from prolific_async.errors import (
    BatchFailedError,
    BatchNotSetUpError,
    ConfigurationError,
    ProlificError,
    WaitFailedError,
    WaitTimeoutError,
)

__all__ = ["HELP", "ExitCode", "code_of", "lose_output", "run", "worst"]


class ExitCode(IntEnum):
    """What the process tells its caller."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 3
    SERVICE = 4
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


HELP = (
    "Exit codes: 0 ready or done; 1 the batch failed or was never set up; 2 wrong usage;"
    " 3 timed out; 4 the service refused, or it or the network failed."
    " Of several batches the worst one decides: 2 before 1 before 4 before 3."
)

_WORST_FIRST = (
    ExitCode.USAGE,
    ExitCode.FAILED,
    ExitCode.SERVICE,
    ExitCode.TIMED_OUT,
    ExitCode.OK,
)


def code_of(error: Exception) -> ExitCode:
    """Return the exit code that an error stands for."""
    match error:
        case BatchFailedError() | BatchNotSetUpError():
            return ExitCode.FAILED
        case WaitFailedError(failure=ValueError()):  # for what can be no id
            return ExitCode.USAGE
        case WaitTimeoutError():
            return ExitCode.TIMED_OUT
        case ProlificError() if not isinstance(error, ConfigurationError):
            return ExitCode.SERVICE
        case _:
            return ExitCode.USAGE


def worst(errors: Iterable[Exception]) -> ExitCode:
    """Return the exit code of several batches: that of the worst error, OK without any."""
    return min((code_of(error) for error in errors), key=_WORST_FIRST.index, default=ExitCode.OK)


def run(work: Coroutine[Any, Any, ExitCode]) -> NoReturn:
    """Run a command's work and leave with its exit code, an error told in one sentence."""
    raise typer.Exit(_run(work))


def _run(work: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    try:
        code = asyncio.run(_until_terminated(work))
        typer.echo(nl=False)  # flushes, so that a broken pipe is met here and not at exit
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except asyncio.CancelledError:
        return ExitCode.TERMINATED
    except (ProlificError, ValueError) as error:
        complain(error)
        return code_of(error)
    except OSError as error:
        # Only our own output is left to break: the reader is gone, or the disk is full.
        return lose_output(error)
    return code


def lose_output(error: OSError) -> ExitCode:
    """Tell that the output cannot be written, quietly if its reader is gone."""
    _discard_output()
    if isinstance(error, BrokenPipeError):
        return ExitCode.CLOSED_PIPE
    complain(f"the output cannot be written ({error.strerror or error})")
    return ExitCode.USAGE


async def _until_terminated(work: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    """Let SIGTERM end the work in order, so that a table gives the terminal its cursor back."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker
    loop = asyncio.get_running_loop()
    with contextlib.suppress(RuntimeError):  # on Windows, which has none, and in a thread
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await work
    finally:
        with contextlib.suppress(RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)  # not every loop does so at its end


def _discard_output() -> None:
    """Let the interpreter's own flush at its end succeed."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
