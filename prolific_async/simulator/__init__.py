"""An embedded, stateful Prolific for tests and demos.

It keeps workspaces, datasets and batches, responds as the service does, and fails as scripted:

    async with Simulator(setup=AfterPolls(3)) as sim:
        batch_id = sim.add_batch("Original", datapoints=200)
        sim.inject("POST", "/duplicate", Fault(503, headers={"Retry-After": "1"}), times=2)
        ...                      # let the program under test work with sim.url and sim.token
        assert [seen.status for seen in sim.requests] == [503, 503, 201]
        assert len(sim.batches) == 2

For synchronous tests, `with Simulator() as sim:` serves in a thread of its own.

Presigned URLs lead to a second port, `sim.storage_url`. Faults meet requests to both, and
`sim.requests` has them all. Uploaded CSV, JSONL and ZIP files are parsed and counted, whatever
their size; `Simulator(imports=RowsPerSecond(27))` imports them as slowly as the service does.

`sim.answer(batch_id, participants=3)` lets participants answer a READY batch. Their answers are
made up, or come from a function of the task, which has its row, and of the item of the layout. They
are in the responses, the report and exports.

`sim.fail(batch_id)` makes a batch end in ERROR, `sim.fail_imports(dataset_id)` imports fail, and
`sim.fail_exports(batch_id)` exports; `sim.set_status`, `sim.set_import` and the like change the
state without a request, and `sim.batches` and `sim.datasets` show it. The simulator shares no
code with the client, so a bug in one cannot hide in the other.

In the source, [?] marks what Prolific's documentation does not say.
"""

from prolific_async.simulator.batch_tasks import Task
from prolific_async.simulator.dataset_models import DatasetSnapshot
from prolific_async.simulator.faults import Fault
from prolific_async.simulator.models import BatchSnapshot
from prolific_async.simulator.request_body import OmittedBody
from prolific_async.simulator.request_log import SeenRequest
from prolific_async.simulator.setup_durations import (
    AfterPolls,
    AfterSeconds,
    Ending,
    Immediately,
    RowsPerSecond,
)
from prolific_async.simulator.simulator import Simulator

__all__ = [
    "AfterPolls",
    "AfterSeconds",
    "BatchSnapshot",
    "DatasetSnapshot",
    "Ending",
    "Fault",
    "Immediately",
    "OmittedBody",
    "RowsPerSecond",
    "SeenRequest",
    "Simulator",
    "Task",
]
