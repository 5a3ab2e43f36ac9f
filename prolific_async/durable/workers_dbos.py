"""The DBOS of a worker. DBOS is one for each process, and the application may have made it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from dbos import DBOS

from prolific_async.errors import ConfigurationError

if TYPE_CHECKING:
    from dbos import DBOSConfig

_log = logging.getLogger("prolific_async")


class WorkersDBOS(DBOS):
    """The DBOS of this process while a worker runs; its class tells it from an application's."""

    _is_at_work = False

    def __init__(self, **given: Any) -> None:
        # DBOS(...) returns the instance that is there, and would ignore the arguments.
        if self._is_at_work:
            raise ConfigurationError(
                "DBOS is one for each process, and here it belongs to DurableBatches.worker(): "
                "run the worker in a process of its own, or make no DBOS here and give worker() "
                "your settings as its config"
            )
        super().__init__(**given)

    @classmethod
    def make(cls, settings: DBOSConfig) -> Self:
        """Make the DBOS of this process.

        Raises:
            ConfigurationError: The application has made it. It is left alone.

        """
        dbos: DBOS = cls(config=settings)
        if not isinstance(dbos, cls):
            raise ConfigurationError(
                "DBOS is one for each process, and the application has made it: run the worker in "
                "a process of its own (orders can still be given in this one), or make no DBOS "
                "here and give worker() your settings as its config"
            )
        dbos._is_at_work = True  # noqa: SLF001 - its own
        return dbos

    def end(self, settings: DBOSConfig) -> None:
        """Destroy it; one that the application has put in its place is left alone."""
        # Returns the DBOS of this process. If there is none, it makes one, to be destroyed at once.
        current: DBOS = DBOS.__new__(type(self), config=settings)
        if current is not self:
            _log.error("the application destroyed the worker's DBOS; the work is left for later")
        if isinstance(current, WorkersDBOS):
            DBOS.destroy()
