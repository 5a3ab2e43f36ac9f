"""Orders that survive their process: duplicate, set up, await READY.

```python
import asyncio
import os

from prolific_async import ProlificClient
from prolific_async.durable import DurableBatches


async def main() -> None:
    async with (
        ProlificClient() as client,
        DurableBatches("sqlite:///prolific.sqlite") as durable,  # or postgresql://...
        durable.worker(client, executor_id="worker-1", max_starts_per_second=2),
    ):
        order = await durable.order(
            os.environ["BATCH_ID"], name="Round 2", tasks_per_group=5, timeout=3600
        )
        print(await order.result())


asyncio.run(main())
```

DBOS records an order before ``order`` returns. From then on any process that opens the same
database can await its result, and a worker runs it, in this process or another one. A web process
that only gives orders needs no worker. Run again, after a crash or not, the example goes on where
it was: the same order makes the same copy.

When to use it: when nobody would repeat the work after a crash, a deploy or a move to another
machine. ``client.batches`` is enough for a service that can be asked again, or that stores the
copy's id itself.

What it promises
----------------
- A worker may die at any point, by SIGKILL too, and go on under the same ``executor_id``. It
  resumes the orders that it had begun as soon as it is back, a thousand waits in a few seconds,
  and not at the pace of ``max_starts_per_second``.
- Before a duplicate is sent, its name is searched for, and DBOS records that one is about to be
  sent. Only the worker that has the order can record it: a worker that was believed dead and comes
  back, or whose order was cancelled, sends none.
- A duplicate that may have been sent, since its sender died or its response was lost, has
  ``settle_seconds`` seconds to show in the list. Then another one is sent, if a search that begins
  later finds none.
- A copy that was made is searched for as well before it is set up: an order and another process,
  durable or not, that copy a batch under one name at the same time never take different copies if
  the list shows a copy within ``settle_seconds``.
- If two batches bear the name, the order ends in an OutcomeUnknownError that names them, and
  nothing more is sent.
- A setup is sent if the status shows that none was accepted.
- An order's time runs from when it was given, through queue, crashes and deploys. If it is over
  before the duplicate is sent, no copy is made; if it is over while a duplicate may be on its way,
  the WaitTimeoutError's ``failure`` is an OutcomeUnknownError.
- Lost connections, 429, 5xx and a refused token are survived until then; any other refusal (400,
  403, ...) ends the order.
- An outage of the database, by TCP or by a Unix socket, stops the orders that have something to
  record, and their worker resumes them ten to twenty ``poll_every`` after its end. ``result`` and
  ``events`` survive it as long as the order has time and a minute more, all other calls for 30
  seconds; then they raise a DatabaseUnavailableError. No error of SQLAlchemy or psycopg escapes.
- A process can end while the database is away, and within a minute if it hangs. The loop's
  default executor (``asyncio.to_thread``, ``getaddrinfo``) stays free.
- All orders of a worker are polled together, with all other waits of its client.

What it does not promise
------------------------
The service knows no idempotency key, so a second copy cannot be ruled out altogether. It is made
if a duplicate takes effect more than ``settle_seconds`` after its response was lost or its sender
was found dead; or if a sender is frozen between record and request, its order is moved, and it
wakes up that much later. Then two copies bear the name, and one of them is never set up; it costs
nothing as long as no study uses it. Make ``settle_seconds`` longer than the service, and any proxy
before it, can hold a request, and check the workspace's list for names that appear twice.

A batch of the name is taken for the copy, whoever made it. Orders of two batches under one name are
two orders, and the second may get the copy of the first; so may orders of two applications.

An order that has failed stays failed: ordered again, it raises the same error. If it has a copy,
``client.batches`` can wait for that; or give the order another name.

To see and to stop orders
-------------------------
Any process that opens the database can do this, without a worker too:

    order = durable.find(batch_id, name="Round 2")  # no I/O
    print(await order.status())  # its state, and the copy's id once that is set up
    async for status in order.events():  # each change; ends with the order
        ...
    for order in await durable.orders(state=["queued", "running"], limit=50):
        await order.cancel()

A web page can follow an order's copy by ``prolific_async.fastapi``: give ``wait_events`` this
generator. The stream then ends by itself when the server stops, unlike one of ``events`` alone.

    async def copy_of(order: Order) -> AsyncIterator[str]:
        async for status in order.events():
            if status.copy_id is not None:
                yield status.copy_id
                return
        await order.result()  # raises; the page gets an event ``incomplete``

``cancel`` works at any time. Nothing is deleted at the service, and ``Order.cancel`` says how to
tell whether there is a copy. ``dbos workflow cancel ID`` does the same; ``dbos workflow resume ID``
lets a cancelled order go on. An order that is cancelled in the very millisecond in which a worker
that has just started, or ``take_over``, resumes it may go on: its status shows that.

What it costs
-------------
Rows written for one order, by DBOS 3.4: 9 on SQLite, 7 on PostgreSQL in five transactions, however
long it waits; two more for each restart in between, and two (one on PostgreSQL) for each further
duplicate that has to be sent. A poll of the service writes nothing. Giving an order takes one
transaction, about 1 ms on PostgreSQL and the disk's flush on SQLite (20 ms on a slow one). It
begins within ``poll_every`` seconds, with five requests: the source, the workspace's list before
and after the duplicate (one for orders that begin together), and the two POSTs. A thousand waits
take 30 to 50 MB. An idle worker reads a few rows each ``poll_every``, one that has orders reads
once more which of them were cancelled, and all results that a process awaits are one read more, all
events another one.

``max_starts_per_second`` is one rate for all workers, kept by DBOS's queue. It limits how many
orders begin, hence POSTs; polls are limited by each client's ``max_requests_per_second``. Without
it, the first worker that polls takes the whole queue. A worker that comes back resumes its orders
outside of the rate, and they are no longer counted either: up to a second's worth more may begin
then. On SQLite several workers may exceed it: two that poll at the same moment both find the second
unused.

Finished orders stay in the database until you delete them (``DBOSClient.delete_workflows``). DBOS
stores results as pickles: whoever may write to the database can run code in your processes. The
token is never written.

Many machines
-------------
PostgreSQL is for many machines; SQLite (from Python 3.12 on, 3.42 or later) for one, several
processes of which may share the file. Each worker needs an ``executor_id`` of its own that survives
a restart, such as the name of a StatefulSet's pod: at its start it resumes the orders begun under
that name, which no other worker touches while it is down. Orders in the queue go to any worker.

A worker that never comes back leaves the orders that it has begun PENDING. Move them in one of
these ways:

- start a worker with its ``executor_id``, on any machine;
- ``await durable.take_over("worker-7")``, from any process: the other workers go on at once;
- ``dbos workflow list`` and ``dbos workflow resume ID``, one by one.

Make sure that it is dead. If it is not, it sends no more duplicates, but its waits poll on.

Deploys
-------
DBOS resumes orders only if they were begun by the same ``application_version``, which by default is
a hash of all workflows' code: each deploy would strand the running orders. Here it is a constant,
which this package changes when its steps change. An application that sets it by ``config`` or
``DBOS__APPVERSION`` keeps it over its deploys, or lets workers of the old version finish their
orders. After a roll-back to an older one it calls ``DBOS.set_latest_application_version``, since
the queue serves the newest version that was ever started.

Applications that use DBOS themselves
-------------------------------------
A process has one DBOS. In a process with a worker it belongs to the worker, which makes, launches
and destroys it. Workflows of your own can run in it: register them as usual, and give your settings
as ``config``; its name, its database and its executor's id remain the worker's. Workflows from a
queue run in an event loop of DBOS, in another thread. In an outage of the database DBOS repeats the
calls of your workflows until it is over, as usual; calls outside of workflows raise. If you await
DBOS's coroutines in your loop, DBOS's pool is the loop's default executor until the worker ends.

If your application makes its own DBOS, run the worker in another process. ``worker`` raises a
ConfigurationError if there is a DBOS already, launched or not, and leaves that one alone; making
one while a worker runs raises a ConfigurationError, too. All calls but ``worker`` work in any
process. In a shared database the two need different names: a DBOS of your own with the
name ``application`` would take the orders out of the queue.
"""

try:
    from prolific_async.durable.batches import DurableBatches
    from prolific_async.durable.database import DatabaseUnavailableError
    from prolific_async.durable.order import Order
    from prolific_async.durable.order_status import (
        OrderCancelledError,
        OrderNotFoundError,
        OrderState,
        OrderStatus,
    )
except ModuleNotFoundError as error:
    if error.name != "dbos":
        raise
    raise ImportError(
        "prolific_async.durable needs the extra [durable]: install prolific_async with it, "
        "see README"
    ) from error

__all__ = [
    "DatabaseUnavailableError",
    "DurableBatches",
    "Order",
    "OrderCancelledError",
    "OrderNotFoundError",
    "OrderState",
    "OrderStatus",
]
