"""``ExportArchive``: reads the archive of an export.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (exporting batch data). It names the
files of the archive, and does not describe their records.
"""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Self

from prolific_async._json.decoding import decode
from prolific_async._json.scalars import JsonObject
from prolific_async.errors import DecodeError

_SUBMISSIONS = "responses-by-submission.jsonl"
_TASKS = "responses-by-task.jsonl"
_BATCH = "batch.json"
_LONGEST = 64 * 1024 * 1024  # bytes of a line, decompressed
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
_UNREADABLE = (NotImplementedError, RuntimeError)  # another compression; a password


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
        OSError: It cannot be opened.
        DecodeError: It is no ZIP file.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        with _reading(os.fspath(path)):
            self._zip = zipfile.ZipFile(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

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
        with self._open(_BATCH) as file, _reading(_BATCH):
            return _object(file.read(_LONGEST + 1), _BATCH)

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
            number = 0
            while True:
                number += 1
                with _reading(name):
                    line = file.readline(_LONGEST + 1)
                if not line:
                    return
                if not line.isspace():
                    yield _object(line, f"{name}:{number}")

    def _open(self, name: str) -> IO[bytes]:
        with _reading(name):
            try:
                return self._zip.open(name)
            except KeyError:
                pass
            except ValueError:  # as zipfile says it
                raise ValueError("the archive was closed") from None
        raise DecodeError((f"{name}: not in the archive",), None)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn what zipfile raises of a bad file into our own error."""
    try:
        yield
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise DecodeError((f"{name}: not a readable ZIP file ({reason})",), None) from error
    except _UNREADABLE as error:
        raise DecodeError((f"{name}: cannot be read here ({error})",), None) from error


def _object(text: bytes, where: str) -> JsonObject:
    reason = None
    data: Any = None
    if len(text) > _LONGEST:
        reason = f"more than {_LONGEST} bytes"
    else:
        try:
            data = decode(text)
        except ValueError as error:
            reason = f"no JSON ({error})"
    if reason is None and not isinstance(data, dict):
        reason = "an object is needed"
    if reason is not None:
        raise DecodeError((f"{where}: {reason}",), None)
    found: JsonObject = data
    return found
