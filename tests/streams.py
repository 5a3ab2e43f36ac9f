"""A response's body as it comes, for transports without HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from attrs import define

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@define
class Stream:
    """The body, in the pieces that an async iterator yields, and the response's headers."""

    pieces: AsyncIterator[bytes]
    headers: Mapping[str, str]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self.pieces)
