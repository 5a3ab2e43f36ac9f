"""Targets about exports, links and the files behind them; no result may show a link."""

from __future__ import annotations

import io
import itertools
import json
import pickle
import re
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from multidict import CIMultiDict
from yarl import URL

from prolific_async import DecodeError, Export, ExportArchive, OutcomeUnknownError, ProlificError
from prolific_async._api.reports import report_url
from prolific_async._http import storage
from prolific_async._http.download import _RestartDownload, _Version
from prolific_async._http.presigned import PresignedUrl
from prolific_async._http.request import Request
from tests.fuzz.canned import BETWEEN, TOKEN, Canned, check_told, parts, run, verbs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prolific_async._http.transport import Transport

SECRET = "5ca1ab1e" * 8
_LINK = f"https://s.example/e.zip?X-Amz-Date=20260304&X-Amz-Signature={SECRET}"
_SERVICE = URL("https://api.example")
_GET = Request("GET", "/export/e1")
_STATUSES = (200, 206, 400, 401, 403, 404, 416, 429, 500, 503)

_DONE = json.dumps(
    {"status": "complete", "url": _LINK, "expires_at": "2026-03-04T05:16:07Z"}
).encode()
_JOB = b"""{"export_id": "e1", "status": "generating", "created_at": "2026-03-04T05:06:07.5Z",
"filter": {"study_id": "s1", "from": "2026-03-01T00:00:00Z", "to": null}, "news": [1]}"""
CREATED = (b'{"status": "generating", "export_id": "e1"}', _JOB, _DONE)
LISTS = (
    b"[" + _JOB + b"]",
    b'{"results": [' + _JOB + b", " + _DONE.replace(b'"url"', b'"export_id": "e2", "url"') + b"]}",
    b'{"results": null}',
)
LOST = tuple(BETWEEN.join([b"<", one]) for one in LISTS)
LINKS = (
    _DONE,
    _DONE.replace(b"expires_at", b"http_method").replace(b"2026-03-04T05:16:07Z", b"GET"),
    _DONE.replace(b"https://", b"https://a:b@"),
    _DONE.replace(b"s.example", b"[::1]:99999"),
    b'{"url": null}',
)
REFUSALS = tuple(
    bytes([place]) + body
    for place, body in enumerate(
        (
            b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
            f"<Error><Code>X</Code><Message>{_LINK}</Message></Error>".encode(),
            f"no: {_LINK.replace('&', '&amp;')}".encode(),
            _LINK[:-9].encode(),
            b"",
        )
    )
)
PARTS = (
    b'\x01ETag: "v1"\nContent-Range: bytes 50-99/100\nContent-Length: 50',
    b'\x00ETag: "v2"\nContent-Length: 100',
    b'\x00ETag: W/"v1"\nTransfer-Encoding: chunked',
    b"\x01Content-Range: bytes */100",
    b"\x00Content-Encoding: gzip",
)


def _zipped(compression: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("responses-by-submission.jsonl", '{"id": 1}\n\n{"id": "R\u00e9"}')
        archive.writestr("responses-by-task.jsonl", "5\n")
        archive.writestr("batch.json", '{"id": "b1"}')
        archive.writestr("files/x", "x")
    return file.getvalue()


ARCHIVES = (_zipped(zipfile.ZIP_STORED), _zipped(zipfile.ZIP_DEFLATED), b"")


def _check_hidden(data: bytes, *shown: Any) -> None:
    """Check that no text shows the link, which is in the data under its key."""
    if SECRET.encode() in data:
        for one in shown:
            told = repr(vars(one)) if isinstance(one, ProlificError) else repr(one)
            assert SECRET not in told + repr(pickle.dumps(one))


def exports(data: bytes) -> None:
    """The list of a batch's exports."""
    result = run(verbs(Canned(iter([data]))).exports("b1"))
    if isinstance(result, ProlificError):
        assert isinstance(result, DecodeError)
        return
    _check_exports(result)


def export(data: bytes) -> None:
    """The response to ``export``, and the list that is read if it is lost."""
    canned = Canned(parts(data, b"[]"), 202)
    result = run(verbs(canned).export("b1"))
    assert [one.method for one in canned.asked].count("POST") == 1
    if isinstance(result, ProlificError):
        assert isinstance(result, OutcomeUnknownError | DecodeError)
    else:
        _check_exports([result])


def _check_exports(found: Iterable[Export]) -> None:
    for one in found:
        assert one.batch_id == "b1"
        assert repr(one)
        assert Export.from_dict(one.to_dict()) == one
        assert not any("url" in key.lower() for key in one.to_dict())


def link(data: bytes) -> None:
    """The response that has the link to a report; the link is used as it is, or not at all."""
    result = run(report_url(cast("Transport", Canned(iter([data]))), "b1"))
    if isinstance(result, ProlificError):
        assert isinstance(result, DecodeError)
        _check_hidden(data, result)
        return
    text = json.loads(data.decode("utf-8-sig"))["url"]
    problem = result.problem(_SERVICE, key="url", methods=("GET",))
    if problem is None:
        sent = result.reveal().raw_path_qs
        assert sent in text or sent.startswith("/?") or sent == "/"
        assert result.reveal().origin().scheme == "https"
    else:
        check_told(DecodeError((problem,), None, "GET", "/report/"))
    assert repr(result) == "[presigned URL]"


def refusal(data: bytes) -> None:
    """The response with which a storage refuses a file."""
    status = _STATUSES[2 + data[0] % (len(_STATUSES) - 2)] if data else 403
    body = data[1:].replace(TOKEN.encode(), b"").decode(errors="replace")
    headers = {"Content-Type": "application/xml", "Server": body[:100]}
    error = storage.status_error(_GET, status, headers, body, PresignedUrl(_LINK, method="GET"))
    check_told(error)
    assert SECRET not in f"{error} {vars(error)}".lower()


def part(data: bytes) -> None:
    """Status and headers of a response to a request for the rest of a file."""
    status = _STATUSES[data[0] % 2] if data else 200
    lines = (line.partition(b":") for line in data[1:].split(b"\n"))
    headers = CIMultiDict(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape").strip())
        for name, _, value in lines
    )
    if not re.fullmatch("[0-9]{0,18}", headers.get("Content-Length", "")):
        return  # aiohttp refuses it
    for version in (_Version(), _Version('"v1"', 100, 50), _Version(None, 100, 50)):
        try:
            after = version.version_of_response(_GET, status, headers)
        except (DecodeError, _RestartDownload) as error:
            check_told(error)
            continue
        if status == 206:  # only the rest of the same file goes on
            assert after is version
            assert version.condition()["Range"] == "bytes=50-"
            assert headers["ETag"] == '"v1"'
            assert re.match("bytes 0*50-[0-9]+/0*100$", headers["Content-Range"])
        else:
            assert after.received == 0
            assert after.total is None or after.total >= 0


@cache
def _folder() -> Any:
    return tempfile.TemporaryDirectory()


def archive(data: bytes) -> None:
    """The bytes of an archive."""
    path = Path(_folder().name) / "x.zip"
    path.write_bytes(data)
    try:
        with ExportArchive(path) as opened:
            assert all(isinstance(name, str) for name in opened.names)
            reads: tuple[Callable[[], Iterable[Any]], ...] = (
                opened.submissions,
                opened.tasks,
                lambda: [opened.batch],
            )
            for read in reads:
                try:
                    assert all(isinstance(one, dict) for one in itertools.islice(read(), 1000))
                except DecodeError as error:
                    check_told(error)
    except DecodeError as error:
        check_told(error)
