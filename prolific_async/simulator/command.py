"""The `simulate` command, which runs the simulator for clients in any language.

With the extra `[cli]` it is a typer command, `prolific_async.cli.simulate`; without it argparse
parses the arguments. Both use the same `OPTIONS`.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, MappingProxyType
from typing import Any

import attrs

from prolific_async.simulator.setup_durations import (
    AfterPolls,
    AfterSeconds,
    Ending,
    Immediately,
    RowsPerSecond,
)
from prolific_async.simulator.simulator import Simulator

__all__ = ["DESCRIPTION", "OPTIONS", "Option", "main", "serve"]

DESCRIPTION = """\
Serve a simulated Prolific on this machine, for clients in any language.

It runs until interrupted. As soon as it answers requests it prints
PROLIFIC_URL, PROLIFIC_TOKEN, WORKSPACE_ID, BATCH_ID and STORAGE_URL, a line
each; the batch is READY. Presigned URLs, for uploads and downloads, lead to
STORAGE_URL, on a port of its own.

Endpoints of its own, which are no part of Prolific's API, let a test script
what goes wrong. They need the token, take JSON, and meet no faults themselves.

Endpoints:
  POST   /_simulator/faults                           make requests go wrong
  DELETE /_simulator/faults                           remove faults not yet met
  GET    /_simulator/requests                         list the newest 1,000 requests
  POST   /_simulator/batches                          add a batch
  POST   /_simulator/batches/{id}/fail                make a batch end in ERROR
  POST   /_simulator/batches/{id}/answers             let participants answer
  POST   /_simulator/batches/{id}/exports/fail        make its exports fail
  POST   /_simulator/exports/{id}                     set the status of an export
  POST   /_simulator/datasets                         add a dataset
  POST   /_simulator/datasets/{id}/fail               make its imports fail
  POST   /_simulator/imports/{id}                     set the status of an import
  POST   /_simulator/urls/expire                      expire all presigned URLs

A fault has a method, a route (the end of the path), times (1; null: always),
and what goes wrong: status, body, headers, delay (seconds), reset ("before" or
"after" the request is applied), cut (bytes), drip (seconds between bytes),
applied (true: the request runs, although its response is scripted),
cut_request (bytes of the request after which its connection is reset).

A batch may have a name, batch_id, workspace_id, status, datapoints,
instructions, tasks_per_group, dataset_status, dataset_id, batch_items and
auto_sync_enabled. A dataset may have a name, workspace_id, datapoints, filename,
status (version 3) and schema (version 4). The response has the id. Imports fail
with a reason; one that is set has a status and further keys of its document.
Answers may have participants (their number), an answer for all tasks, study_id
and at (a time with its zone). The response has the participants' ids.

