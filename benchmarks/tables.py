"""Parts of every report: Markdown tables, and a description of machine and software."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

Machine = dict[str, object]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is its head, and the first column is left-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, " | ".join(ruler))
    return "\n".join(f"| {line} |" for line in lines)


def machine(*packages: str) -> Machine:
    """Return a description of machine and Python, with the versions of some packages."""
    return {
        "system": platform.system(),
        "cores": os.cpu_count(),
        platform.python_implementation(): platform.python_version(),
        **{package: version(package) for package in packages},
    }


def one_line(about: Machine) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.items())
