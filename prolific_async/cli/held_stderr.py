"""Stderr while a part of the terminal is redrawn: held until there is room for its lines."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TextIO

from attrs import define, field

__all__ = ["HeldStderr"]


@define(eq=False)
class HeldStderr:
    """Holds all that is written to stderr, such as errors and log records, until it is printed."""

    _held: io.StringIO = field(factory=io.StringIO, init=False)
    _stderr: TextIO | None = field(default=None, init=False)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold stderr within this context, and print the rest at its end."""
        self._stderr = sys.stderr  # None if it is closed
        try:
            with redirect_stderr(self._held):
                yield
        finally:
            self.print(self._held.getvalue())

    def is_terminal(self) -> bool:
        """Return whether lines that are printed show on a terminal."""
        return self._stderr is not None and self._stderr.isatty()

    def take_lines(self) -> str:
        """Return the complete lines that were written since the last call."""
        lines, end, rest = self._held.getvalue().rpartition("\n")
        if end:
            self._held.seek(0)
            self._held.truncate()
            self._held.write(rest)
        return lines + end

    def print(self, text: str) -> None:
        """Print text to stderr at once."""
        if self._stderr is not None:
            self._stderr.write(text)
            self._stderr.flush()
