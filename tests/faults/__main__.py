"""``python -m tests.faults``: runs every cell of the fault matrix and writes FAULTS.md.

python -m tests.faults
"""

from __future__ import annotations

import logging
import sys

from tests.faults.cells import seen
from tests.faults.columns import title
from tests.faults.page import PAGE, ROWS, written
from tests.faults.rules import expected

logging.disable()  # the client warns of statuses that it does not know
cells = {(fault, one): seen(fault, one) for fault, columns in ROWS for one in columns}
wrong = [
    f"{fault}; {title(column)}: seen: {outcome}, expected: {expected(fault, column)}\n"
    for (fault, column), outcome in cells.items()
    if outcome != expected(fault, column)
]
if wrong:
    sys.exit("".join(wrong) + f"{PAGE.name} is left as it was")
PAGE.write_text(written(lambda fault, column: cells[fault, column]), encoding="utf-8")
