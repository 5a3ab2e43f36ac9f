"""Buffer of JSON text that is read from left to right while more of it may arrive."""

from __future__ import annotations

import re
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from prolific_async._json.decoding import decode_at

if TYPE_CHECKING:
    import codecs
    from collections.abc import AsyncIterator, Generator

_SPACE = re.compile(r"[ \t\r\n]*")


# Matches at the position of an error of ``json`` if the text ends within a literal, a number or an
# escape, so that more text may complete it.
_UNFINISHED = re.compile(
    r"(?:t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?|-|\.|[eE][+-]?|u[0-9a-fA-F]{0,4})?\Z"
)

_NUMBERS = (int, float)
_ALWAYS_TRIED = 64 * 1024  # characters; decoding them takes less than 1 ms


class TruncatedJson(ValueError):  # noqa: N818 - internal, callers translate it
    """The text ends before the JSON value does."""

    def __init__(self) -> None:
        super().__init__("the response ended before its JSON was complete")


class TextBuffer:
    """JSON text, and the position up to which it was read.

    The generators yield None to ask for more text; the caller then calls ``fill``, which moves the
    unread text to the front. They return the position at which reading goes on.

    Attributes:
        text: The text that has arrived, without what was dropped by ``fill``.
        is_whole: Whether the end of the text has arrived.

    """

    __slots__ = ("_at", "_dropped", "is_whole", "text")

    def __init__(self, text: str, *, is_whole: bool) -> None:
        self.text = text
        self.is_whole = is_whole
        self._at = 0  # start of the unread text
        self._dropped = 0  # number of dropped characters, for messages

    async def fill(
        self, pieces: AsyncIterator[bytes], decoder: codecs.IncrementalDecoder, max_chars: int
    ) -> None:
        """Drop the text that was read; add pieces until the rest has doubled or has ``max_chars``.

        Doubling keeps a long value from being decoded anew for each small piece. Up to 64 Ki
        characters, a piece with "}" is the last one, as a value may end there: it would otherwise
        be delayed until more of the next value has arrived.

        Raises:
            TruncatedJson: The text ends within a character.
            ValueError: More than ``max_chars`` characters are unread, or a piece is not UTF-8.

        """
        unread = self.text[self._at :]
        if len(unread) > max_chars:
            raise ValueError(f"more than {max_chars} characters in one value")
        wanted = min(len(unread), max_chars - len(unread))
        self._dropped += self._at
        self._at = 0
        texts = [unread]
        size = len(unread)
        while not self.is_whole:
            piece = await anext(pieces, b"")
            self.is_whole = not piece
            texts.append(decoder.decode(piece))
            if self.is_whole and decoder.getstate()[0]:
                raise TruncatedJson  # within a character
            size += len(texts[-1])
            if size > len(unread) + wanted or (size <= _ALWAYS_TRIED and "}" in texts[-1]):
                break
        self.text = "".join(texts)

    def ask_for_more(self, at: int) -> Generator[None, None, int]:
        """Ask for more text to complete the value at a position; return its new position, 0."""
        self._at = at
        yield None
        return 0

    def space(self, at: int) -> Generator[None, None, int]:
        """Skip white space; return the position of the next character, or of the end."""
        while (end := skip(self.text, at)) == len(self.text) and not self.is_whole:
            at = yield from self.ask_for_more(at)
        return end

    def expect(self, at: int, what: str) -> Generator[None, None, int]:
        """Skip white space and the character ``what``, which must follow."""
        at = yield from self.space(at)
        self.check(at, what)
        return at + 1

    def check(self, at: int, what: str) -> None:
        """Raise ValueError unless the character ``what`` is at a position."""
        if self.text[at : at + 1] != what:
            if at == len(self.text) and self._dropped + at:
                raise TruncatedJson
            raise ValueError(f"{what} is missing at {self._dropped + at}")

    def value(self, at: int) -> tuple[Any, int] | None:
        """Decode the value at a position; return the value and its end, None if more is needed.

        Raises:
            TruncatedJson: The value is incomplete, and all text has arrived.
            ValueError: As ``decode_at``.

        """
        try:
            value, end = decode_at(self.text, at)
        except ValueError as error:
            if isinstance(error, JSONDecodeError) and not self._may_be_incomplete(error):
                raise ValueError(f"{error.msg} at {self._dropped + error.pos}") from None
            if not self.is_whole:
                return None
            if isinstance(error, JSONDecodeError):
                raise TruncatedJson from None
            raise
        # More digits, a fraction or an exponent may follow a number.
        if type(value) not in _NUMBERS or self.is_whole:
            return value, end
        return (value, end) if end < len(self.text) and self.text[end] not in ".eE" else None

    def _may_be_incomplete(self, error: JSONDecodeError) -> bool:
        """Return whether the error may be due to text that has not arrived yet."""
        # Such an error has the position of the string's start, not of the text's end.
        is_open = error.msg.startswith("Unterminated string")
        return is_open or _UNFINISHED.match(self.text, error.pos) is not None

    def whole_value(self, at: int) -> Generator[None, None, tuple[Any, int]]:
        """Decode the value at a position; return the value and its end."""
        while (decoded := self.value(at)) is None:
            at = yield from self.ask_for_more(at)
        return decoded


def skip(text: str, at: int) -> int:
    """Return the end of the white space at a position."""
    space = _SPACE.match(text, at)
    return space.end() if space else at
