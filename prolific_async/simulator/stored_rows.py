"""The rows of a dataset, kept for the tasks and answers that are made of them."""

import marshal
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, cast

__all__ = ["StoredRows"]

_IN_MEMORY = 1024 * 1024  # bytes of rows before they go to a file


class StoredRows:
    """Rows in the order of their arrival, in a temporary file once they are large.

    The file has no name and goes away with this object. Of each row 16 bytes stay in memory.

    Attributes:
        columns: The columns of all rows, in the order of their first appearance.
    """

    def __init__(self) -> None:
        file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed below
        weakref.finalize(self, file.close)
        self._file = cast("BinaryIO", file)
        self._starts, self._sizes = array("Q"), array("Q")
        self._end = 0
        self.columns: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = marshal.loads(self.encoded(index))  # noqa: S302 - written by `add`
        return row

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row, of values as JSON has them."""
        if not row.keys() <= self.columns.keys():
            self.columns |= dict.fromkeys(row)
        # A third of the time that JSON takes: files of a million rows are read, too.
        self._write(marshal.dumps(dict(row)))

    def extend(self, rows: "StoredRows", indexes: Iterable[int]) -> None:
        """Add the rows that another `StoredRows` has at the given indexes."""
        self.columns |= rows.columns
        for index in indexes:
            self._write(rows.encoded(index))

    def encoded(self, index: int) -> bytes:
        """Return a row as it is stored."""
        self._file.seek(self._starts[index])
        return self._file.read(self._sizes[index])

    def _write(self, encoded: bytes) -> None:
        self._file.seek(self._end)
        self._file.write(encoded)
        self._starts.append(self._end)
        self._sizes.append(len(encoded))
        self._end += len(encoded)
