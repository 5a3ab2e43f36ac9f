"""What of DBOS's log a worker keeps from the reader."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dbos

from prolific_async._logging import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prolific_async.durable.running_orders import RunningOrders

_ONCE_IN = 60.0  # seconds
_OUTAGE = re.compile("OperationalError|connection")
_DBOS = str(Path(dbos.__file__).parent)  # applications log by DBOS's logger, too


class QuietDBOS(logging.Filter):
    """Drops DBOS's warning of each workflow that stops to go on later, and repeats of outages.

    In an outage each of DBOS's threads warns at each search for work.
    """

    def __init__(self, work: RunningOrders) -> None:
        super().__init__()
        self._work = work
        self._shown: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is shown."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the handlers report it, and its caller goes on
            return True
        if message.startswith("Asyncio task cancelled"):
            # DBOS logs it in the task that was cancelled; an application's own are left alone.
            return not self._work.is_its(asyncio.current_task())
        if not record.pathname.startswith(_DBOS) or not _OUTAGE.search(message):
            return True
        line = record.pathname, record.lineno
        now = time.monotonic()
        if now - self._shown.get(line, -_ONCE_IN) < _ONCE_IN:
            return False
        self._shown[line] = now
        return True


@contextmanager
def quiet_dbos(work: RunningOrders) -> Iterator[None]:
    """Filter DBOS's log while a worker runs, and let no handler of it end a thread of DBOS's."""
    logger = logging.getLogger("dbos")
    wanted = QuietDBOS(work)
    logger.addFilter(wanted)
    vars(logger)["handle"] = _safely(logger.handle)
    try:
        yield
    finally:
        del vars(logger)["handle"]
        logger.removeFilter(wanted)


def _safely(handle: Callable[[logging.LogRecord], None]) -> Callable[[logging.LogRecord], None]:
    def safely(record: logging.LogRecord) -> None:
        try:
            handle(record)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - DBOS logs in threads that nothing starts again
            report()

    return safely
