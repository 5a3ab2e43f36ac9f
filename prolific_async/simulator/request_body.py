"""Reading and decoding of request bodies."""

import json
from typing import Any, NoReturn

import attrs
from aiohttp import web

from prolific_async.simulator.responses import RefusedError

__all__ = ["MAX_BODY", "Body", "OmittedBody", "read_body"]

# The service documents no limit. Decoding this much blocks the loop, and with it every other
# client, for 0.2 s.
MAX_BODY = 8 * 2**20


@attrs.frozen
class OmittedBody:
    """The placeholder in the log for a body that was too long to keep, or for an uploaded file.

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
        content: The decoded JSON; else the text, with invalid UTF-8 replaced; None for an empty
            body; an `OmittedBody` for one over `MAX_BODY`.
        raw: Its bytes; empty for one over `MAX_BODY`.
    """

    size: int
    is_json: bool
    content: Any
    raw: bytes = attrs.field(default=b"", repr=False, eq=False)

    @classmethod
    def decode(cls, raw: bytes) -> "Body":
        """Decode a body of at most `MAX_BODY` bytes."""
        if not raw:
            return cls(0, is_json=False, content=None)
        try:
            # `loads` accepts other encodings, too, but JSON is UTF-8 (RFC 8259, 8.1).
            content = json.loads(raw.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return cls(len(raw), is_json=False, content=raw.decode(errors="replace"), raw=raw)
        return cls(len(raw), is_json=True, content=content, raw=raw)

    @classmethod
    def omit(cls, size: int) -> "Body":
        """Return the placeholder for a body over `MAX_BODY`."""
        return cls(size, is_json=False, content=OmittedBody(size))

    def json_object(self) -> dict[str, Any]:
        """Return the body's JSON object; raise RefusedError if it is something else."""
        if self.size > MAX_BODY:
            raise RefusedError(
                413, f"The body has {self.size} bytes, more than the {MAX_BODY} allowed."
            )
        if not self.is_json:
            raise RefusedError(400, "The body is not JSON.")
        if not isinstance(self.content, dict):
            raise RefusedError(400, "The body is not a JSON object.")
        return self.content


_BODY = web.RequestKey("body", Body)


async def read_body(request: web.Request) -> Body:
    """Read a request's body once, to its end; a body over `MAX_BODY` is not kept.

    Raises:
        RefusedError: The body cannot be unpacked.
    """
    if _BODY not in request:
        raw, size = bytearray(), 0
        try:
            while piece := await request.content.readany():
                size += len(piece)
                if size <= MAX_BODY:
                    raw += piece
                else:
                    raw.clear()
        except web.RequestPayloadError:
            raise RefusedError(400, "The body is broken.") from None
        request[_BODY] = Body.decode(bytes(raw)) if size <= MAX_BODY else Body.omit(size)
    return request[_BODY]


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is Python's, not JSON's")
