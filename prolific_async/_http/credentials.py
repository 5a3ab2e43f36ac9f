"""The API token: where it is read, and how it is kept out of sight.

Loggers that print the local variables of a traceback (loguru, structlog, rich, Sentry) show every
frame that an error passes. So the token is text only inside of calls that are over by then.
"""

from __future__ import annotations

import os
from typing import NoReturn

VARIABLE = "PROLIFIC_TOKEN"
"""Of the environment: where the token is read."""

_NOT_READ = ("PROLIFIC_API_TOKEN", "PROLIFIC_API_KEY")  # other programs' names for it


class _Unseen(str):
    """Text that is sent unchanged, but hidden in its own repr and in that of the headers."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[token]'"


class Token:
    """A token whose repr hides it; ``reveal`` returns the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the token as text."""
        return self._text

    def authorization(self) -> str:
        """Return the value of the header ``Authorization``."""
        return _Unseen(f"Token {self._text}")

    def __repr__(self) -> str:
        return "[token]"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token cannot be pickled")


NO_TOKEN = Token("")
"""Stands for no token at all."""


def read_token(given: str | None) -> tuple[Token, str]:
    """Return the token, given or of the environment, and its problem, "" for none.

    Raises nothing, so that the caller can drop its own reference to the text before it does.
    """
    if given is None:
        text = os.environ.get(VARIABLE, "")
        in_code = "; in code, ProlificClient(token=…) does as well"
        return Token(text), _problem(text) if text.strip() else no_token() + in_code
    if given == "":
        return Token(given), f"the token given is empty; leave it out to have {VARIABLE} read"
    return Token(given), _problem(given)


def no_token() -> str:
    """Return the text of the error for a missing token."""
    found = next((name for name in _NOT_READ if os.environ.get(name)), None)
    hint = f" ({found} is set, but it is not read)" if found else ""
    return f"no token: set the environment variable {VARIABLE}{hint}"


def _problem(text: object) -> str:
    if not isinstance(text, str):
        return f"the token must be text, not {type(text).__name__}"
    # What cannot be seen comes with copying, too: a zero-width space, a byte order mark.
    if " " in text or not text.isprintable():
        return (
            "the token holds white space or invisible characters: copy it again, without line ends"
        )
    if "://" in text:
        return f"the token is an address: are {VARIABLE} and PROLIFIC_URL swapped?"
    return ""
