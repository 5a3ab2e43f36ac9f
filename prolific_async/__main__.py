"""The command line: ``prolific-async``, or ``python -m prolific_async``."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    ``simulate`` needs the core alone, every other command the extra ``[cli]``.

    Args:
        argv: The arguments, by default the process's own.

    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["simulate"]:
        from prolific_async.simulator.command import main as simulate  # noqa: PLC0415 - only for this

        return simulate(arguments[1:])
    try:
        from prolific_async.cli import run  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        sys.stderr.write("the command line needs the extra: pip install 'prolific-async[cli]'\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
