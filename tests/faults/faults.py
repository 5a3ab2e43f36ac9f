"""Rows of the fault matrix: what the service or the network does to a request.

The simulator makes the faults of whole responses. Faults below them are made by the way that the
connection takes, or by a change of the response's bytes: see ``stage``.
"""

from __future__ import annotations

import gzip
import re
from enum import Enum, auto
from functools import cache, partial
from typing import TYPE_CHECKING

from attrs import frozen

from prolific_async.simulator import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LATER = 1e6  # seconds: the client has long given up
_MEBIBYTE = 1024 * 1024


class Way(Enum):
    """Where the connection of a hit request goes."""

    THROUGH = auto()
    UNRESOLVED = auto()
    REFUSED = auto()
    UNTRUSTED = auto()  # to a server with an untrusted certificate


@frozen(kw_only=True)
class Row:
    """One fault.

    Attributes:
        lost: The response of a simulator that does not apply the request; None if it always does.
        applied: The response of a simulator that applies the request; None if it never does.
        way: Where the connection leads.
        change: Changes the bytes of the response, head and body, on its way back.
        pieces: Makes what is sent instead of the response: bytes, and seconds between them.
        then: The response to the request after the one that is hit.
        ignores_range: Whether requests for a part are answered with the whole.
        by_storage: Whether only a storage responds so.
        is_endless: Whether the response never ends.
        grace: Seconds for which a 404 counts as "not yet".

    """

    lost: Fault | None = None
    applied: Fault | None = None
    way: Way = Way.THROUGH
    change: Callable[[bytes], bytes] | None = None
    pieces: Callable[[bytes], Iterable[bytes | float]] | None = None
    then: Fault | None = None
    ignores_range: bool = False
    by_storage: bool = False
    is_endless: bool = False
    grace: float = 0.0

    @property
    def fault(self) -> Fault:
        """The simulator's fault for requests that cannot be applied."""
        return self.lost or self.applied or Fault()

    @property
    def is_of_files(self) -> bool:
        """Whether only a storage, which serves parts of files, can do this."""
        return self.then is not None or self.ignores_range or self.by_storage

    @property
    def is_relayed(self) -> bool:
        """Whether a proxy between client and simulator makes the fault."""
        return self.change is not None or self.pieces is not None

    def sent(self, answer: bytes) -> Iterable[bytes | float]:
        """Return what is sent instead of a response."""
        if self.pieces is not None:
            return self.pieces(answer)
        return [answer if self.change is None else self.change(answer)]

    @property
    def hangs(self) -> bool:
        return self.applied is not None and self.applied.delay > 0


def _refusal(status: int, retry_after: str | None = None, **more: str) -> Row:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Row(lost=Fault(status, headers=headers | more))


def _ambiguous(status: int, body: object = None, **headers: str) -> Row:
    """Respond in a way that does not show whether the request was applied."""
    spoilt = partial(Fault, status, body=body, headers=headers)
    return Row(lost=spoilt(), applied=spoilt(applied=True))


def _shown(status: bytes) -> Row:
    """Replace the status by another one of the same length, as Content-Length does not change."""
    pattern = re.compile(rb'"(PROCESSING|UNINITIALISED|processing|generating)"')
    return Row(
        applied=Fault(),
        change=lambda answer: pattern.sub(lambda match: status.ljust(len(match[0])), answer),
    )


@cache
def _bomb() -> bytes:
    """Return 70 KiB that decompress to more than the 64 MiB that a client reads."""
    return gzip.compress(bytes(_MEBIBYTE) * 65, compresslevel=9)


DATE = "Wed, 01 Jul 2026 12:00:{:02} GMT"

FAULTS: dict[str, Row] = {
    "401": _refusal(401),
    "403": _refusal(403),
    "404, early": Row(lost=Fault(404), grace=1000.0),
    "404, late": Row(lost=Fault(404)),
    "408": _ambiguous(408),
    "409": _refusal(409),
    "425": _refusal(425),
    "429, Retry-After 40": _refusal(429, "40"),
    "429, Retry-After a date": _refusal(429, DATE.format(40), Date=DATE.format(0)),
    "429, Retry-After a past date": _refusal(429, DATE.format(0), Date=DATE.format(40)),
    "429, Retry-After a day": _refusal(429, "86400"),
    "429, Retry-After garbage": _refusal(429, "soon"),
    "429": _refusal(429),
    "500": _ambiguous(500),
    "502": _ambiguous(502),
    "503": _ambiguous(503),
    "504": _ambiguous(504),
    "host name unknown": Row(lost=Fault(), way=Way.UNRESOLVED),
    "connection refused": Row(lost=Fault(), way=Way.REFUSED),
    "TLS certificate untrusted": Row(lost=Fault(), way=Way.UNTRUSTED),
    "connection reset": Row(lost=Fault(reset="before"), applied=Fault(reset="after")),
    "no answer in time": Row(lost=Fault(503, delay=_LATER), applied=Fault(delay=_LATER)),
    "header cut": Row(lost=Fault(503), applied=Fault(), change=lambda answer: answer[:30]),
    "body cut": Row(
        lost=Fault(body={"status": "PROCESSING"}),
        applied=Fault(),
        change=lambda answer: answer[:-1],
    ),
    "HTML with 200": _ambiguous(200, "<html>Welcome</html>", **{"Content-Type": "text/html"}),
    "wrong content type": Row(applied=Fault(headers={"Content-Type": "text/html"})),
    "gzip bomb": _ambiguous(200, _bomb(), **{"Content-Encoding": "gzip"}),
    "null status": _shown(b"null"),
    "unseen status": _shown(b'"SYNCING"'),
    "READY, then PROCESSING": _shown(b'"READY"'),
    "redirect": _refusal(302, Location="https://elsewhere.example/"),
}
"""By the name that the tables show, in their order."""
