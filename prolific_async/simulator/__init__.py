"""An embedded, stateful Prolific for tests and demos.

It keeps workspaces, datasets and batches, answers as the service does, and goes wrong on command:

    async with Simulator(setup=AfterPolls(3)) as sim:
        batch_id = sim.add_batch("Original", datapoints=200)
        sim.inject("POST", "/duplicate", Fault(503, headers={"Retry-After": "1"}), times=2)
        ...                      # let the program under test work with sim.url and sim.token
        assert [seen.status for seen in sim.requests] == [503, 503, 201]
        assert len(sim.batches) == 2

For synchronous tests, `with Simulator() as sim:` serves in a thread of its own.

`sim.fail(batch_id)` lets a batch end in ERROR, `sim.set_status` and `sim.remove` change it behind
the service's back. It shares no code with the client, so that a bug of one can't hide in the other.
"""

from prolific_async.simulator.bodies import OmittedBody
from prolific_async.simulator.endings import AfterPolls, AfterSeconds, Ending, Immediately
from prolific_async.simulator.faults import Fault
from prolific_async.simulator.log import SeenRequest
from prolific_async.simulator.records import BatchSnapshot
from prolific_async.simulator.simulator import Simulator

__all__ = [
    "AfterPolls",
    "AfterSeconds",
    "BatchSnapshot",
    "Ending",
    "Fault",
    "Immediately",
    "OmittedBody",
    "SeenRequest",
    "Simulator",
]
