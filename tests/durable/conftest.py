"""Fixtures: databases, and workers that are killed when the test ends."""

from __future__ import annotations

import logging
import multiprocessing
from typing import TYPE_CHECKING

import pytest

from prolific_async import ConfigurationError, ProlificClient
from prolific_async.durable.database import checked_database
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.durable.databases import PostgreSQL, SQLite, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from prolific_async.simulator import Simulator


@pytest.fixture(autouse=True)
def _no_worker_left() -> Iterator[None]:
    yield
    for process in multiprocessing.active_children():
        process.kill()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[ProlificClient]:
    """Return a client that is quick, but whose requests may take their time on a busy machine."""
    async with ProlificClient(
        sim.token, base_url=sim.url, poll=QUICK_POLL, retry=QUICK_RETRY
    ) as quick:
        yield quick


@pytest.fixture
def dbos_warnings() -> Iterator[list[str]]:
    """Return DBOS's warnings in this process, whose log does not reach the root logger."""
    messages: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Kept(logging.WARNING)
    logger = logging.getLogger("dbos")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLite:
    files = SQLite(tmp_path)
    try:
        checked_database(files.new())
    except ConfigurationError as error:
        pytest.skip(str(error))
    return files


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    for address in serve():
        yield PostgreSQL(address)


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> SQLite | PostgreSQL:
    kind: SQLite | PostgreSQL = request.getfixturevalue(request.param)
    return kind
