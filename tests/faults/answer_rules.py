"""Expected outcome of each cell that is about answers, written by hand, as in ``rules``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.columns import NEVER, STREAMS, Answers, File

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.columns import Column

    Rule = Callable[..., str]

_ATTEMPTS = 4  # to make a connection that is refused each time

# What a storage's 408, and its page, are worth: another attempt.
_PASSING = frozenset({"408", "HTML with 200", "wrong content type"})
_LINKLESS = "host name unknown"  # the links of the storage hold an address
_UNMADE = frozenset({"connection refused", "TLS certificate untrusted"})
_BOMB = "gzip bomb"
_CUT = "body cut"

_ONCE_MORE = "whole (2)"
_TWICE_MORE = "whole (3)"
_AS_IT_CAME = "as it came (1)"
_UNREADABLE = "DecodeError (1)"

# By the fault: a file that is stored. Its rows differ where some had come by then, and either the
# file cannot be resumed, or the fault is of its content.
_FILES = {
    "cut before the body": _ONCE_MORE,
    "cut in the first record": _ONCE_MORE,
    "cut after two records": _ONCE_MORE,
    "cut after two records, no ETag": _ONCE_MORE,
    "cut, ranges ignored": _ONCE_MORE,
    "cut, then another ETag": _TWICE_MORE,
    "cut, then another part": _TWICE_MORE,
    "cut, then 416": _TWICE_MORE,
    "cut, then expired": _TWICE_MORE,
    "cut, then 403": "PermissionDeniedError (2)",
    "cut, then 404": "NotFoundError (2)",
    "cut, then 429": _TWICE_MORE,
    "cut, then 503": _TWICE_MORE,
    "cut, then redirect": "APIStatusError (2)",
    "cut, then HTML with 200": _TWICE_MORE,
    "cut, then connection reset": _TWICE_MORE,
    "expired link": _ONCE_MORE,
    "416": "APIStatusError (1)",
    "a part, unasked": _ONCE_MORE,
    "no length": _ONCE_MORE,
    "slow": "whole (1)",
    "still from the head on": _ONCE_MORE,
    "still after two records": _ONCE_MORE,
    "endless record": NEVER,
    "malformed": _AS_IT_CAME,
    "malformed after two records": _AS_IT_CAME,
}
_OF_ROWS = {
    "cut after two records, no ETag": "ConnectionLostError after 1 (2)",
    "cut, ranges ignored": "ConnectionLostError after 1 (2)",
    "cut, then another ETag": "ConnectionLostError after 1 (3)",
    "cut, then another part": "ConnectionLostError after 1 (3)",
    "cut, then 416": "ConnectionLostError after 1 (3)",
    "cut, then 403": "PermissionDeniedError after 1 (2)",
    "cut, then 404": "NotFoundError after 1 (2)",
    "cut, then redirect": "APIStatusError after 1 (2)",
    "endless record": _UNREADABLE,
    "malformed": _UNREADABLE,
    "malformed after two records": "DecodeError after 1 (1)",
}
_OF_RESPONSES = {
    "cut before the body": "all (2)",
    "cut in the first record": "all (2)",
    "cut after two records": "ConnectionLostError after 2 (1)",
    "cut after two records, no ETag": "ConnectionLostError after 2 (1)",
    "no length": "all (1)",
    "slow": "all (1)",
    "still from the head on": "all (2)",
    "still after two records": "RequestTimeoutError after 2 (1)",
    "endless record": _UNREADABLE,
    "malformed": _UNREADABLE,
    "malformed after two records": "DecodeError after 2 (1)",
}
_OF_EXPORTS = {
    **dict.fromkeys(_OF_RESPONSES, "all (2)"),
    "no length": "all (1)",
    "endless record": _UNREADABLE,
    "malformed": _UNREADABLE,
    "malformed after two records": _UNREADABLE,
}


def expected_of_streams(name: str, column: Column) -> str:
    """Return the expected outcome of a fault of a response's body."""
    assert column in STREAMS
    match column:
        case Answers.RESPONSES:
            return _OF_RESPONSES.get(name, NEVER)
        case Answers.EXPORTS:
            return _OF_EXPORTS.get(name, NEVER)
        case File.ROWS:
            return _OF_ROWS.get(name) or _FILES[name].replace("whole", "all")
        case _:
            return _FILES[name]


def expected_of_file(name: str, column: File, get: str, error: str) -> str:
    """Return the expected outcome of a download.

    Args:
        name: The fault.
        column: The file.
        get: The outcome of a GET that the fault hits once.
        error: The error that the fault is.

    """
    whole = "all" if column in (File.ROWS_LINK, File.ROWS) else "whole"
    if column.is_link:
        return get.replace("all", whole)
    if name == _LINKLESS:
        return NEVER
    if name in _UNMADE:
        return f"{error} ({_ATTEMPTS})"
    if name == _BOMB:
        return _UNREADABLE if column is File.ROWS else _AS_IT_CAME
    return f"{whole} (2)" if name in _PASSING else get.replace("all", whole)
