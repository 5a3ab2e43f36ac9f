"""Access to the database of the orders: checks of its URL, calls in threads, and outages."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSClient
from sqlalchemy import exc

from prolific_async.durable.daemon_threads import in_thread
from prolific_async.errors import ConfigurationError, ProlificError
from prolific_async.extensions import brief
from prolific_async.extensions import log as _log
from prolific_async.policies import PollPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MAX_CALLS = 5  # at the same time: as many as DBOSClient's pool has connections
_PAUSES = PollPolicy(initial=0.1, factor=2.0, maximum=1.0)
_CANCEL_WAIT = 5.0  # seconds for a cancelled call to take effect
_LIMITS = {"connect_timeout": "10", "tcp_user_timeout": "30000"}  # seconds, and milliseconds
_READ_ONLY = "25006"  # PostgreSQL's code of a server that has become a standby
_WRONG_STATEMENT = "SQLITE_ERROR"  # SQLite's code


class DatabaseUnavailableError(ProlificError, ConnectionError):
    """The database of the orders cannot be reached, or does not respond.

    The call may or may not have been recorded. To order again is always safe.

    Attributes:
        reason: The message of the database or its driver.

    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the database of the orders is not available ({brief(self.reason)}); try again"


def is_outage(error: BaseException | None) -> bool:
    """Return whether an error is due to an outage of the database."""
    if isinstance(error, exc.TimeoutError):  # all connections of the pool hang
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    if isinstance(error, exc.OperationalError | exc.InterfaceError):
        return getattr(error.orig, "sqlite_errorname", None) != _WRONG_STATEMENT
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) == _READ_ONLY


def translated(error: exc.SQLAlchemyError) -> ProlificError:
    """Translate an error of SQLAlchemy into one of this package."""
    # Not the whole text of the error, which shows the statement and its parameters.
    reason = str(getattr(error, "orig", None) or error)
    if is_outage(error):
        return DatabaseUnavailableError(reason)
    return ConfigurationError(
        f"the database refuses what DBOS asks of it ({brief(reason)}); check its address, the "
        "role's rights, and that DBOS's tables are there and up to date"
    )


def checked_database(
    url: str,
    *,
    python: tuple[int, ...] = sys.version_info[:2],
    sqlite: tuple[int, ...] = sqlite3.sqlite_version_info,
) -> str:
    """Check that DBOS can use a database with this Python, and return the database's URL.

    Raises:
        ConfigurationError: As ``DurableBatches``.

    """
    if not _is_readable(url):
        raise ConfigurationError(
            "database_url cannot be read: sqlite:///path or postgresql://user@host/database"
        )  # without the text of the error, which may have the password
    # From 3.12 on DBOS calls unixepoch('subsec'), which is NULL in an older SQLite.
    if url.startswith("sqlite") and python >= (3, 12) and sqlite < (3, 42):
        found = ".".join(map(str, sqlite))
        raise ConfigurationError(
            f"DBOS needs SQLite 3.42 or later from Python 3.12 on, and this one has {found}: "
            "use Python 3.11, a newer SQLite, or PostgreSQL"
        )
    return url


def _is_readable(url: str) -> bool:
    try:
        address = sa.make_url(url)
    except (exc.ArgumentError, ValueError):  # ValueError: a port that is no number, or no text
        return False
    kind, _, driver = address.drivername.partition("+")
    path = address.database or ""
    if kind == "sqlite":
        # Each connection to a database in memory would see another one.
        return driver in {"", "pysqlite"} and path not in {"", ":memory:"} and "\0" not in path
    return kind in {"postgresql", "postgres", "cockroachdb"}


def with_time_limits(url: str) -> str:
    """Return a PostgreSQL URL with time limits for a silent network, unless it has its own."""
    address = sa.make_url(url)
    if address.drivername.startswith("sqlite"):
        return url
    limits = {name: value for name, value in _LIMITS.items() if name not in address.query}
    return address.update_query_dict(limits).render_as_string(hide_password=False)


class Database:
    """Calls a DBOSClient in threads, a few at a time.

    Args:
        url: The URL of the database.
        application: DBOS's name for the application.
        patience: Seconds for which a call is repeated in an outage.

    """

    def __init__(self, url: str, application: str, *, patience: float = 30.0) -> None:
        self._url = url
        self._application = application
        self._patience = patience
        self._call_slots = asyncio.Semaphore(_MAX_CALLS)
        self.client: DBOSClient

    async def open(self, *, migrate: bool) -> None:
        """Connect to the database, without retries.

        Args:
            migrate: Whether to create or update DBOS's tables first.

        Raises:
            DatabaseUnavailableError: The database cannot be reached, or does not answer.
            ConfigurationError: The database refuses the connection or a statement.

        """

        def connect() -> DBOSClient:
            if migrate:
                DBOS.migrate(self._url)
            return DBOSClient(
                system_database_url=self._url,
                application_name=self._application,
                retry_connection_errors=False,  # else it retries without end
            )

        try:
            self.client = await in_thread(connect)
        except exc.SQLAlchemyError as error:
            raise translated(error) from error

    async def close(self) -> None:
        """Close the connections."""
        await in_thread(self.client.destroy)

    async def call(self, function: Callable[[DBOSClient], T]) -> T:
        """Call a function and return its result; repeat it while the database is unavailable.

        When cancelled, a call in flight is awaited for five seconds. By then it has taken effect or
        never will, unless the database hangs.

        Args:
            function: Called with the DBOSClient; it may take effect twice, if the database's answer
                to the first call is lost.

        Raises:
            DatabaseUnavailableError: The outage lasts longer than ``patience``.
            ConfigurationError: The database refuses a statement.

        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        gap = _PAUSES.initial
        while True:
            try:
                return await self.attempt(function, within=deadline - loop.time())
            except DatabaseUnavailableError as error:
                if loop.time() + gap >= deadline:
                    raise
                if gap == _PAUSES.initial:
                    _log.warning("%s; repeating for %g s", error, self._patience)
            await asyncio.sleep(gap)
            gap = _PAUSES.next_gap(gap)

    async def attempt(
        self, function: Callable[[DBOSClient], T], *, within: float | None = None
    ) -> T:
        """Call a function once and return its result.

        Args:
            function: Called with the DBOSClient.
            within: Seconds that the call may take, by default ``patience``.

        Raises:
            DatabaseUnavailableError: The database cannot be reached, or does not answer.
            ConfigurationError: The database refuses a statement.

        """
        within = self._patience if within is None else within
        try:
            async with asyncio.timeout(within) as limit:
                await self._call_slots.acquire()
                calling = in_thread(lambda: function(self.client), ended=self._call_slots.release)
                try:
                    return await asyncio.shield(calling)
                except asyncio.CancelledError:
                    await asyncio.wait([calling], timeout=_CANCEL_WAIT)
                    raise
        except exc.SQLAlchemyError as error:
            raise translated(error) from error
        except TimeoutError:
            if not limit.expired():
                raise
            raise DatabaseUnavailableError(f"no answer in {within:.0f} s") from None
