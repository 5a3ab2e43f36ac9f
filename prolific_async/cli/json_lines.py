"""Records of ``dataset append``: the JSON lines of a file or of standard input."""

import asyncio
import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from attrs import define, field

from prolific_async.cli.json_files import unreadable_message
from prolific_async.cli.output import printable
from prolific_async.cli.stdin import input_pieces, is_utf_16, utf_16_message

__all__ = ["FileRecords", "input_records"]

_PIECE = 1024 * 1024  # bytes
_MAX_LINE = 16 * 1024 * 1024  # bytes of a line; the service takes less


@define(eq=False)
class FileRecords:
    """The records of a file, which is read anew by ``check`` and by each iteration.

    Args:
        path: The file's path.

    """

    _path: str
    _count: int = field(default=0, init=False)

    async def check(self) -> None:
        """Read and check the whole file, and count its records.

        Raises:
            ValueError: The file cannot be read or has no records, or a line is no JSON object.

        """
        self._count = 0
        async for _ in self:
            self._count += 1
        if not self._count:
            raise ValueError(f"{self._name} has no records")

    def __len__(self) -> int:
        return self._count

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return _records(_pieces(self._path), self._name)

    @property
    def _name(self) -> str:
        return f"'{printable(self._path)}'"


def input_records() -> AsyncIterator[dict[str, Any]]:
    """Return the records of standard input, each as soon as its line arrives."""
    return _records(input_pieces(), "standard input")


async def _pieces(path: str) -> AsyncGenerator[bytes]:
    try:
        with await asyncio.to_thread(_opened, path) as file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece
    except OSError as error:
        raise ValueError(unreadable_message(path, error)) from None


def _opened(path: str) -> BinaryIO:
    if (given := Path(path)).is_fifo():
        # A pipe cannot be read twice, and opening it may block for ever.
        raise ValueError(f"'{printable(path)}' is a pipe, not a file: give - and pipe it in")
    return given.open("rb")


async def _records(pieces: AsyncGenerator[bytes], name: str) -> AsyncGenerator[dict[str, Any]]:
    async with aclosing(_lines(pieces, name)) as lines:
        number = 0
        async for line in lines:
            number += 1
            if line and not line.isspace():
                yield _record(line, f"line {number} of {name}")


async def _lines(pieces: AsyncGenerator[bytes], name: str) -> AsyncGenerator[bytes]:
    rest = b""
    is_start = True
    async with aclosing(pieces):
        async for piece in pieces:
            rest += piece
            if is_start and len(rest) >= len(codecs.BOM_UTF8):
                if is_utf_16(rest[:4]):
                    raise ValueError(utf_16_message(name))
                rest = rest.removeprefix(codecs.BOM_UTF8)
                is_start = False
            *lines, rest = rest.split(b"\n")
            for line in lines:
                yield line
            if len(rest) > _MAX_LINE:
                raise ValueError(f"{name} has a line of more than {_MAX_LINE} bytes")
    yield rest


def _record(line: bytes, name: str) -> dict[str, Any]:
    try:
        # A Decimal keeps all digits of a number.
        record = json.loads(line.decode(), parse_float=Decimal, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8: save it as UTF-8 first") from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(
            f"{name} is not JSON ({reason}): a record is a JSON object in a line of its own"
        ) from None
    if not isinstance(record, dict):
        raise ValueError(f'{name} is not a JSON object, such as {{"prompt": "..."}}')
    return record


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"it holds {constant}")
