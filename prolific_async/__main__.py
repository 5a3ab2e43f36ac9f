"""The command line: ``prolific-async``, or ``python -m prolific_async``."""

import sys
from collections.abc import Sequence

from prolific_async import __version__

_NEEDED = (
    "the command line needs the extra [cli] of prolific-async, which adds typer and rich:"
    " pip install rich typer (without it, there are 'simulate' and '--version')\n"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    All commands but ``simulate`` and ``--version`` need the extra ``[cli]``.

    Args:
        argv: The arguments, None for those of the process.

    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        from prolific_async.cli import run  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        return _run_without_extra(arguments)
    except KeyboardInterrupt:
        return 130
    return run(arguments)


def _run_without_extra(arguments: list[str]) -> int:
    """Run a command that needs no extra; for any other, print which extra is missing."""
    match arguments:
        case ["simulate", *rest]:
            from prolific_async.simulator.command import main as simulate  # noqa: PLC0415 - only for this

            return simulate(rest)
        case ["--version"]:
            sys.stdout.write(f"prolific-async {__version__}\n")
            return 0
    sys.stderr.write(_NEEDED)
    return 2


if __name__ == "__main__":
    sys.exit(main())
