"""More rows of the fault matrix: what happens to the body of a response, and after it.

They hit calls whose responses are read as they come, and one whose response is read whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prolific_async.simulator import Fault
from tests.faults.faults import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEAD_END = b"\r\n\r\n"
_RECORD_END = re.compile(rb'(?<=\}), (?=\{)|\r\n(?=")')
_PAUSE = 20.0  # seconds, shorter than request_timeout
_PIECES = 20
_LATER = 1e6  # seconds: the client has long given up
_EXPIRED = (
    b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message>"
    b"<Expires>2026-07-01T12:00:00Z</Expires></Error>"
)
_XML = {"Content-Type": "application/xml"}
_HTML = {"Content-Type": "text/html"}
_NO_MODEL = b'{"results": [{"id": 5, }, "'


def _split(answer: bytes, records: int) -> tuple[bytes, bytes]:
    """Split a response behind so many of its records, or within the first one.

    An archive, which has none, is split at as many eighths.
    """
    head, body = answer.split(_HEAD_END, 1)
    ends = [match.end() for match in _RECORD_END.finditer(body)]
    at = len(body) * records // 8
    if ends:
        at = ends[records - 1] if records else ends[0] // 2
    return head + _HEAD_END + body[:at], body[at:]


def _cut(records: int, then: Fault | None = None, *, ignores_range: bool = False) -> Row:
    """Cut a response behind so many of its records, or within the first one."""
    return Row(
        applied=Fault(),
        change=lambda answer: _split(answer, records)[0],
        then=then,
        ignores_range=ignores_range,
    )


def _changed(change: Callable[[bytes], bytes]) -> Row:
    return Row(applied=Fault(), change=change)


def _sent(pieces: Callable[[bytes], Iterator[bytes | float]]) -> Row:
    return Row(applied=Fault(), pieces=pieces)


def _head(answer: bytes) -> bytes:
    return answer.split(_HEAD_END, 1)[0] + _HEAD_END


def _without(header: bytes, answer: bytes) -> bytes:
    return re.sub(rb"(?i)\r\n%b:[^\r]*" % header, b"", answer, count=1)


def _slow(answer: bytes) -> Iterator[bytes | float]:
    head = _head(answer)
    yield head
    size = (len(answer) - len(head)) // _PIECES + 1
    for start in range(len(head), len(answer), size):
        yield _PAUSE
        yield answer[start : start + size]


def _standing(answer: bytes, records: int | None) -> Iterator[bytes | float]:
    yield _head(answer) if records is None else _split(answer, records)[0]
    yield _LATER


def _endless(answer: bytes) -> Iterator[bytes | float]:
    yield _without(b"content-length", _head(answer))[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    yield b'e\r\n{"results": ["\r\n'
    while True:
        yield b"10000\r\n%b\r\n" % (b"a" * 0x10000)


def _malformed(answer: bytes) -> bytes:
    head = _without(b"content-length", _head(answer))
    return head[:-2] + b"Content-Length: %d\r\n\r\n%b" % (len(_NO_MODEL), _NO_MODEL)


def _spoilt(answer: bytes) -> bytes:
    before, after = _split(answer, 2)
    return before + b"}" * len(after)


STREAM_FAULTS: dict[str, Row] = {
    "cut before the body": _changed(_head),
    "cut in the first record": _cut(0),
    "cut after two records": _cut(2),
    "cut after two records, no ETag": _changed(
        lambda answer: _without(b"etag", _split(answer, 2)[0])
    ),
    "cut, ranges ignored": _cut(2, ignores_range=True),
    "cut, then another ETag": _cut(2, Fault(headers={"ETag": '"another"'})),
    "cut, then another part": _cut(2, Fault(headers={"Content-Range": "bytes 1-2/3"})),
    "cut, then 416": _cut(2, Fault(416, body=b"<Error/>", headers=_XML)),
    "cut, then expired": _cut(2, Fault(403, body=_EXPIRED, headers=_XML)),
    "cut, then 403": _cut(2, Fault(403)),
    "cut, then 404": _cut(2, Fault(404)),
    "cut, then 429": _cut(2, Fault(429, headers={"Retry-After": "40"})),
    "cut, then 503": _cut(2, Fault(503)),
    "cut, then redirect": _cut(2, Fault(302, headers={"Location": "https://elsewhere.example/"})),
    "cut, then HTML with 200": _cut(2, Fault(200, body="<html></html>", headers=_HTML)),
    "cut, then connection reset": _cut(2, Fault(reset="before")),
    "expired link": Row(lost=Fault(403, body=_EXPIRED, headers=_XML), by_storage=True),
    "416": Row(lost=Fault(416), by_storage=True),
    "a part, unasked": Row(
        lost=Fault(206, body=b"{}", headers={"Content-Range": "bytes 0-1/999", "ETag": '"x"'}),
        by_storage=True,
    ),
    "no length": _changed(lambda answer: _without(b"content-length", answer)),
    "slow": _sent(_slow),
    "still from the head on": _sent(lambda answer: _standing(answer, None)),
    "still after two records": _sent(lambda answer: _standing(answer, 2)),
    "endless record": Row(applied=Fault(), pieces=_endless, is_endless=True),
    "malformed": _changed(_malformed),
    "malformed after two records": _changed(_spoilt),
}
"""By the name that the tables show, in their order."""
