"""Serves prepared answers to two batches, from a process of its own.

One batch has as many as is asked for, the other a few, with which the clients are checked.
"""

import csv
import html
import io
import json
import pickle
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import attrs

from benchmarks.static_server import server_process

BATCH, SMALL = "018f2b7e-7d3c-7a10-9c55-2f1b6f0c9a41", "018f2b7e-7d3c-7a10-9c55-2f1b6f0c9a42"
EXPORT = "018f2b7e-7d3c-7a10-9c55-2f1b6f0c9a43"
MIB = 1 << 20
ANNOTATORS = 2
ESCAPED = "/escaped"
"""Below it, each row of a report has seven entities of HTML, in as many cells."""

_INSTRUCTION = "5c1d3f6a-0b7e-4c9d-8a2f-1e6b9d0c4f70"
_TEXT = "The left one reads better. "
_BLOCK = random.Random(1).randbytes(MIB)


@attrs.frozen
class Amounts:
    """The number of responses, rows of the report and bytes of the export."""

    responses: int
    rows: int
    export: int


FEW = Amounts(responses=300, rows=300, export=3 * MIB)


def participant(number: int) -> str:
    return f"{number % 997:024x}"


def moment(number: int) -> str:
    return f"2026-11-{1 + number % 28:02}T10:{number % 60:02}:00.{100_001 + number % 899_999}Z"


def answer(number: int) -> tuple[str, list[dict[str, Any]]]:
    """Return a type and the answers: a text of one or two sentences, or one or two choices."""
    if number % 3 == 0:
        return "free_text", [{"value": _TEXT * (1 + number // 3 % 2)}]
    return "multiple_choice", [{"value": value} for value in ("left", "neither")[: number % 3]]


def response(number: int) -> dict[str, Any]:
    kind, answers = answer(number)
    return {
        "id": f"5c1d3f6a-0b7e-4c9d-8a2f-{number:012x}",
        "created_at": moment(number),
        "batch_id": BATCH,
        "participant_id": participant(number),
        "task_id": f"7e9a1c4d-2f6b-4d8e-9b3c-{number // 3:012x}",
        "response": {"instruction_id": _INSTRUCTION, "type": kind, "answer": answers},
        "submission_id": f"{number // 20:024x}",
        "metadata": {"META_ROW_KEY": f"row-{number // 3}"},
    }


def responses(count: int) -> Iterator[bytes]:
    """Yield parts of a list of responses in JSON without spaces, as the service writes it."""
    yield b'{"results":['
    for number in range(count):
        comma = b"," if number else b""
        yield comma + json.dumps(response(number), separators=(",", ":")).encode()
    yield b'],"meta":{"count":%d}}' % count


def report(count: int, *, escaped: bool = False) -> bytes:
    """Return a report as the service writes it: every cell quoted, its texts escaped."""
    text = io.StringIO(newline="")
    records = _report_records(count)
    written = map(_with_entities, range(-1, count), records) if escaped else records
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(written)
    return text.getvalue().removesuffix("\r\n").encode()


def _report_records(count: int) -> Iterable[list[str]]:
    fixed = ["DataPoint_ID", "Task_Group_ID", "Task_Type", "Question"]
    own = ["prompt", "a", "b", "model", "note", "META_ROW_KEY"]
    slots = range(1, ANNOTATORS + 1)
    parts = ("ID", "Response", "Timestamp")
    yield [*fixed, *own, *(f"Annotator{slot}_{part}" for slot in slots for part in parts)]
    for number in range(count):
        cells = [
            f"7e9a1c4d-2f6b-4d8e-9b3c-{number:012x}",
            f"{number // 20:024x}",
            answer(number)[0],
            "Which summary is better, and why?",
            f"Which of the {number} summaries is better, and why?",
            f"https://example.org/images/{number}.png",
            f"https://example.org/images/{number}-b.png",
            "a model",
            "" if number % 3 else html.escape('They said "no", and\nleft & right: déjà vu'),
            f"row-{number}",
        ]
        for slot in slots:
            values = (each["value"] for each in answer(number + slot)[1])
            cells += [participant(number + slot), ", ".join(values), moment(number + slot)]
        yield cells


def _with_entities(number: int, cells: list[str]) -> list[str]:
    """Replace the texts of a record, whose number is -1 if it is the header."""
    if number >= 0:
        texts = ["Which don't you like?", f"{number} & {number + 1}", f"a > {number}"]
        cells[3:9] = map(html.escape, [*texts, f"b < {number}", "Q&A", ""])
        cells[11], cells[14] = map(html.escape, (f'"{number}', "It's the left one."))
    return cells


def bodies(batch: str, amounts: Amounts, url: str) -> dict[str, tuple[str, list[bytes]]]:
    """Return the media type and the parts of each body, by its path."""
    api, storage = f"/api/v1/data-collection/batches/{batch}", f"/storage/{batch}"
    link = {"status": "complete", "http_method": "GET"}
    whole = {
        f"{api}/export": {"status": "generating", "export_id": EXPORT},
        f"{api}/export/{EXPORT}": link | {"url": f"{url}{storage}.zip"},
        f"{api}/report/": link | {"url": f"{url}{storage}.csv"},
        f"{ESCAPED}{api}/report/": link | {"url": f"{url}{ESCAPED}{storage}.csv"},
    }
    return {
        f"{api}/responses": ("application/json", [b"".join(responses(amounts.responses))]),
        f"{storage}.csv": ("text/csv", [report(amounts.rows)]),
        f"{ESCAPED}{storage}.csv": ("text/csv", [report(amounts.rows, escaped=True)]),
        f"{storage}.zip": ("application/zip", [_BLOCK] * (amounts.export // MIB)),
        **{path: ("application/json", [json.dumps(one).encode()]) for path, one in whole.items()},
    }


class Handler(BaseHTTPRequestHandler):
    """Sends the body of a path; a thread of its own for each connection."""

    bodies: dict[str, tuple[str, list[bytes]]]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        media_type, parts = self.bodies.get(self.path, ("application/json", []))
        self.send_response(200 if parts else 404)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(sum(map(len, parts))))
        self.end_headers()
        for part in parts:
            self.wfile.write(part)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving_answers(amounts: Amounts) -> Iterator[str]:
    """Serve the answers from another process; yield the base URL."""
    with server_process("benchmarks.answers_server", attrs.astuple(amounts)) as server:
        yield server.url


def main() -> None:
    amounts = Amounts(*pickle.load(sys.stdin.buffer))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        url = f"http://127.0.0.1:{server.server_port}"
        Handler.bodies = bodies(SMALL, FEW, url) | bodies(BATCH, amounts, url)
        Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        # The parent holds the other end of the pipe, so this ends with it, however it ends.
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
