"""FAULTS.md, the page that shows the fault matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.columns import Call, Position, Sharing, shown
from tests.faults.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.columns import Column

PAGE = Path(__file__).parents[1] / "FAULTS.md"

_INTRODUCTION = """\
# What happens under each fault

The tests write this page: `python -m tests.faults` plays every cell of its tables anew, with a real
client and the simulator over loopback, and writes down what it saw. It writes nothing where that is
not what the [rules](faults/rules.py), which are written by hand, expect; and a test fails for each
such cell, and when this page is out of date.

How to read it:

- A number in brackets counts requests, for a POST the POSTs alone. A GET that aiohttp itself sends
  again when its connection broke counts once, and both meet the fault.
- "READY on time" is when it would come without the fault. "After …" names a failure that the wait
  survived and told of as an event.
- "X from Y": X is raised, and Y is its `__cause__`.
- "The same": as the cell to its left, the number too. "—": the fault cannot hit so.

What the faults are:

- "404, early" comes within `not_found_grace` after this client made the batch, "404, late" later.
- "Retry-After 40" are seconds, and "a date" is 40 s ahead. "A day" is longer than
  `retry_after_cap`, which is 60 s. Everything has its default, but that waits poll every 10 s.
- "No answer in time": none in `request_timeout`, which is 30 s.
- "Header cut" and "body cut": the connection ends in the middle of either.
- "Wrong content type": JSON that is said to be HTML. "Gzip bomb": more than 64 MiB, decompressed.
- "READY, then PROCESSING": one answer says READY, and the next one PROCESSING again.
"""

_CALLS = """
## A single GET

A failure that may pass is tried again after a pause, four times in all. What would fail again, or
cannot be read, or asks for too long a pause, is raised at once.
"""

_POSTS = """
## The two POSTs

"Applied" or not is what became of the request on the service, which the client cannot know. A POST
is sent again only where it surely did not run. Otherwise `duplicate` searches for its copy by the
name, here a unique one, and `setup` polls of the status. After each cell the service has the copy
that was returned and no other, or none.
"""

_FIRST = """
## A wait whose first poll is hit

The set-up takes 25 s. Without a fault the polls come at 0, 10, 20 and 30 s, and the last one shows
READY: 5 requests, with the `get` of the whole batch. Ten waits for one batch share its polls, and
cost no request more than one. Eight batches of one workspace are polled by its list. When that
is hit, no wait has failed: all go on singly, and after a 429 by the list, later. Where the list
shows READY it holds the whole batch, and is taken at its word.
"""

_MIDDLE = """
## A wait of which a middle poll is hit

As before, but it is the poll of 10 s that is hit.
"""

_LAST = """
## A wait whose last poll before the deadline is hit

The set-up lasts longer than the wait, which may take 25 s. The polls come at 0, 10, 20 and 24 s,
and it is the last one that is hit.
"""


def written(outcome: Callable[[str, Column], str]) -> str:
    """Return the text of the page for the outcome of each cell."""

    def table(columns: Sequence[Column]) -> str:
        rows = [["fault", *map(shown, columns)], ["---"] * (len(columns) + 1)]
        rows += [[name, *_cells([outcome(name, one) for one in columns])] for name in FAULTS]
        return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)

    once, always, *posts = Call
    polls = zip(Position, (_FIRST, _MIDDLE, _LAST), strict=True)
    return "".join(
        [
            _INTRODUCTION,
            _CALLS + table([once, always]),
            _POSTS + table(posts),
            *(text + table([(position, one) for one in Sharing]) for position, text in polls),
        ]
    )


def _cells(outcomes: list[str]) -> list[str]:
    """Return the cells of a row, with "the same" for repetitions."""
    before = ["", *outcomes]
    return ["the same" if one == last else one for last, one in zip(before, outcomes, strict=False)]
