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
from prolific_async.errors import ProlificError, WaitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prolific_async.durable.running_orders import RunningOrders

_REPEAT_AFTER = 60.0  # seconds in which each line of DBOS's code may report an outage once
_CANCELLED = re.compile(rf"Workflow {re.escape(NAME)}:.* was cancelled during execution", re.DOTALL)
_STOPPED = "Asyncio task cancelled"
_FAILED = "Exception encountered in asynchronous workflow"
_OUTAGE = re.compile("OperationalError|connection")
_DBOS = str(Path(dbos.__file__).parent)  # applications use DBOS's logger, too
_STDERR_HANDLER = logging.Handler()  # its ``handleError`` prints the current exception


class QuietDBOS(logging.Filter):
    """Drops DBOS's records of orders that were stopped on purpose or whose outcome is an error.

    Those of an outage are shown once a minute, as each of DBOS's threads warns whenever it looks
    for work. A record that is not recognised is shown.
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
        is_failure = message.startswith(_FAILED) and _is_outcome(_error_of(record))
        if is_failure or message.startswith(_STOPPED):
            return not self._runs_in_order()
        if not record.pathname.startswith(_DBOS) or not _OUTAGE.search(message):
            return True
        line = record.pathname, record.lineno
        now = time.monotonic()
        if now - self._shown.get(line, -_REPEAT_AFTER) < _REPEAT_AFTER:
            return False
        self._shown[line] = now
        return True

    def _runs_in_order(self) -> bool:
        """Return whether this is the task of an order: DBOS logs the end of a workflow in its task.

        An application's own workflow has another one.
        """
        try:
            return self._orders.runs_in(asyncio.current_task())
        except RuntimeError:  # not in an event loop
            return False


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _is_outcome(error: BaseException | None) -> bool:
    """Return whether an order's error is an ordinary outcome, which ``Order.result`` raises."""
    if isinstance(error, WaitError) and error.failure is not None:
        return isinstance(error.failure, ProlificError)  # else a bug has ended the wait
    return isinstance(error, ProlificError)


def _reports_cancelled_order(record: logging.LogRecord, message: str) -> bool:
    """Return whether a record is DBOS's report that ``Order.cancel`` has ended an order."""
    error = _error_of(record)
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
