"""The API token: where it is read, and how it is kept out of sight.

Some loggers (loguru, structlog, rich, Sentry) print the local variables of every frame that an
error passes. So the token is a plain ``str`` only inside calls that have returned by then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn

from multidict import CIMultiDict

VARIABLE = "PROLIFIC_TOKEN"
"""Environment variable that holds the token."""

_NOT_READ = ("PROLIFIC_API_TOKEN", "PROLIFIC_API_KEY")  # other programs' names for it


class _Unseen(str):
    """Text that is sent unchanged, but shown as "[token]" in its own repr and that of headers."""

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

    def hide(self, text: str) -> str:
        """Return a text with "[token]" in place of the token."""
        return text.replace(self._text, "[token]") if self._text else text

    def hide_in_json(self, data: Any) -> Any:
        """Return decoded JSON with "[token]" in place of the token, in strings and keys.

        Raises:
            RecursionError: The data is nested too deep.

        """
        if isinstance(data, str):
            return self.hide(data)
        if isinstance(data, list):
            return [self.hide_in_json(one) for one in data]
        if isinstance(data, dict):
            return {self.hide(key): self.hide_in_json(one) for key, one in data.items()}
        return data

    def hide_in_headers(self, headers: Mapping[str, str]) -> CIMultiDict[str]:
        """Return headers with "[token]" in place of the token."""
        return CIMultiDict((name, self.hide(value)) for name, value in headers.items())

    def __repr__(self) -> str:
        return "[token]"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token cannot be pickled")


NO_TOKEN = Token("")
"""An empty token, for where there is no token to hide."""


def read_token(given: str | None) -> tuple[Token, str]:
    """Return the token, as given or from PROLIFIC_TOKEN, and an error message, "" if it is valid.

    Raises nothing, so that the caller can drop its own reference to the text before raising.
    """
    if given is None:
        text = os.environ.get(VARIABLE, "")
        in_code = "; in code, ProlificClient(token=…) does as well"
        return Token(text), _problem(text) if text.strip() else no_token() + in_code
    if given == "":
        return Token(given), f"the token given is empty; leave it out to have {VARIABLE} read"
    return Token(given), _problem(given)


def no_token() -> str:
    """Return the error message for a missing token."""
    found = next((name for name in _NOT_READ if os.environ.get(name)), None)
    hint = f" ({found} is set, but it is not read)" if found else ""
    return f"no token: set the environment variable {VARIABLE}{hint}"


def _problem(text: object) -> str:
    if not isinstance(text, str):
        return f"the token must be text, not {type(text).__name__}"
    # Copying also brings invisible characters: a zero-width space, a byte order mark.
    if " " in text or not text.isprintable():
        return (
            "the token holds white space or invisible characters: copy it again, without line ends"
        )
    if "://" in text:
        return f"the token is an address: are {VARIABLE} and PROLIFIC_URL swapped?"
    return ""
