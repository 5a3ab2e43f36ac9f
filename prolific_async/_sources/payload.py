"""``Payload``: the bytes to send, with a known length; they can be read repeatedly."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from attrs import define

from prolific_async._sources.contents import PIECE, Content
from prolific_async._sources.text_checks import Utf8Check


@define(eq=False)
class Payload:
    """A file to upload. It can be read repeatedly, even if the source cannot.

    Attributes:
        filename: Name of the file; the ending tells its format.
        rows: Number of rows, None if unknown. For a text file that is sent unchanged, an estimate
            from its number of lines; too high if cells have line ends.
        failure: Error that the latest ``chunks`` raised, None for none. The sender may get an error
            of the HTTP client instead.

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
        """Number of bytes, for the header ``Content-Length``."""
        return len(self._head) + self._content.size - self._start

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield all bytes from the start, in pieces of at most 256 KiB.

        The last piece is yielded only if the file did not change meanwhile, so that a changed file
        is never sent completely.

        Raises:
            ValueError: The file changed, or is not UTF-8.
            OSError: The file cannot be read any more.

        """
        self.failure = None
        content = self._content
        check = Utf8Check(self._start, content.size).feed if self._is_text else None
        # Each piece is read while the previous one is sent.
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
            reading.cancel()  # if it has failed, this keeps asyncio from logging that
