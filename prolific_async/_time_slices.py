"""``TimeSlices``: lets the event loop run between slices of long work."""

from __future__ import annotations

import asyncio
import time

_SLICE = 0.005  # seconds of work after which the event loop runs


class TimeSlices:
    """Lets the event loop run after each slice of work."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _SLICE

    async def yield_if_due(self) -> None:
        """Let the event loop run if the slice is over; called between short steps of work."""
        if time.perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + _SLICE
