"""Random inputs near the valid ones, for use without atheris."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

WORDS = (
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u00e9", b"\\ud800", b"\x1e", b"\n"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0", b"0.5", b"9" * 4301, b"7"),
    *(b'"id"', b'"status"', b'"results"', b'"READY"', b'"ERROR"', b'"datasets"', b'"extra"'),
    *(b'"error"', b'"detail"', b'"issues"', b'"_links"', b'"href"', b"http://[", b"?a=b", b"%"),
    *(b"t0ken-of/nobody", b"GMT", b"-0000", b"+2359", b"9999", b"Mon, ", b"\xef\xbb\xbf", b"\xff"),
    *(b"[" * 129, b"]" * 129, b'{"a":' * 129, b"\xe2\x80\xa8", b"\0", b"\xed\xa0\x80"),
)


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Change a valid input at a few places, or at none."""
    data = chance.choice(seeds)
    for _ in range(chance.choice((0, 1, 1, 2, 4, 8))):
        data = chance.choice(_WAYS)(data, seeds, chance)
    return data


def _cut(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    return data[:start] + data[end:]


def _end(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _flip(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def _word(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.choice(WORDS) + data[at + chance.randint(0, 6) :]


def _value(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """Replace the value between two marks of JSON."""
    marks = [at for at, byte in enumerate(data) if byte in b'{}[]:,"']
    if len(marks) < 2:
        return data
    at = chance.randrange(len(marks) - 1)
    return data[: marks[at] + 1] + chance.choice(WORDS) + data[marks[at + 1] :]


def _twice(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    return data[:end] + data[start:end] * chance.choice((1, 1, 30)) + data[end:]


def _splice(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    other = chance.choice(seeds)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


_WAYS: tuple[Callable[[bytes, Sequence[bytes], random.Random], bytes], ...] = (
    _cut,
    _end,
    _flip,
    _word,
    _value,
    _value,
    _twice,
    _splice,
)
