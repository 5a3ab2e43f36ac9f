"""``PartFile``: a file that appears at its path only when it is complete."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SHOWN = 40  # characters of the file's name in the part file's: file systems allow 255 bytes
_NEW_FILE_MODE = 0o666  # permissions of a new file, before the umask
_SYNC_STEP = 16 * 1024 * 1024  # new bytes after which the system is asked to write to the disk


class PartFile:
    """A temporary file beside its final path, with a random name that ends in ".part".

    The methods block, so call them in a thread. They run one at a time: ``discard`` waits for a
    method that a cancelled caller has left running; after ``discard``, the others do nothing.

    Args:
        path: The final path; a symbolic link is followed.
        overwrite: Whether an existing file is replaced.

    """

    def __init__(self, path: str, *, overwrite: bool) -> None:
        self._path = path
        self._overwrite = overwrite
        self._target = Path(path)
        self._mode: int | None = None  # of the file that is to be replaced
        self._part: Path | None = None
        self._file: io.FileIO | None = None
        self._size = 0
        self._synced = 0  # bytes that the system was asked to write to the disk
        self._is_over = False
        self._lock = threading.Lock()

    def check(self) -> None:
        """Check that a file may be written to the path.

        Raises:
            FileExistsError: The file exists, and ``overwrite`` is False.
            OSError: The path is a directory or a device, or its directory does not exist.

        """
        self._target = target = Path(os.path.realpath(self._path))
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            if target.parent.is_dir():
                return
            advice = "the directory is not there"
            if self._path.startswith("~"):
                advice = "~ is not expanded here, use Path.expanduser()"
            raise FileNotFoundError(errno.ENOENT, advice, self._path) from None
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(
                errno.EISDIR, "the path of a file is needed, not of a directory", self._path
            )
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "the path of a file is needed", self._path)
        if not self._overwrite:
            raise self._exists_error()
        self._mode = stat.S_IMODE(mode)

    def open(self) -> None:
        """Create the part file, empty.

        Raises:
            OSError: As ``check``, or the part file cannot be created.

        """
        with self._lock, self._naming():
            if self._is_over:
                return
            self.check()
            name = f"{self._target.name[:_SHOWN]}.{os.urandom(8).hex()}.part"
            part = self._target.with_name(name)
            self._file = io.FileIO(part, "xb", opener=self._opener)
            self._part = part

    def write(self, start: int, chunks: Iterable[bytes]) -> None:
        """Write bytes at a position; if that is not the end of the file, truncate it there first.

        Raises:
            OSError: The bytes cannot be written: the disk is full, for example.

        """
        with self._lock, self._naming():
            if self._is_over or self._file is None:
                return
            if start != self._size:
                self._file.seek(start)
                self._file.truncate()
                self._size = start
                self._synced = min(self._synced, start)
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:  # a disk that becomes full accepts only a part at first
                    written = self._file.write(rest)
                    rest = rest[written:]
                    self._size += written
            if self._size - self._synced >= _SYNC_STEP:
                self._begin_sync(self._file)

    def place(self) -> None:
        """Sync the file to the disk, then move it to its final path.

        Raises:
            FileExistsError: The final file exists by now, and ``overwrite`` is False.
            OSError: The file cannot be synced or moved.

        """
        with self._lock, self._naming():
            if self._is_over or self._file is None or self._part is None:
                return
            os.fsync(self._file.fileno())  # else a crash could leave an empty file under the path
            self._file.close()
            if self._overwrite:
                if self._mode is not None:
                    with suppress(OSError):  # a file system without modes
                        self._part.chmod(self._mode)
                self._part.replace(self._target)
            else:
                self._move()
            self._is_over = True

    def discard(self) -> None:
        """Remove the part file, unless ``place`` has moved it to its final path."""
        with self._lock:
            self._is_over = True
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            if self._part is not None:
                with suppress(OSError):
                    self._part.unlink()

    def _begin_sync(self, file: io.FileIO) -> None:
        """Ask the system to write the new bytes to the disk now, so that ``place`` waits less.

        Otherwise the system starts only when much more memory is in use, and ``place`` waits long.
        """
        if sys.platform == "linux":  # elsewhere this advice only drops pages
            with suppress(OSError):  # not supported by the file system or the sandbox
                new = self._size - self._synced
                os.posix_fadvise(file.fileno(), self._synced, new, os.POSIX_FADV_DONTNEED)
        self._synced = self._size

    def _opener(self, path: str, flags: int) -> int:
        return os.open(path, flags, _NEW_FILE_MODE if self._mode is None else self._mode)

    def _move(self) -> None:
        """Move the file to its final path, unless a file is there."""
        assert self._part is not None  # noqa: S101 - for the type checker
        try:
            self._target.hardlink_to(self._part)
        except FileExistsError:
            raise self._exists_error() from None
        except OSError:  # the file system has no hard links
            if self._target.exists():
                raise self._exists_error() from None
            self._part.rename(self._target)
        else:
            with suppress(OSError):  # the file is in place, and discard tries again
                self._part.unlink()

    def _exists_error(self) -> FileExistsError:
        advice = "there is a file already; overwrite=True replaces it"
        return FileExistsError(errno.EEXIST, advice, self._path)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Make the system's errors name the path that the caller gave."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = self._path, None
            raise
