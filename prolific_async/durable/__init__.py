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

An order is recorded by DBOS before ``order`` returns. From then on any process that opens the
same database can await its result, and a worker carries it out, in this process or another one.
Without a worker, ``DurableBatches`` is what a web process needs to give orders. Run again, after a
crash or not, the example goes on where it was: the same order is the same copy.

When to use it: when nobody would do the work again after a crash, a deploy or a move to another
machine. A service that can be asked again, or that keeps the copy's id by itself, has enough in
``client.batches``.

What it promises
----------------
- A worker may die at any point, by SIGKILL too, and go on under the same ``executor_id``. What had
  been begun is resumed as soon as it is back, a thousand waits in a few seconds, and not at the
  pace of ``max_starts_per_second``.
- Before a duplicate is sent, its name is searched for, and it is recorded that one is about to be
  sent. Only the worker that has the order can record it: one that was believed dead and comes back,
  or whose order was cancelled, sends none.
- A duplicate that may be under way, since its sender died or its answer was lost, has ``settle_seconds``
  seconds to show in the list. Then another one is sent, if a poll that begins later shows none.
- Two batches of the name are an OutcomeUnknownError that names them, and nothing is sent.
- A setup is sent when the status shows that none was accepted.
- An order's time runs from when it was given, through queue, crashes and deploys. When it is over
  before the duplicate is sent, no copy is made; when it is over while one may be under way, the
  WaitTimeoutError's ``failure`` is an OutcomeUnknownError.
- Lost connections, 429, 5xx and a refused token are survived until then; any other refusal (400,
  403, ...) ends the order.
- An outage of the database, by TCP or by a Unix socket, stops the orders that have something to
  record, and their worker begins them again ten to twenty ``poll_every`` after its end. ``order``
  and ``take_over`` try for 30 seconds, ``result`` as long as the order has time and a minute more;
  then they raise a DatabaseUnavailableError. No error of SQLAlchemy's or psycopg's leaves here.
- A process can end while the database is away, and within a minute when it hangs. The loop's
  default executor (``asyncio.to_thread``, ``getaddrinfo``) stays free.
- All orders of a worker wait by the engine of its one client, as all other waits of that client do.

What it does not promise
------------------------
The service knows no idempotency key, so a second copy cannot be excluded altogether. It is made
when a duplicate takes effect more than ``settle_seconds`` after its answer was lost or its sender
was found gone; or when a sender is frozen between record and request, its order is moved, and it
wakes up that much later. Two copies bear the name then, one of which nobody has set up; it costs
nothing as long as no study uses it. Let ``settle_seconds`` be longer than the service, and what stands
before it, can hold a request; and search for names that are there twice in the workspace's list.

A batch of the name is taken for the copy, whoever made it. Orders of two batches under one name are
two orders, of which the second may be given the first one's copy; so are orders of two
applications.

An order that has failed stays so: ordered again, it raises the same error. Its copy, if there is
one, can be waited for by ``client.batches``; or give the order another name.

``dbos workflow cancel ID`` ends an order: its result raises, and no duplicate is sent any more. A
wait that has begun polls on until it is over or its worker ends.

What it costs
-------------
Rows written for one order, by DBOS 3.4: 9 on SQLite, 7 on PostgreSQL in five transactions, however
long it waits; two more for each restart in between, and two (one on PostgreSQL) for each further
duplicate that has to be sent. A poll of the service writes nothing. To give an order takes one
transaction, about 1 ms on PostgreSQL and the disk's flush on SQLite (20 ms on a slow one). It is
begun ``poll_every`` seconds later at most, with four requests: the source, the workspace's list,
which orders that begin together share, and the two POSTs. A thousand waits take 30 to 50 MB. A
worker that has nothing to do reads a few rows each ``poll_every``, and all results that a process
awaits are one read more.

``max_starts_per_second`` is one rate for all workers, kept by DBOS's queue. It limits what is
begun, hence POSTs; polls are limited by each client's ``max_requests_per_second``. Without it, the
first worker that polls takes all that waits. A worker that comes back is not held to it for what it
had begun, which is no longer counted either: up to a second's worth more may begin then. On SQLite
several workers may go beyond it: two that look at the same moment both find the second unused.

What was finished stays in the database until you delete it (``DBOSClient.delete_workflows``). DBOS
keeps results as pickles: whoever may write to the database can run code in your processes. The
token is never written.

Many machines
-------------
PostgreSQL is for many machines; SQLite, from Python 3.12 on 3.42 or later, for one, several
processes of which may share the file. Each worker needs an ``executor_id`` of its own that a
restart keeps, such as the name of a StatefulSet's pod: it takes up what was begun under that name,
when it starts, and no other worker touches that while it is down. What waits in the queue is
anybody's.

A worker that never comes back leaves what it has begun PENDING. Move it in one of these ways:

- start a worker with its ``executor_id``, on any machine;
- ``await durable.take_over("worker-7")``, from any process: the other workers go on at once;
- ``dbos workflow list`` and ``dbos workflow resume ID``, one by one.

Make sure that it is dead. One that is not sends no duplicate any more, but its waits poll on.

Deploys
-------
DBOS resumes what was begun by the same ``application_version`` alone, and by default that is a hash
of all workflows' code: each deploy would strand what is under way. Here it is a constant, that this
package raises when its steps change. An application that sets it by ``config`` or
``DBOS__APPVERSION`` keeps it over its deploys, or lets workers of the old version finish what they
have begun. After a roll-back to an older one it calls ``DBOS.set_latest_application_version``:
what waits in the queue is for the newest version that was ever started.

Applications that use DBOS themselves
-------------------------------------
DBOS is one for each process. In a process with a worker it belongs to the worker, which makes,
launches and destroys it. Workflows of your own can run in it: register them as usual, and give
your settings as ``config``; its name, its database and its executor's id remain the worker's. Those
that come from a queue run in an event loop of DBOS's own, in another thread. In an outage of the
database DBOS repeats the calls of your workflows until it is over, as ever; those outside of
workflows raise. Awaited in your loop, DBOS's coroutines make DBOS's pool the loop's default
executor until the worker ends.

If your application makes its own DBOS, run the worker in another process. ``worker`` raises a
ConfigurationError when there is a DBOS already, launched or not, and leaves that one alone; making
one while a worker runs raises a ConfigurationError, too. ``order``, ``result`` and ``take_over``
work in any process. In a shared database the two need different names: ``application`` is not the
name of your own DBOS, which would take the orders out of the queue.
"""

try:
    from prolific_async.durable.batches import DurableBatches, Order
    from prolific_async.durable.database import DatabaseUnavailableError
except ModuleNotFoundError as error:
    if error.name != "dbos":
        raise
    raise ImportError(
        "prolific_async.durable needs the extra [durable]: install prolific_async with it, "
        "see README"
    ) from error

__all__ = ["DatabaseUnavailableError", "DurableBatches", "Order"]
