"""The DBOS instance of a worker. A process can have only one, which may be the application's."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

import psycopg
import sqlalchemy as sa
from dbos import DBOS

from prolific_async.durable.stopped_orders import StoppedOrders
from prolific_async.errors import ConfigurationError
from prolific_async.extensions import log as _log

if TYPE_CHECKING:
    from dbos import DBOSConfig


class WorkerDBOS(DBOS):
    """The DBOS instance of this process while a worker runs; an application's has another class."""

    _is_in_use = False

    def __init__(self, **given: Any) -> None:
        # DBOS(...) returns the existing instance and would ignore the arguments.
        if self._is_in_use:
            raise ConfigurationError(
                "DBOS is one for each process, and here it belongs to DurableBatches.worker(): "
                "run the worker in a process of its own, or make no DBOS here and give worker() "
                "your settings as its config"
            )
        self.stopped_orders = StoppedOrders()
        self._connections: WeakSet[Any] = WeakSet()
        super().__init__(**given)

    @classmethod
    def make(cls, settings: DBOSConfig) -> Self:
        """Make the DBOS instance of this process.

        Raises:
            ConfigurationError: The application has made one already, which is left alone.

        """
        dbos: DBOS = cls(config=settings)
        if not isinstance(dbos, cls):
            raise ConfigurationError(
                "DBOS is one for each process, and the application has made it: run the worker in "
                "a process of its own (orders can still be given in this one), or make no DBOS "
                "here and give worker() your settings as its config"
            )
        dbos._is_in_use = True  # noqa: SLF001 - its own
        return dbos

    @property
    def _sys_db_field(self) -> Any:
        return self.__dict__.get("_workers_database")

    @_sys_db_field.setter
    def _sys_db_field(self, database: Any) -> None:
        # DBOS sets it at launch, before it starts a thread, and to None at the end.
        if database is not None:
            self.stopped_orders.watch(database)
            sa.event.listen(database.engine.pool, "connect", self._connected)
        self.__dict__["_workers_database"] = database

    def _connected(self, connection: Any, _record: object) -> None:
        if hasattr(connection, "fileno"):  # unlike SQLite's
            self._connections.add(connection)

    def running(self) -> set[str]:
        """Return the ids of the workflows that run in this process."""
        return set(self._active_workflows_set.activeList())

    def end(self, settings: DBOSConfig) -> None:
        """Destroy this DBOS instance, but not an instance that the application has made since."""
        # The instance of this process. If there is none, this makes one, which is destroyed below.
        current: DBOS = DBOS.__new__(type(self), config=settings)
        if current is not self:
            _log.error("the application destroyed the worker's DBOS; the work is left for later")
        if isinstance(current, WorkerDBOS):
            if current._sys_db_field is not None:  # noqa: SLF001 - its own
                current._sys_db_field._retry_connection_errors = False  # noqa: SLF001 - as above
            DBOS.destroy()
            for connection in list(self._connections):
                shut_down(connection)


def shut_down(connection: Any) -> None:
    """Shut a connection down, which frees a thread that waits for a server that hangs.

    Python would not exit before that thread ends. A closed connection is left alone.
    """
    with suppress(psycopg.OperationalError, OSError):
        if not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)
