"""Standard input, read as it comes."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress

__all__ = ["first_words", "is_typed"]

_CHUNK = 65536  # bytes


def is_typed() -> bool:
    """Tell whether standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


async def first_words() -> AsyncGenerator[str]:
    """Yield the first word of each line of standard input as soon as the line is there.

    Raises:
        ValueError: It cannot be read.

    """
    rest = b""
    while chunk := await _read():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            for word in _first_word(line):
                yield word
    for word in _first_word(rest):
        yield word


def _first_word(line: bytes) -> list[str]:
    return line.decode(errors="surrogateescape").split(maxsplit=1)[:1]


async def _read() -> bytes:
    """Read what there is, at least one byte, or nothing at the end.

    asyncio reads pipes but no files, and at its end waits for the threads of its own executor. So
    this is a thread that may be left behind while it still waits for input; it holds no lock of
    ``sys.stdin``, on which the interpreter's end would stumble.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    if sys.stdin is None:
        raise ValueError("standard input is closed, so no ids can be read from it")
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
        with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            loop.call_soon_threadsafe(settle, read)

    threading.Thread(target=work, daemon=True).start()
    return await done
