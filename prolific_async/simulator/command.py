"""The `simulate` command: the simulator for clients in any language."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from prolific_async.simulator.endings import AfterLooks, AfterSeconds, Ending, Immediately
from prolific_async.simulator.simulator import Simulator

__all__ = ["main"]

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_HIGHEST_PORT = 65535


def main(argv: Sequence[str]) -> int:
    """Serve a workspace with one READY batch until SIGINT or SIGTERM.

    Prints `PROLIFIC_URL=…`, `PROLIFIC_TOKEN=…`, `WORKSPACE_ID=…` and `BATCH_ID=…`, a line each, as
    soon as requests are answered.

    Args:
        argv: The arguments after the command's name.

    Returns:
        The exit code: 0 when it was told to stop, 2 when the port can't be had.

    Raises:
        SystemExit: For `--help`, code 0, and for arguments that make no sense, code 2.
    """
    options = _parser().parse_args(argv)
    # Nobody reads the log here, and the command may run for weeks.
    simulator = Simulator(setup=options.setup, port=options.port, log_size=0)
    try:
        asyncio.run(_serve(simulator))
    except _PortError as error:
        sys.stderr.write(
            f"simulate: cannot listen on port {options.port} ({error}):"
            " choose another one with --port, or 0 for any free one\n"
        )
        return 2
    except KeyboardInterrupt:
        pass  # it came before the handlers of `_serve` were in place
    return 0


class _PortError(Exception):
    """The port can't be had; the text says why."""


async def _serve(simulator: Simulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    # Not `loop.add_signal_handler`, which Windows does not have.
    before = {number: signal.signal(number, ask_to_stop) for number in _STOPPING}
    try:
        await _start(simulator)
        batch_id = simulator.add_batch("Original", status="READY", tasks_per_group=1)
        sys.stdout.write(
            f"PROLIFIC_URL={simulator.url}\n"
            f"PROLIFIC_TOKEN={simulator.token}\n"
            f"WORKSPACE_ID={simulator.workspace_id}\n"
            f"BATCH_ID={batch_id}\n"
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
        description="Serve a simulated Prolific on this machine until interrupted.",
        epilog="Example: prolific-async simulate --port 0 --setup looks:3",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port", type=_port, default=8765, help="0 for any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--setup",
        type=_ending,
        default="seconds:5",
        metavar="immediately|seconds:N|looks:N",
        help="when a batch that is set up becomes READY (default: %(default)s)",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to {_HIGHEST_PORT}")
    return int(text)


def _ending(text: str) -> Ending:
    kind, _, number = text.partition(":")
    try:
        if text == "immediately":
            return Immediately()
        if kind == "seconds":
            return AfterSeconds(float(number))
        if kind == "looks":
            return AfterLooks(int(number))
    except ValueError:
        pass  # said below, as of any other text
    raise argparse.ArgumentTypeError(f"{text!r} is not immediately, seconds:N or looks:N")
