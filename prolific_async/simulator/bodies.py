"""What came as a request's body, decoded once."""

import json
from typing import Any, NoReturn

import attrs

__all__ = ["MAX_BODY", "NO_BODY", "Body", "OmittedBody"]

# Nothing is documented, and gateways differ. Decoding so much holds the loop, and with it every
# other client, for 0.2 s; a thread would be no help, since decoding keeps the interpreter's lock.
MAX_BODY = 8 * 2**20


@attrs.frozen
class OmittedBody:
    """Stands in the log for a body that was too long to keep.

    Args:
        size: Its length in bytes, after decompression.
    """

    size: int


@attrs.frozen
class Body:
    """A request's body.

    Args:
        size: Its length in bytes, after decompression.
        is_json: Whether it is JSON.
        content: The decoded JSON; else the text, bytes that are no UTF-8 replaced; None when there
            is no body, an `OmittedBody` when it is over `MAX_BODY`.
    """

    size: int
    is_json: bool
    content: Any

    @classmethod
    def decoded(cls, raw: bytes) -> "Body":
        """Decode a body of at most `MAX_BODY` bytes."""
        if not raw:
            return NO_BODY
        try:
            # JSON between systems is UTF-8 (RFC 8259, 8.1), of which `loads` takes more than that.
            content = json.loads(raw.decode(), parse_constant=_refuse)
        except (ValueError, RecursionError):
            return cls(len(raw), is_json=False, content=raw.decode(errors="replace"))
        return cls(len(raw), is_json=True, content=content)

    @classmethod
    def omitted(cls, size: int) -> "Body":
        """Note the size of a body that is over `MAX_BODY`, and not kept."""
        return cls(size, is_json=False, content=OmittedBody(size))


NO_BODY = Body(0, is_json=False, content=None)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is Python's, not JSON's")
