"""Decoding of request bodies."""

from typing import Any

import pytest

from prolific_async.simulator import OmittedBody
from prolific_async.simulator.request_body import MAX_BODY, Body


@pytest.mark.parametrize(
    ("raw", "content"),
    [
        (b"{}", {}),
        (b'{"a": 1}', {"a": 1}),
        (b' [1, 2.5, null, true, "\xc3\xa9"] ', [1, 2.5, None, True, "é"]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'"\\ud800"', "\ud800"),
        (b"null", None),
    ],
)
def test_json_is_decoded(raw: bytes, content: Any) -> None:
    assert Body.decode(raw) == Body(len(raw), is_json=True, content=content)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"{", "{"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"[" * 200_000, "[" * 200_000),
        (b'{"a":' * 50_000, '{"a":' * 50_000),
        (b"NaN", "NaN"),
        (b'{"a": [-Infinity]}', '{"a": [-Infinity]}'),
        (b"9" * 5000, "9" * 5000),
        ('{"name": "é"}'.encode("latin-1"), '{"name": "\N{REPLACEMENT CHARACTER}"}'),
        ("[]".encode("utf-16-le"), "[\0]\0"),
        ("[]".encode("utf-8-sig"), "\ufeff[]"),
        (b"\xed\xa0\x80", "\N{REPLACEMENT CHARACTER}" * 3),
    ],
)
def test_other_bodies_are_text(raw: bytes, text: str) -> None:
    assert Body.decode(raw) == Body(len(raw), is_json=False, content=text)


def test_no_body_is_none() -> None:
    assert Body.decode(b"") == Body(0, is_json=False, content=None)


def test_only_the_size_of_a_long_body_is_kept() -> None:
    size = MAX_BODY + 1
    assert Body.omit(size) == Body(size, is_json=False, content=OmittedBody(size))
