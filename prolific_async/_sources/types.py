"""Types of what callers upload or append."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, TypeAlias

BytesLike: TypeAlias = bytes | bytearray | memoryview
SourceLike: TypeAlias = (
    str
    | os.PathLike[str]
    | BytesLike
    | Iterable[BytesLike]
    | AsyncIterable[BytesLike]
    | Iterable[Mapping[str, Any]]
    | AsyncIterable[Mapping[str, Any]]
)
"""What can be uploaded: a path, bytes, or an iterable, plain or async, of bytes or of rows."""

Records: TypeAlias = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""What can be appended: an iterable, plain or async, of rows."""
