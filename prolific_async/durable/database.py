"""Which databases DBOS can use."""

from __future__ import annotations

import sqlite3
import sys

from prolific_async.errors import ConfigurationError


def checked_database(
    url: str,
    *,
    python: tuple[int, ...] = sys.version_info[:2],
    sqlite: tuple[int, ...] = sqlite3.sqlite_version_info,
) -> str:
    """Return the address of a database that DBOS can use with this Python.

    Raises:
        ConfigurationError: As ``DurableBatches``.

    """
    # DBOS asks for unixepoch('subsec') then, and without it all fails with an IntegrityError.
    if url.startswith("sqlite") and python >= (3, 12) and sqlite < (3, 42):
        found = ".".join(map(str, sqlite))
        raise ConfigurationError(
            f"DBOS needs SQLite 3.42 or later from Python 3.12 on, and this one has {found}: "
            "use Python 3.11, a newer SQLite, or PostgreSQL"
        )
    return url
