"""FAULTS.md, the page that shows the fault matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.columns import (
    COLUMNS,
    COPIES,
    FROM_NOTHING,
    READS,
    STREAMS,
    Answers,
    File,
    Position,
    Sharing,
    shown,
)
from tests.faults.faults import FAULTS
from tests.faults.streams import STREAM_FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.faults.columns import Column

PAGE = Path(__file__).parents[1] / "FAULTS.md"

ROWS: tuple[tuple[str, tuple[Column, ...]], ...] = (
    *((fault, COLUMNS) for fault in FAULTS),
    *((fault, STREAMS) for fault in STREAM_FAULTS),
)
"""Each fault with its columns."""

_INTRODUCTION = """\
# What happens under each fault

The tests write this page: `python -m tests.faults` runs every cell of its tables, with a client and
the simulator over loopback, and writes down the outcomes. It writes nothing if an outcome is not
what the [rules](faults/rules.py), which are written by hand, expect. A test fails for each such
cell, and if this page is out of date.

How to read it:

- A number in brackets counts the requests, and in the columns of a POST the POSTs alone.
- "READY on time": as early as without the fault. "After …" names a failure that the wait survived
  and reported as an event.
- "X from Y": X is raised, and Y is its `__cause__`.
- "The same": as the cell to the left, with the same number. "—": the fault cannot occur there.

What the faults are:

- "404, early" comes within `not_found_grace` after this client made the batch, "404, late" later.
- "Retry-After 40" is in seconds, and "a date" is 40 s ahead. "A day" is longer than
  `retry_after_cap`, which is 60 s. All settings are the defaults, except that waits poll every
  10 s.
- "No answer in time": no response within `request_timeout`, which is 30 s.
- "Header cut" and "body cut": the connection ends in the middle of the header or the body.
- "Wrong content type": JSON that is declared as HTML. "Gzip bomb": more than 64 MiB, decompressed.
- "READY, then PROCESSING": one response says READY, and the next one PROCESSING again.
"""

_CALLS = """
## A single GET

After a passing failure the request is repeated after a pause, up to four attempts in all. Failures
that would come again, unreadable responses, and pauses that are too long are raised at once.
"""

_POSTS = """
## The two POSTs

"Applied" means that the service ran the request, which the client cannot know. A POST is sent again
only if it surely did not run. Otherwise `duplicate` searches for its copy by the name, here a
unique one, and `setup` reads the status. After each cell the service has the copy that was returned
and no other, or none.
"""

_FROM_NOTHING = """
## What makes and fills datasets and batches

`batches.create` searches for its batch as `duplicate` does. No list has datasets, so the outcome of
a lost `datasets.create` stays unknown. `append` is repeated as a GET is, as the service takes
identical records as one, and goes on after a 409. An upload is hit at the storage: here numbers
count its PUTs, which are repeated, as they replace the same file. A connection to the storage that
cannot be made is left out. A storage that says 200 is taken by its word, unless HTML comes with it.
"""

_ANSWERS = """
## Calls about answers

There are four responses, and four exports to list. `responses` is read as it comes: "after 4" tells
how many were yielded before the error. The number counts the requests, and in the columns of an
`export` or a `delete` its POSTs or DELETEs. A lost `export` is searched for in the list; a `delete`
is repeated as a GET is, and a 404 to a repeat is a success.
"""

_FILES = """
## Reports and archives

Of these the call is hit that asks for the link, or the storage; the number counts the requests to
either. "All": the four rows. "Whole": the file stands under its path as it is stored, and nothing
else is left beside it; "as it came": as it was sent, as a file may have any content. In each other
cell nothing is left at all. A connection to the storage that cannot be made fails each time.
"""

_STREAMS = """
## Streams that break

What is left of a file is asked for by its ETag, so most of these faults do no harm. Rows that were
yielded are never yielded again, nor mixed with those of another file: where the file must be begun
anew after some, the error tells how many there were.

- "After two records": of a CSV its header is one. An archive is cut at a quarter.
- "Cut, then …" is what the request for the rest gets, the first time.
- "A part, unasked" is a 206 to a request for the whole, and "no length" a response that ends with
  its connection.
- "Slow": 20 pieces, 20 s apart. "Still": nothing more comes, and the connection stays open.
- "Endless record": text that never ends. A file may be of any size, so it is left out there.
"""

_FIRST = """
## A wait whose first poll is hit

The setup takes 25 s. Without a fault the polls come at 0, 10, 20 and 30 s, and the last one shows
READY: 5 requests, with the `get` of the whole batch. Ten waits for one batch share its polls and
send the requests of one. Eight batches of one workspace are polled by its list. A list that is hit
fails no wait: all batches are polled singly then, or after a 429 by a later list. A list that shows
READY holds the whole batch, so it needs no `get`. An import takes 25 s, too, and ends with
"complete"; then its dataset is read. So does an export, after which nothing is read.
"""

_MIDDLE = """
## A wait whose middle poll is hit

As before, but the poll at 10 s is hit.
"""

_LAST = """
## A wait whose last poll before the deadline is hit

The setup takes longer than the wait, which times out after 25 s. The polls come at 0, 10, 20 and
24 s, and the last one is hit.
"""


def written(outcome: Callable[[str, Column], str]) -> str:
    """Return the text of the page for the outcome of each cell."""

    def table(columns: Sequence[Column], faults: Iterable[str] = FAULTS) -> str:
        rows = [["fault", *map(shown, columns)], ["---"] * (len(columns) + 1)]
        rows += [[name, *_cells([outcome(name, one) for one in columns])] for name in faults]
        return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)

    polls = zip(Position, (_FIRST, _MIDDLE, _LAST), strict=True)
    return "".join(
        [
            _INTRODUCTION,
            _CALLS + table(READS),
            _POSTS + table(COPIES),
            _FROM_NOTHING + table(FROM_NOTHING),
            _ANSWERS + table(tuple(Answers)),
            _FILES + table(tuple(File)),
            _STREAMS + table(STREAMS, STREAM_FAULTS),
            *(text + table([(position, one) for one in Sharing]) for position, text in polls),
        ]
    )


def _cells(outcomes: list[str]) -> list[str]:
    """Return the cells of a row, with "the same" for repetitions."""
    before = ["", *outcomes]
    return ["the same" if one == last else one for last, one in zip(before, outcomes, strict=False)]
