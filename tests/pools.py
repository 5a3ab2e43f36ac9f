"""Errors that are raised in worker processes, printed by the first process as JSON lines.

Run as a program of its own, since a process that has threads should not be forked.
"""

import json
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NoReturn

from prolific_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    DecodeError,
    OutcomeUnknownError,
    ProlificError,
    RequestTimeoutError,
    WaitFailedError,
    WaitTimeoutError,
)

PATH = "/api/v1/data-collection/batches/b-1"
REFUSED = AuthenticationError(401, "GET", PATH, None, None, None, "", None, {})
LATE = RequestTimeoutError("POST", PATH, "30 s were allowed")


def errors() -> list[ProlificError]:
    """Return an error of each class, all but the last with a failure."""
    return [
        WaitFailedError("b-1", None, 1.0, 2, (), REFUSED),
        WaitTimeoutError("b-1", None, 1.0, 2, (), LATE),
        OutcomeUnknownError("POST", PATH, failure=LATE),
        DecodeError(("$.id: it is missing",), {}, "GET", PATH),
        ConnectError("GET", PATH, "refused"),
        ConfigurationError("closed"),
        WaitFailedError("b-1", None, 1.0, 2, ()),
    ]


def fail(number: int, *, grouped: bool = False) -> NoReturn:
    error = errors()[number]
    error.add_note("a note")
    cause = error.failure or (REFUSED if isinstance(error, WaitFailedError) else OSError("below"))
    try:
        raise error from cause
    except ProlificError as raised:
        if grouped:
            raise ExceptionGroup("several", [raised]) from None
        raise


def told(error: BaseException | None) -> dict[str, Any]:
    if isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, ProlificError)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    return {
        "type": type(error).__name__,
        "text": str(error),
        "failure": None if error.failure is None else str(error.failure),
        "notes": error.__notes__,
        "cause": type(error.__cause__).__name__,
    }


def main() -> None:
    for method in sys.argv[1:]:
        context: Any = multiprocessing.get_context(method)
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            for number in range(len(errors())):
                print(json.dumps(told(executor.submit(fail, number).exception())))  # noqa: T201 - read by a test
            grouped = executor.submit(fail, 0, grouped=True)
            print(json.dumps(told(grouped.exception())))  # noqa: T201 - as above
        with context.Pool(1) as pool:
            try:
                pool.apply(fail, (0,))
            except ProlificError as error:
                print(json.dumps(told(error)))  # noqa: T201 - as above


if __name__ == "__main__":
    main()
