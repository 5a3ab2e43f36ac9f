"""Writes records as they arrive: to standard output, or to a file that appears when complete."""

import asyncio
import io
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TextIO, TypeVar

from attrs import define, field, frozen

from prolific_async.cli.help_pages import UsageError
from prolific_async.cli.output import is_pipe, print_json, print_line, printable
from prolific_async.cli.progress_display import NoDisplay, ProgressDisplay, progress_display
from prolific_async.cli.record_text import CsvText, Format, JsonText
from prolific_async.errors import ProlificError
from prolific_async.extensions import JsonModel, PartFile
from prolific_async.job_models import Progress

__all__ = ["RecordOutput", "file_errors"]

T = TypeVar("T", bound=JsonModel)
R = TypeVar("R")

_WRITE_SIZE = 256 * 1024  # characters of a file that are written at once


@frozen
class RecordOutput:
    """The output of records: to a file or standard output, as CSV or JSON lines.

    Args:
        path: Path of the file, None for standard output.
        overwrite: Whether an existing file is replaced.
        given: The format; by default CSV if the path ends with ".csv", else JSON lines.
        as_json: Whether JSON was asked for.

    Raises:
        UsageError: The options cannot be given together, or standard output is closed.

    """

    path: str | None
    overwrite: bool
    given: Format | None
    as_json: bool

    def __attrs_post_init__(self) -> None:
        if self.path is None and sys.stdout is None:
            raise UsageError("standard output is closed: give --output")
        if self.overwrite and self.path is None:
            raise UsageError("--overwrite needs --output")
        if self.path is None and self.as_json and self.given is Format.CSV:
            raise UsageError("--json and --format csv cannot be given together without --output")

    @property
    def format(self) -> Format:
        """The format of the records."""
        is_csv = self.path is not None and self.path.lower().endswith(".csv")
        return self.given or (Format.CSV if is_csv else Format.JSONL)

    def display(self) -> ProgressDisplay:
        """Return the display of the progress; it shows nothing if a terminal shows the records."""
        if self.path is None and sys.stdout.isatty():
            return NoDisplay()
        is_piped = self.path is None and is_pipe(sys.stdout)
        return progress_display(as_json=self.as_json, is_piped=is_piped)

    async def write(
        self,
        records: AsyncGenerator[T],
        name: str,
        rows: Callable[[T], Sequence[Mapping[str, object]]],
        columns: Sequence[str],
    ) -> None:
        """Write records as they arrive, show how many, and print the path of a file at the end.

        Args:
            records: The records; the generator is closed at the end.
            name: Name of the records in the plural, for the display and the JSON.
            rows: As in ``CsvText``.
            columns: As in ``CsvText``.

        """
        text: CsvText[T] | JsonText[T] = JsonText()
        if self.format is Format.CSV:
            on_terminal = self.path is None and sys.stdout.isatty()
            text = CsvText(rows, columns, for_terminal=on_terminal)
        display = self.display()

        async def write_all() -> int:
            count, began = 0, time.monotonic()
            async with aclosing(records), self._open() as write:
                async for record in records:
                    await write(text.of(record))
                    count += 1
                    elapsed = time.monotonic() - began
                    display.add_progress(Progress(name, count, None, name, elapsed))
                await write(text.rest())
            return count

        self.print_path(await display.show_during(write_all()), name)

    def print_path(self, count: int, name: str) -> None:
        """Print the path of the file, if there is one, and in JSON the number of records, too."""
        if self.path is None:
            return
        if self.as_json:
            print_json({"path": self.path, name: count})
        else:
            print_line(self.path)

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Callable[[str], Awaitable[None]]]:
        if self.path is None:
            _encode_as_in_file(sys.stdout)
            yield _print
            return
        file = _File(self.path, PartFile(self.path, overwrite=self.overwrite))
        try:
            await file.open()
            yield file.write
            await file.place()
        except BaseException:
            # Shielded, as a cancellation would remove work that still waits for a thread.
            await asyncio.shield(file.discard())
            raise


@define(eq=False)
class _File:
    """A text file that appears at its path only when it is complete."""

    _path: str
    _part: PartFile
    _texts: list[str] = field(factory=list, init=False)
    _length: int = field(default=0, init=False)
    _written: int = field(default=0, init=False)  # bytes

    async def open(self) -> None:
        await self._run(self._part.open)

    async def write(self, text: str) -> None:
        self._texts.append(text)
        self._length += len(text)
        if self._length >= _WRITE_SIZE:
            await self._flush()

    async def place(self) -> None:
        await self._flush()
        await self._run(self._part.place)

    def discard(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(None, self._part.discard)

    async def _flush(self) -> None:
        # As on standard output: half of a surrogate pair must not end a command.
        data = "".join(self._texts).encode(errors="backslashreplace")
        self._texts, self._length = [], 0
        await self._run(lambda: self._part.write(self._written, [data]))
        self._written += len(data)

    async def _run(self, work: Callable[[], R]) -> R:
        with file_errors(self._path):
            return await asyncio.get_running_loop().run_in_executor(None, work)


def _encode_as_in_file(stream: TextIO) -> None:
    """Make a stream that is no terminal write the same bytes as ``--output``, on any system."""
    if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")


async def _print(text: str) -> None:
    sys.stdout.write(text)  # not by typer.echo, which strips escape sequences of terminals
    sys.stdout.flush()


@contextmanager
def file_errors(path: str) -> Iterator[None]:
    """Turn an OSError, unless it is a ProlificError, into a ValueError that names the file."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ProlificError):
            raise
        reason = (error.strerror or str(error)).replace("overwrite=True", "--overwrite")
        raise ValueError(f"'{printable(path)}' cannot be written ({reason})") from None
