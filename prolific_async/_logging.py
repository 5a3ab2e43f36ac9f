"""The package's log, whose handlers and filters can break no call and no wait."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class _SafeLog(_Adapter):
    """A logger that survives what handles its records."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a record; whatever that raises goes to stderr, as ``logging`` itself has it."""
        try:
            # One frame further, so that a record names the line that logs and not this one.
            self.logger.log(level, msg, *args, stacklevel=2, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - it must not end what a record only tells of
            report()


def report() -> None:
    """Print the exception that is handled to stderr, as ``logging`` does with its handlers'."""
    if logging.raiseExceptions and sys.stderr is not None:
        with suppress(Exception):
            traceback.print_exc()


log = _SafeLog(logging.getLogger("prolific_async"), None)
