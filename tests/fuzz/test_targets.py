"""The fuzz targets for a few seconds: with documents from the schemas, random and huge ones."""

from __future__ import annotations

import json
import logging
import random
import sys
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.costs import cost_of
from tests.fuzz import __main__ as command
from tests.fuzz import strategies as sent
from tests.fuzz.canned import BETWEEN
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import BATCH, STATUSES, TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator

quickly = settings(max_examples=60)
codes = st.integers(0, len(STATUSES) - 1)


def written(document: Any, *, plain: bool = True) -> bytes:
    # Half a surrogate pair can only be written as an escape.
    return json.dumps(document, ensure_ascii=plain).encode("utf-8", "replace")


def either(documents: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return st.builds(written, documents | sent.nearly(documents), plain=st.booleans())


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable()  # a wait warns of each unseen status
    yield
    logging.disable(logging.NOTSET)


# --- from the schemas ------------------------------------------------------------------------


@given(either(sent.batches))
@quickly
def test_a_batch(body: bytes) -> None:
    TARGETS["get"].call(body)
    TARGETS["duplicate"].call(body)


@given(either(sent.statuses))
@quickly
def test_a_status(body: bytes) -> None:
    TARGETS["status"].call(body)


@given(st.lists(either(sent.lists), min_size=1, max_size=3))
@quickly
def test_lists(bodies: list[bytes]) -> None:
    TARGETS["pages"].call(BETWEEN.join(bodies))
    TARGETS["polls"].call(bodies[0])
    TARGETS["duplicate"].call(BETWEEN.join([b"cut", BATCH, bodies[0]]))


@given(codes, either(sent.errors), either(sent.statuses))
@quickly
def test_errors(code: int, body: bytes, status: bytes) -> None:
    TARGETS["error"].call(bytes([code]) + body)
    TARGETS["setup"].call(bytes([code]) + body + BETWEEN + status)


@given(st.lists(either(sent.statuses), max_size=6))
@quickly
def test_waits(bodies: list[bytes]) -> None:
    TARGETS["wait"].call(BETWEEN.join(bodies))


# --- by chance -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_near_the_valid_ones(name: str) -> None:
    target = TARGETS[name]
    chance = random.Random(name)
    for _ in range(400):
        data = mutated(target.seeds, chance)
        try:
            target.call(data)
        except BaseException as error:
            error.add_note(f"input: {data!r}")
            raise


# --- with huge inputs ------------------------------------------------------------------------

SIZE = 30_000
PIECES = {
    "arrays": b"[",
    "objects": b'{"a":',
    "closed": b"[]",
    "empty objects": b"{},",
    "items": b'{"id": 5, "status": []},',
    "spaces": b" ",
    "quotes": b'"',
    "backslashes": b"\\",
    "escapes": b"\\ud800",
    "digits": b"9",
    "fraction": b"0.",
    "words": b"Mon, ",
    "parts": BETWEEN,
    "halves of a token": b"t0ken-of",
    "not UTF-8": b"\xff",
    "zeros": b"\0",
}
FRAMES = {
    "alone": b"%s",
    "text": b'{"status": "%s", "detail": "%s", "id": "%s"}',
    "array": b'{"results": [%s 1], "datasets": [%s 1], "issues": [%s 1]}',
    "batch": BATCH.replace(b'"datasets":\n[', b'"datasets":\n[%s'),
    "news": BATCH.replace(b'"news": {}', b'"news": [%s []]'),
    "layout": BATCH.replace(b'"batch_items": [', b'"batch_items": [%s'),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_time_is_bounded(name: str) -> None:
    call = TARGETS[name].call
    for piece in PIECES.values():
        for frame in FRAMES.values():
            data = frame.replace(b"%s", piece * (SIZE // len(piece) // frame.count(b"%s")))
            assert cost_of(partial(call, data), 0.5) < 0.5, data[:200]


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_memory_is_bounded(name: str) -> None:
    call = TARGETS[name].call
    for piece, frame in (("items", "array"), ("empty objects", "batch"), ("closed", "layout")):
        text = FRAMES[frame]
        data = text.replace(b"%s", PIECES[piece] * (SIZE // len(PIECES[piece])))
        tracemalloc.start()
        try:
            call(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # An empty object of 3 bytes takes 72 in Python, and the target reads and copies it, too.
        assert peak < 200 * len(data), (piece, frame, peak / len(data))


def test_the_bound_of_depth_is_not_the_stack_of_the_caller() -> None:
    def below(frames: int, data: bytes) -> None:
        if frames:
            below(frames - 1, data)
        else:
            TARGETS["get"].call(data)
            TARGETS["error"].call(b"\x05" + data)

    for depth in (100, 127, 129, 300, 900):
        deep = b"[" * depth + b"]" * depth
        for document in (deep, BATCH.replace(b'"news": {}', b'"news": ' + deep)):
            below(sys.getrecursionlimit() // 3, document)


# --- the command -----------------------------------------------------------------------------


def test_an_unknown_target_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--target", "nothing"])
    assert caught.value.code == 2
    assert "polls" in capsys.readouterr().err


def test_without_atheris_the_command_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit):
        command.main(["--target", "polls"])
    assert ".[fuzz]" in capsys.readouterr().err
