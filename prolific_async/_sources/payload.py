"""``Payload``: the bytes to send, with a known length; they can be read again."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from attrs import define

from prolific_async._sources.contents import PIECE, Content
from prolific_async._sources.text_checks import Utf8Check


@define(eq=False)
class Payload:
    """A file to upload. It can be read again, whatever the source is.

    Attributes:
        filename: Its name; the ending tells its format.
        rows: The number of its rows, None if that is not known. Of a text that is sent as it is, an
            estimate: about the number of its lines, which are more than its rows if cells have line
            ends.
        failure: What the latest reading raised, None for nothing. Whoever sends the file may get an
            error of the HTTP client's own instead.

    """

    filename: str
    rows: int | None
    _content: Content
    _start: int = 0
    _head: bytes = b""
    _is_text: bool = False
    failure: Exception | None = None

    @property
    def size(self) -> int:
        """Number of its bytes, which is its ``Content-Length``."""
        return len(self._head) + self._content.size - self._start

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the bytes from the first one on, in pieces of at most 256 KiB.

        The last piece comes only if the file did not change, so that a file that did is never sent
        whole.

        Raises:
            ValueError: The file changed, or is not UTF-8.
            OSError: It cannot be read any more.

        """
        self.failure = None
        content = self._content
        check = Utf8Check(self._start, content.size).feed if self._is_text else None
        # Each piece is read while the one before is sent.
        reading = content.read(self._start, PIECE, check)
        try:
            if self._head:
                yield self._head
            for at in range(self._start, content.size, PIECE):
                try:
                    piece = await reading
                    after = at + len(piece)
                    if after < content.size:
                        reading = content.read(after, PIECE, check)
                    else:
                        await content.verify()
                except Exception as error:
                    self.failure = error
                    raise
                yield piece
        finally:
            reading.cancel()  # if it has failed, asyncio does not log that any more
