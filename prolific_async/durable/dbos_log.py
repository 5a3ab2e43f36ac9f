"""DBOS's log while a worker runs: fewer warnings, and no handler that can end DBOS's threads."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dbos
from dbos import error as dbos_error

from prolific_async.durable.order_spec import NAME, is_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prolific_async.durable.running_orders import RunningOrders

_REPEAT_AFTER = 60.0  # seconds in which each line of DBOS's code may report an outage once
_CANCELLED = re.compile(rf"Workflow {re.escape(NAME)}:.* was cancelled during execution", re.DOTALL)
_OUTAGE = re.compile("OperationalError|connection")
_DBOS = str(Path(dbos.__file__).parent)  # applications use DBOS's logger, too
_STDERR_HANDLER = logging.Handler()  # its ``handleError`` prints the current exception


class QuietDBOS(logging.Filter):
    """Drops DBOS's warnings of orders stopped on purpose, and repeated warnings of an outage.

    In an outage each of DBOS's threads warns whenever it looks for work.
    """

    def __init__(self, orders: RunningOrders) -> None:
        super().__init__()
        self._orders = orders
        self._shown: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to show a record."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the handlers report it
            return True
        if _reports_cancelled_order(record, message):
            return False
        if message.startswith("Asyncio task cancelled"):
            # Logged in the task that was cancelled; the application's own workflows are shown.
            return not self._orders.runs_in(asyncio.current_task())
        if not record.pathname.startswith(_DBOS) or not _OUTAGE.search(message):
            return True
        line = record.pathname, record.lineno
        now = time.monotonic()
        if now - self._shown.get(line, -_REPEAT_AFTER) < _REPEAT_AFTER:
            return False
        self._shown[line] = now
        return True


def _reports_cancelled_order(record: logging.LogRecord, message: str) -> bool:
    """Return whether a record is DBOS's report that ``Order.cancel`` has ended an order."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, dbos_error.DBOSAwaitedWorkflowCancelledError):
        return is_order(error.workflow_id)
    return bool(_CANCELLED.match(message))


@contextmanager
def quiet_dbos(orders: RunningOrders) -> Iterator[None]:
    """Filter DBOS's log, and keep exceptions of its handlers out of DBOS's threads."""
    logger = logging.getLogger("dbos")
    wanted = QuietDBOS(orders)
    logger.addFilter(wanted)
    vars(logger)["handle"] = _without_handler_errors(logger.handle)
    try:
        yield
    finally:
        del vars(logger)["handle"]
        logger.removeFilter(wanted)


def _without_handler_errors(
    handle: Callable[[logging.LogRecord], None],
) -> Callable[[logging.LogRecord], None]:
    def safely(record: logging.LogRecord) -> None:
        try:
            handle(record)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - nothing restarts the threads in which DBOS logs
            _STDERR_HANDLER.handleError(record)

    return safely
