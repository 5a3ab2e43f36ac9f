"""``python -m tests.fuzz --seconds 60``: fuzz every target, guided by coverage, in turn.

Needs the extra ``[fuzz]``. Each target has a process of its own, whose failure is told with the
input that made it, as text for a test.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.mutations import WORDS

_LONGEST = 8192  # bytes of an input
_SLOWEST = 5  # seconds of one
_MEMORY = 1024  # MiB of the process


def main(arguments: list[str] | None = None) -> int:
    """Fuzz every target and return the number of targets that broke their promise."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--target", action="append", help="one of them; all by default")
    parser.add_argument("--inside", metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.inside:
        _fuzz(given.target[0], given.seconds, Path(given.inside))

    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - in _fuzz it is instrumented first

    names = given.target or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is missing: pip install -e '.[fuzz]'")
    return sum(_broken(name, given.seconds, TARGETS[name].seeds) for name in names)


def _broken(name: str, seconds: int, seeds: tuple[bytes, ...]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "corpus").mkdir()
        for number, seed in enumerate(seeds):
            (Path(folder) / "corpus" / f"seed-{number}").write_bytes(seed)
        words = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS if len(word) < 64)
        (Path(folder) / "words").write_text("".join(f'"{word}"\n' for word in words))
        command = [sys.executable, "-m", "tests.fuzz", f"--seconds={seconds}", f"--target={name}"]
        done = subprocess.run(
            [*command, f"--inside={folder}"], capture_output=True, text=True, check=False
        )
        told = [line for line in done.stderr.splitlines() if line.startswith("Done")]
        print(f"{name}: {told[-1] if told and not done.returncode else 'BROKEN'}", flush=True)
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-2000:])
            for found in Path(folder).glob("found-*"):
                print(f"input: {found.read_bytes()!r}")
        return done.returncode != 0


def _fuzz(name: str, seconds: int, folder: Path) -> None:
    import atheris  # noqa: PLC0415 - an extra

    logging.disable()  # a wait warns of each unseen status
    with atheris.instrument_imports(include=["prolific_async"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - only now
    settings = {
        "max_total_time": seconds,
        "max_len": _LONGEST,
        "timeout": _SLOWEST,
        "rss_limit_mb": _MEMORY,
        "dict": folder / "words",
        "artifact_prefix": folder / "found-",
    }
    options = [f"-{setting}={value}" for setting, value in settings.items()]
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], TARGETS[name].call)
    atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    sys.exit(main())
