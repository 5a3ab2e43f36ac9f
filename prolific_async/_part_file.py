"""``PartFile``: a file that appears under its path only when it is complete."""

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

_SHOWN = 40  # characters of the file's name in the part's: file systems allow 255 bytes
_NEW = 0o666  # the usual mode of a new file, from which the umask takes away
_AHEAD = 16 * 1024 * 1024  # bytes after which the system is asked to begin to put them on the disk


class PartFile:
    """A file beside the one that it is to become, with a random name that ends in ".part".

    Its methods block, so threads call them. They run one at a time: ``discard`` waits for one that
    a cancelled caller has left running, and after it the others do nothing.

    Args:
        path: Where the file is to stand. Of a symbolic link, that is where it leads to.
        overwrite: Whether it takes the place of a file that is there.

    """

    def __init__(self, path: str, *, overwrite: bool) -> None:
        self._path = path
        self._overwrite = overwrite
        self._target = Path(path)
        self._mode: int | None = None  # of the file that is to be replaced
        self._part: Path | None = None
        self._file: io.FileIO | None = None
        self._size = 0
        self._begun = 0  # bytes that the system was asked to put on the disk
        self._is_over = False
        self._lock = threading.Lock()

    def check(self) -> None:
        """Check that the file may stand under its path.

        Raises:
            FileExistsError: There is one, which is not to be overwritten.
            OSError: The path is a directory or a device, or its directory is not there.

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
            raise self._exists()
        self._mode = stat.S_IMODE(mode)

    def open(self) -> None:
        """Make the file, empty.

        Raises:
            OSError: As ``check``, or it cannot be made.

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
        """Write bytes from a place on; what was there, and all behind it, is dropped.

        Raises:
            OSError: It cannot be written: the disk is full, say.

        """
        with self._lock, self._naming():
            if self._is_over or self._file is None:
                return
            if start != self._size:
                self._file.seek(start)
                self._file.truncate()
                self._size = start
                self._begun = min(self._begun, start)
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:  # a disk that becomes full takes a part of it first
                    written = self._file.write(rest)
                    rest = rest[written:]
                    self._size += written
            if self._size - self._begun >= _AHEAD:
                self._begin_sync(self._file)

    def place(self) -> None:
        """Put the file under its path; it is on the disk by then.

        Raises:
            FileExistsError: There is one by now, which is not to be overwritten.
            OSError: It cannot be put there.

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
        """Remove the file, unless it was placed."""
        with self._lock:
            self._is_over = True
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            if self._part is not None:
                with suppress(OSError):
                    self._part.unlink()

    def _begin_sync(self, file: io.FileIO) -> None:
        """Have the system begin to put on the disk what was written, so that ``place`` waits less.

        Else it begins when much more of the memory is taken, and ``place`` waits for all of it.
        """
        if sys.platform == "linux":  # elsewhere this advice only drops pages
            with suppress(OSError):  # a file system, or a sandbox, that does not take it
                new = self._size - self._begun
                os.posix_fadvise(file.fileno(), self._begun, new, os.POSIX_FADV_DONTNEED)
        self._begun = self._size

    def _opener(self, path: str, flags: int) -> int:
        return os.open(path, flags, _NEW if self._mode is None else self._mode)

    def _move(self) -> None:
        """Move the file to where there must be none."""
        assert self._part is not None  # noqa: S101 - for the type checker
        try:
            self._target.hardlink_to(self._part)
        except FileExistsError:
            raise self._exists() from None
        except OSError:  # the file system has no hard links
            if self._target.exists():
                raise self._exists() from None
            self._part.rename(self._target)
        else:
            with suppress(OSError):  # the file stands, and discard tries it again
                self._part.unlink()

    def _exists(self) -> FileExistsError:
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
