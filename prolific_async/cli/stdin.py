"""Reading of standard input as it arrives: as bytes, or as ids, line by line."""

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress

__all__ = ["first_words", "input_pieces", "is_typed", "is_utf_16", "utf_16_message", "with_stdin"]

_CHUNK = 65536  # bytes


def is_typed() -> bool:
    """Return whether standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


async def input_pieces() -> AsyncGenerator[bytes]:
    """Yield the bytes of standard input as soon as they arrive.

    Raises:
        ValueError: Standard input cannot be read.

    """
    while piece := await _read():
        yield piece


async def first_words() -> AsyncGenerator[str]:
    """Yield the first word of each line of standard input as soon as the line arrives.

    A byte order mark at the start, as PowerShell writes it, is dropped.

    Raises:
        ValueError: Standard input cannot be read, or is UTF-16 or JSON.

    """
    rest = b""
    is_start = True
    async for piece in input_pieces():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            for word in _first_word(line, is_start=is_start):
                yield word
            is_start = is_start and not line
    for word in _first_word(rest, is_start=is_start):
        yield word


def _first_word(line: bytes, *, is_start: bool) -> list[str]:
    if is_start:
        if is_utf_16(line):
            raise ValueError(utf_16_message("standard input"))
        line = line.removeprefix(codecs.BOM_UTF8)
        if line.lstrip().startswith((b"[", b"{")):
            raise ValueError(
                "standard input is JSON, but a line for each id is needed: pipe the list "
                "without --json"
            )
    return line.decode(errors="surrogateescape").split(maxsplit=1)[:1]


async def with_stdin(given: Iterable[str], *, reads_stdin: bool) -> AsyncGenerator[str]:
    """Yield the given ids, and then those from standard input if ``reads_stdin``.

    Raises:
        ValueError: As ``first_words``.

    """
    for one in given:
        yield one
    if not reads_stdin:
        return
    async with aclosing(first_words()) as words:
        async for word in words:
            yield word


def utf_16_message(subject: str) -> str:
    """Return the error message for a text in UTF-16, with advice."""
    return (
        f"{subject} is UTF-16, but it is read as UTF-8: in PowerShell, write it with "
        "Out-File -Encoding utf8"
    )


def is_utf_16(first: bytes) -> bool:
    """Return whether text begins as UTF-16: by a byte order mark, or with every other byte NUL."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    # A line feed is b"\0\n" or b"\n\0". If the text was cut at b"\n", its NUL is at the end of the
    # line, or at the start of the next one.
    halves = (first[::2], first[1::2] if len(first) % 2 == 0 else b"")
    return any(half and not half.strip(b"\0") for half in halves)


async def _read() -> bytes:
    """Return the bytes that are available, at least one, or none at the end of input.

    asyncio cannot read files, and ``asyncio.run`` waits for its executor's threads. So this uses a
    daemon thread, which may still wait for input at exit, and reads the descriptor, since a thread
    that holds a lock of ``sys.stdin`` makes the interpreter fail at exit.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    if sys.stdin is None:
        raise ValueError("standard input is closed, so nothing can be read from it")
    descriptor = sys.stdin.fileno()

    def settle(read: bytes | OSError) -> None:
        if done.cancelled():
            return
        if isinstance(read, bytes):
            done.set_result(read)
        else:
            reason = read.strerror or read
            done.set_exception(ValueError(f"standard input cannot be read ({reason})"))

    def work() -> None:
        read: bytes | OSError
        try:
            read = os.read(descriptor, _CHUNK)
        except OSError as error:
            read = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, read)

    threading.Thread(target=work, daemon=True).start()
    return await done
