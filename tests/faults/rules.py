"""Expected outcome of each cell of the fault matrix, written by hand.

Nothing here asks the client or knows how a fault is made: these are the promises a second time, so
that a change of either shows as a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.columns import GAP, NEVER, SET_UP, Call, Position, Sharing

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

_ERRORS = {**_FATAL, **_NOT_YET, **_REFUSED, **_UNSENT, **_BROKEN, **_ODD}


def expected(name: str, column: Column) -> str:
    """Return the expected outcome of a cell."""
    match column:
        case Call.ONCE | Call.ALWAYS:
            return _get(name, hits=1 if column is Call.ONCE else _ATTEMPTS)
        case Call.DUPLICATE_LOST:
            return _lost(name, "the copy", "OutcomeUnknownError (1)")
        case Call.SETUP_LOST:
            return _lost(name, "accepted", "accepted (2)")
        case Call.DUPLICATE_APPLIED | Call.SETUP_APPLIED:
            success = "the copy (1)" if column is Call.DUPLICATE_APPLIED else "accepted (1)"
            return success if name in _BROKEN | _ODD | _HARMLESS else NEVER
        case (Position.LAST, sharing):
            return _last(name, sharing)
        case (position, sharing):
            return _early(name, position, sharing)


def _get(name: str, hits: int) -> str:
    if name in _HARMLESS:
        return f"{_HARMLESS[name]} (1)"
    if name == _TOO_LONG or name not in _REFUSED | _UNSENT | _BROKEN:
        return f"{_ERRORS[name]} (1)"
    return f"{_ERRORS[name]} ({_ATTEMPTS})" if hits == _ATTEMPTS else f"PROCESSING ({hits + 1})"


def _lost(name: str, success: str, unknown: str) -> str:
    """Return the expected outcome of a lost POST that was not applied."""
    if name in _HARMLESS:
        return NEVER
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
