"""Expected outcome of each cell of the fault matrix, written by hand.

Nothing here asks the client or knows how a fault is made: these are the promises a second time, so
that a change of either shows as a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.answer_rules import expected_of_file, expected_of_streams
from tests.faults.columns import GAP, NEVER, SET_UP, Answers, Call, File, Position, Sharing
from tests.faults.streams import STREAM_FAULTS

if TYPE_CHECKING:
    from tests.faults.columns import Column

_ATTEMPTS = 4  # of a GET, the first one included
_TIMEOUT = 30.0  # seconds for one attempt

_UNHEARD = "no answer in time"
_GOES_BACK = "READY, then PROCESSING"
_HINTS = {"429, Retry-After 40": 40.0, "429, Retry-After a date": 40.0}
_TOO_LONG = "429, Retry-After a day"
_CAP = 60.0  # seconds of a Retry-After that are obeyed at most

# Faults whose response is still good, and the status that each shows.
_HARMLESS = {
    "wrong content type": "PROCESSING",
    "null status": "None",
    "unseen status": "SYNCING",
    _GOES_BACK: "READY",
}
# A batch whose status the list does not show is polled singly.
_TELLS_NOTHING = frozenset({"null status"})
# The same request would fail again, so a wait ends at once.
_FATAL = {
    "401": "AuthenticationError",
    "403": "PermissionDeniedError",
    "404, late": "NotFoundError",
    "409": "ConflictError",
    "redirect": "APIStatusError",
}
# A wait goes on, but a single GET is not repeated, and a POST has not run.
_NOT_YET = {"404, early": "NotFoundError", "425": "APIStatusError"}
# A wait goes on, and a single GET and a POST may be sent again: neither has run.
_REFUSED = {
    "429, Retry-After 40": "RateLimitedError",
    "429, Retry-After a date": "RateLimitedError",
    "429, Retry-After a past date": "RateLimitedError",
    _TOO_LONG: "RateLimitedError",
    "429, Retry-After garbage": "RateLimitedError",
    "429": "RateLimitedError",
}
_UNSENT = {
    "host name unknown": "ConnectError",
    "connection refused": "ConnectError",
    "TLS certificate untrusted": "ConnectError",
}
# A wait goes on, a single GET is repeated, and a POST may have run.
_BROKEN = {
    "500": "ServerError",
    "502": "ServerError",
    "503": "ServerError",
    "504": "ServerError",
    "connection reset": "ConnectionLostError",
    _UNHEARD: "RequestTimeoutError",
    "header cut": "ConnectionLostError",
    "body cut": "ConnectionLostError",
}
# A wait goes on, a single GET is not repeated, and a POST may have run.
_ODD = {"408": "APIStatusError", "HTML with 200": "DecodeError", "gzip bomb": "DecodeError"}

# A storage that says 200 is taken by its word, whatever comes after the header.
_BELIEVED = frozenset({"body cut", "gzip bomb"})

# A job has a status always, and READY is none of its own: these are as other faults.
_OF_JOBS = {"null status": "HTML with 200", _GOES_BACK: "unseen status"}

_ERRORS = {**_FATAL, **_NOT_YET, **_REFUSED, **_UNSENT, **_BROKEN, **_ODD}


def expected(name: str, column: Column) -> str:
    """Return the expected outcome of a cell."""
    if name in STREAM_FAULTS:
        return expected_of_streams(name, column)
    match column:
        case Call.ONCE | Call.ALWAYS:
            outcome = _get(name, hits=1 if column is Call.ONCE else _ATTEMPTS)
        case Call():
            outcome = _made(name, column)
        case Answers():
            outcome = _of_answers(name, column)
        case File():
            outcome = expected_of_file(name, column, _read(name), _ERRORS.get(name, ""))
        case (position, Sharing.IMPORT | Sharing.EXPORT as sharing):
            outcome = _job(_OF_JOBS.get(name, name), position, sharing)
        case (Position.LAST, sharing):
            outcome = _last(name, sharing)
        case (position, sharing):
            outcome = _early(name, position, sharing)
    return outcome


def _get(name: str, hits: int) -> str:
    if name in _HARMLESS:
        return f"{_HARMLESS[name]} (1)"
    if name == _TOO_LONG or name not in _REFUSED | _UNSENT | _BROKEN:
        return f"{_ERRORS[name]} (1)"
    return f"{_ERRORS[name]} ({_ATTEMPTS})" if hits == _ATTEMPTS else f"PROCESSING ({hits + 1})"


def _read(name: str) -> str:
    """Return the expected outcome of a GET that is hit once; "all" is a complete result."""
    if name in _HARMLESS:
        return "all (1)"
    return _get(name, hits=1).replace("PROCESSING", "all")


def _of_answers(name: str, column: Answers) -> str:
    """Return the expected outcome of a call about answers."""
    odd = f"{_ERRORS.get(name)} (1)"
    match column:
        case Answers.RESPONSES if name == "body cut":
            return "ConnectionLostError after 4 (1)"  # at the very end
        case Answers.RESPONSES | Answers.EXPORTS:
            return _read(name)
        case Answers.EXPORT_LOST:
            return _lost(name, "the export", "OutcomeUnknownError (1)")
        case Answers.EXPORT_APPLIED:
            return _applied(name, "the export (1)")
        case Answers.DELETE_LOST:
            return _lost(name, "deleted", "deleted (2)", odd)
        case _:
            odd = f"{_ERRORS.get(name)}, deleted (1)"
            return _applied(name, "deleted (1)", "deleted (2)", odd)


def _made(name: str, column: Call) -> str:
    """Return the expected outcome of a call that makes or changes something."""
    unknown = "OutcomeUnknownError (1)"
    match column:
        case Call.DUPLICATE_LOST:
            outcome = _lost(name, "the copy", unknown)
        case Call.DUPLICATE_APPLIED:
            outcome = _applied(name, "the copy (1)")
        case Call.SETUP_LOST:
            outcome = _lost(name, "accepted", "accepted (2)")
        case Call.SETUP_APPLIED:
            outcome = _applied(name, "accepted (1)")
        case Call.CREATE_LOST:
            outcome = _lost(name, "the batch", unknown)
        case Call.CREATE_APPLIED:
            outcome = _applied(name, "the batch (1)")
        case Call.DATASET_LOST:
            outcome = _lost(name, "the dataset", unknown)
        case Call.DATASET_APPLIED:
            outcome = _applied(name, "the dataset (1)", unknown)
        case Call.APPEND_LOST:
            odd = f"{_ERRORS.get(name)} (1)"
            outcome = "2 taken (2)" if name == "409" else _lost(name, "2 taken", "2 taken (2)", odd)
        case Call.APPEND_APPLIED:
            odd = f"{_ERRORS.get(name)} (1), 2 taken"
            outcome = _applied(name, "2 taken (1)", "2 taken (2)", odd)
        case Call.UPLOAD_LOST if name in _UNSENT:
            outcome = NEVER
        case Call.UPLOAD_LOST:
            by_its_word = name in _BELIEVED
            outcome = (
                "stored by its word (1)" if by_its_word else _lost(name, "stored", "stored (2)")
            )
        case _:
            # An answer without a body is cut in its header.
            again = "stored (1)" if name == "gzip bomb" else "stored (2)"
            outcome = _applied(name, "stored (1)", again)
    return outcome


def _applied(name: str, success: str, broken: str | None = None, odd: str | None = None) -> str:
    """Return the expected outcome of a lost POST that was applied."""
    if name in _HARMLESS:
        return success
    if name in _ODD and odd is not None:
        return odd
    return (broken or success) if name in _BROKEN | _ODD else NEVER


def _lost(name: str, success: str, unknown: str, odd: str | None = None) -> str:
    """Return the expected outcome of a lost POST that was not applied."""
    if name in _HARMLESS:
        return NEVER
    if name in _ODD and odd is not None:
        return odd
    if name in _BROKEN | _ODD:
        return unknown
    if name in _REFUSED | _UNSENT and name != _TOO_LONG:
        return f"{success} (2)"
    return f"{_ERRORS[name]} (1)"


def _early(name: str, position: Position, sharing: Sharing) -> str:
    """Return the expected end of a wait whose first or middle poll is hit."""
    hit = GAP * (position.value - 1)
    if sharing is Sharing.GROUP:
        # Whatever hits the list is no failure of any wait.
        if name == _GOES_BACK:
            return f"READY {_when(hit)}, by the list"
        if name in _REFUSED:
            return f"READY {_when(_ready(hit, _hint(name))[0])}, by the list"
        together = name in _HARMLESS.keys() - _TELLS_NOTHING
        return f"READY on time, {'by the list' if together else 'singly'}"
    if name in _FATAL:
        return f"WaitFailedError from {_FATAL[name]} ({position.value})"
    if name in _HARMLESS:
        return "READY on time (5)"
    heard = hit + (_TIMEOUT if name == _UNHEARD else 0.0)
    ready_at, later_polls = _ready(heard, _hint(name))
    requests = position.value + later_polls + 1  # the get of the batch that is READY
    return f"READY {_when(ready_at)} after {_ERRORS[name]} ({requests})"


def _job(name: str, position: Position, sharing: Sharing) -> str:
    """Return the expected end of a wait for a job."""
    alone = expected(name, (position, Sharing.ALONE))
    if sharing is Sharing.EXPORT and alone.startswith("READY"):  # nothing is read after it
        before, _, requests = alone.removesuffix(")").rpartition("(")
        alone = f"{before}({int(requests) - 1})"
    return alone.replace("READY", "complete")


def _last(name: str, sharing: Sharing) -> str:
    """Return the expected end of a wait whose last poll is hit; its setup takes longer."""
    if sharing is Sharing.GROUP:
        if name == _GOES_BACK:
            return "READY, by the list"
        together = name in (_HARMLESS | _REFUSED).keys() - _TELLS_NOTHING
        return f"WaitTimeoutError, {'by the list' if together else 'singly'}"
    if name in _FATAL:
        return f"WaitFailedError from {_FATAL[name]} (4)"
    if name in _HARMLESS:
        return f"WaitTimeoutError ({5 if name == _GOES_BACK else 4})"
    return f"WaitTimeoutError from {_ERRORS[name]} (4)"


def _hint(name: str) -> float:
    return _CAP if name == _TOO_LONG else _HINTS.get(name, 0.0)


def _ready(heard: float, hint: float) -> tuple[float, int]:
    """Return when READY is seen after a reported failure, and after how many polls."""
    at, polls = heard + max(GAP, hint), 1
    while at < SET_UP:
        at, polls = at + GAP, polls + 1
    return at, polls


def _when(ready_at: float) -> str:
    late = ready_at - 3 * GAP
    return f"{abs(late):.0f} s {'late' if late > 0 else 'early'}" if late else "on time"
