"""Logger of the package, ``log``: an error in a handler or filter breaks no call and no wait."""

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
    """A logger that prints the errors of its handlers and filters instead of raising them."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a record; if that raises, print the error to stderr as ``logging`` does."""
        try:
            # One frame further up, so that the record names the caller's line and not this one.
            self.logger.log(level, msg, *args, stacklevel=2, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - logging must not end what it reports on
            print_exception()


def print_exception() -> None:
    """Print the current exception to stderr, unless ``logging.raiseExceptions`` is off."""
    if logging.raiseExceptions and sys.stderr is not None:
        with suppress(Exception):
            traceback.print_exc()


log = _SafeLog(logging.getLogger("prolific_async"), None)
