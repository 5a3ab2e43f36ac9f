"""Databases, and workers that are gone when the test ends."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import pytest

from tests.durable.databases import PostgreSQL, SQLite, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_worker_left() -> Iterator[None]:
    yield
    for process in multiprocessing.active_children():
        process.kill()


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLite:
    return SQLite(tmp_path)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    for address in serve():
        yield PostgreSQL(address)


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> SQLite | PostgreSQL:
    kind: SQLite | PostgreSQL = request.getfixturevalue(request.param)
    return kind
