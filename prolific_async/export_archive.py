"""``ExportArchive``: reads the archive of an export.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (exporting batch data). It names the
files of the archive, and does not describe their records.
"""

from __future__ import annotations

import errno
import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

from prolific_async._json.decoding import decode, json_type_name
from prolific_async._json.scalars import JsonObject
from prolific_async.errors import DecodeError

_SUBMISSIONS = "responses-by-submission.jsonl"
_TASKS = "responses-by-task.jsonl"
_BATCH = "batch.json"
_LONGEST = 64 * 1024 * 1024  # bytes of a line, decompressed
_PIECE = 128 * 1024  # bytes that are decompressed at once


class ExportArchive:
    """The archive of an export, as ``Export.download`` stores it: a context manager.

    ```python
    with ExportArchive("answers.zip") as archive:
        for submission in archive.submissions():
            print(submission)
    ```

    Nothing is unpacked to the disk, and one line is in memory at a time. Reading blocks: a service
    does it in a thread, such as by ``asyncio.to_thread``.

    Args:
        path: The path of the file.

    Raises:
        TypeError: The path is no path.
        OSError: It cannot be opened.
        DecodeError: It is no ZIP file.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError("a path is given as text or as a Path, not as bytes")
        self._path = text
        with self._reading("$"):
            self._zip = zipfile.ZipFile(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ExportArchive {self._path!r}>"

    def close(self) -> None:
        """Close the file; safe to call again."""
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files in the archive; uploads of participants are under "files/"."""
        return tuple(self._zip.namelist())

    @property
    def batch(self) -> JsonObject:
        """The batch, as JSON.

        Raises:
            DecodeError: It is not there, or cannot be read.

        """
        with self._open(_BATCH) as file, self._reading(_BATCH):
            return self._object(file.read(_LONGEST + 1), _BATCH)

    def submissions(self) -> Iterator[JsonObject]:
        """Yield the answers by submission: a mapping for each, read line by line.

        The service does not document its keys.

        Raises:
            DecodeError: A line cannot be read, or is longer than 64 MiB.

        """
        return self._records(_SUBMISSIONS)

    def tasks(self) -> Iterator[JsonObject]:
        """Yield the answers by task: a mapping for each, read line by line.

        The service does not document its keys.

        Raises:
            DecodeError: A line cannot be read, or is longer than 64 MiB.

        """
        return self._records(_TASKS)

    def _records(self, name: str) -> Iterator[JsonObject]:
        with self._open(name) as file:
            lines = iter(partial(self._line, file, name), b"")
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    yield self._object(line, f"{name}:{number}")

    def _line(self, file: io.BufferedReader, name: str) -> bytes:
        with self._reading(name):
            return file.readline(_LONGEST + 1)

    def _open(self, name: str) -> io.BufferedReader:
        if self._zip.fp is None:
            raise ValueError("this ExportArchive is closed; make a new one")
        with self._reading(name):
            if name not in self._zip.namelist():
                raise self._unreadable(name, "not in the archive")
            file: Any = self._zip.open(name)
        # zipfile itself looks for the end of a line in steps of 512 bytes.
        return io.BufferedReader(file, _PIECE)

    def _object(self, text: bytes, where: str) -> JsonObject:
        if len(text) > _LONGEST:
            raise self._unreadable(where, f"more than {_LONGEST} bytes")
        try:
            data: Any = decode(text)
        except ValueError as error:
            reason = str(error)
        else:
            if isinstance(data, dict):
                return data
            reason = f"an object is needed, not {json_type_name(data)}"
        raise self._unreadable(where, reason)

    @contextmanager
    def _reading(self, where: str) -> Iterator[None]:
        """Turn the exceptions that zipfile raises for a bad file into DecodeError."""
        try:
            yield
        except DecodeError:
            raise
        except Exception as error:
            # A damaged file can raise anything; a fault of the disk is an OSError with an errno.
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            reason = f"no whole ZIP file ({str(error) or type(error).__name__})"
            if isinstance(error, RuntimeError):  # it needs a password, or another compression
                reason = str(error)
            raise self._unreadable(where, reason) from error

    def _unreadable(self, where: str, reason: str) -> DecodeError:
        return DecodeError((f"{where}: {reason}",), None, None, self._path)