Examples:
  prolific-async simulate --port 0 --setup polls:3
  curl "$PROLIFIC_URL/_simulator/faults" \\
    -H "Authorization: Token $PROLIFIC_TOKEN" \\
    -d '{"method": "POST", "route": "/setup", "status": 503}'"""

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_HIGHEST_PORT = 65535
_LOG_SIZE = 1000  # the command may run for weeks


@attrs.frozen
class Option:
    """An option of the command.

    Args:
        metavar: Name of its value in the help.
        help: Its effect.
        parse: Parses its value. Raises ValueError with the reason if that is invalid.
        default: Its default, as it would be typed; None if there is none.
    """

    metavar: str
    help: str
    parse: Callable[[str], Any]
    default: str | None = None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise ValueError(f"{text!r} is no port: 0 to {_HIGHEST_PORT}")
    return int(text)


def _ending(text: str) -> Ending:
    kind, _, number = text.partition(":")
    try:
        if text == "immediately":
            return Immediately()
        if kind == "seconds":
            return AfterSeconds(float(number))
        if kind == "polls":
            return AfterPolls(int(number))
    except ValueError:
        pass  # the error below says it
    raise ValueError(f"{text!r} is not immediately, seconds:N or polls:N")


def _import_ending(text: str) -> Ending | RowsPerSecond:
    kind, _, number = text.partition(":")
    try:
        return RowsPerSecond(float(number)) if kind == "rows" else _ending(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not immediately, seconds:N, polls:N or rows:N, with N above 0"
        ) from None


def _visible(text: str) -> str:
    # Not shown: it may be a token.
    if not re.fullmatch("[!-~]+", text):
        raise ValueError("it must be visible ASCII without spaces, and not empty")
    return text


OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "port": Option("PORT", "Port to listen on at 127.0.0.1; 0 is any free one.", _port, "8765"),
        "storage-port": Option("PORT", "Port of STORAGE_URL; 0 is any free one.", _port, "0"),
        "setup": Option(
            "WHEN",
            "When a setup ends: immediately, seconds:N, or polls:N (after N polls).",
            _ending,
            "seconds:5",
        ),
        "imports": Option(
            "WHEN",
            "When imports, schema migrations and syncs end: as --setup, or rows:N (N rows a second;"
            " the service imports about 27).",
            _import_ending,
            "seconds:5",
        ),
        "exports": Option("WHEN", "When exports of answers end: as --setup.", _ending, "seconds:5"),
        "token": Option("TOKEN", "Token that requests must carry; random if left out.", _visible),
        "workspace-id": Option("ID", "Id of the workspace; random if left out.", _visible),
        "batch-id": Option("ID", "Id of the READY batch in it; random if left out.", _visible),
    }
)


def main(argv: Sequence[str]) -> int:
    """Parse the arguments without any extra, and serve.

    Args:
        argv: The arguments after the command's name.

    Returns:
        The exit code, as `serve` does.

    Raises:
        SystemExit: With code 0 for `--help`, with code 2 for invalid arguments.
    """
    return serve(**vars(_parser().parse_args(argv)))


def serve(
    *,
    port: int,
    setup: Ending,
    imports: Ending | RowsPerSecond,
    exports: Ending,
    storage_port: int = 0,
    token: str | None = None,
    workspace_id: str | None = None,
    batch_id: str | None = None,
) -> int:
    """Serve a workspace with one READY batch until SIGINT or SIGTERM.

    Prints `PROLIFIC_URL=…`, `PROLIFIC_TOKEN=…`, `WORKSPACE_ID=…`, `BATCH_ID=…` and `STORAGE_URL=…`,
    a line each, as soon as requests are answered.

    Args:
        port: 0 for any free one.
        setup: When setups end.
        imports: When imports, schema migrations and syncs end.
        exports: When exports of answers end.
        storage_port: The port to which presigned URLs lead; 0 for any free one.
        token: The token that requests must carry; random if left out.
        workspace_id: Id of the workspace; random if left out.
        batch_id: Id of the batch; random if left out.

    Returns:
        The exit code: 0 after a signal, 2 if a port cannot be used.
    """
    simulator = Simulator(
        setup=setup,
        imports=imports,
        exports=exports,
        token=token,
        workspace_id=workspace_id,
        port=port,
        storage_port=storage_port,
        log_size=_LOG_SIZE,
    )
    batch_id = simulator.add_batch("Original", status="READY", tasks_per_group=1, batch_id=batch_id)
    try:
        asyncio.run(_serve(simulator, batch_id))
    except _PortError as error:
        storage = f" and storage port {storage_port}" if storage_port else ""
        options = "--port and --storage-port" if storage_port else "--port"
        sys.stderr.write(
            f"simulate: cannot listen on port {port}{storage} ({error}):"
            f" choose another one with {options}, or 0 for any free one\n"
        )
        return 2
    except KeyboardInterrupt:
        pass  # it came before `_serve` had set its handlers
    return 0


class _PortError(Exception):
    """The port cannot be used; the message says why."""


async def _serve(simulator: Simulator, batch_id: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    # Not `loop.add_signal_handler`, which Windows lacks.
    before = {number: signal.signal(number, ask_to_stop) for number in _STOPPING}
    try:
        await _start(simulator)
        sys.stdout.write(
            f"PROLIFIC_URL={simulator.url}\n"
            f"PROLIFIC_TOKEN={simulator.token}\n"
            f"WORKSPACE_ID={simulator.workspace_id}\n"
            f"BATCH_ID={batch_id}\n"
            f"STORAGE_URL={simulator.storage_url}\n"
        )
        sys.stdout.flush()
        await stop.wait()
    finally:
        await simulator.close()
        for number, handler in before.items():
            signal.signal(number, handler)


async def _start(simulator: Simulator) -> None:
    try:
        await simulator.start()
    except OSError as error:
        # asyncio's own text repeats the address and the error number.
        raise _PortError(os.strerror(error.errno) if error.errno else str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prolific-async simulate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name, option in OPTIONS.items():
        parser.add_argument(
            f"--{name}",
            type=_for_argparse(option.parse),
            metavar=option.metavar,
            default=option.default,
            help=option.help + (" [default: %(default)s]" if option.default else ""),
        )
    return parser


def _for_argparse(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
