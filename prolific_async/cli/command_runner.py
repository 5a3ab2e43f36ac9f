"""Runs a command's coroutine, and turns errors and signals into an exit code."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

import typer

from prolific_async.cli.exit_codes import ExitCode, exit_code_of
from prolific_async.cli.output import print_error
from prolific_async.errors import ProlificError

__all__ = ["handle_output_error", "run_command"]


def run_command(work: Coroutine[Any, Any, ExitCode]) -> NoReturn:
    """Run a command's work and exit with its code; an error is printed as one sentence."""
    raise typer.Exit(_run(work))


def handle_output_error(error: OSError) -> ExitCode:
    """Print that the output cannot be written, unless its reader is gone; return the exit code."""
    _discard_output()
    if isinstance(error, BrokenPipeError):
        return ExitCode.CLOSED_PIPE
    print_error(f"the output cannot be written ({error.strerror or error})")
    return ExitCode.USAGE


def _run(work: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    try:
        code = asyncio.run(_cancel_on_sigterm(work))
        typer.echo(nl=False)  # flushes, so that a broken pipe shows here and not at exit
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except asyncio.CancelledError:
        return ExitCode.TERMINATED
    except (ProlificError, ValueError) as error:
        print_error(error)
        return exit_code_of(error)
    except OSError as error:
        # The client raises no plain OSError, so this is an error of the output.
        return handle_output_error(error)
    return code


async def _cancel_on_sigterm(work: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    """Run a command's work; SIGTERM cancels it, so that a table restores the terminal's cursor."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker
    loop = asyncio.get_running_loop()
    with contextlib.suppress(RuntimeError):  # not on Windows, and only in the main thread
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await work
    finally:
        with contextlib.suppress(RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)  # not every loop does so when it closes


def _discard_output() -> None:
    """Redirect stdout to the null device, so that the interpreter's flush at exit succeeds."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
