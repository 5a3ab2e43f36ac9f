"""Orders that survive their process: duplicate, set up, await READY. The extra ``[durable]``.

::

    async with (
        ProlificClient() as client,
        DurableBatches("sqlite:///prolific.sqlite") as durable,
        durable.worker(client, executor_id="worker-1", max_starts_per_second=2),
    ):
        order = await durable.order(batch_id, name="Round 2", tasks_per_group=5, timeout=3600)
        ready = await order.result()

An order is recorded by DBOS before ``order`` returns. From then on any process that opens the
same database can await its result, and a worker carries it out, in this process or another one.
Without a worker, ``DurableBatches`` is what a web process needs to give orders.

When to use it: when nobody would do the work again after a crash, a deploy or a move to another
machine. A service that can be asked again, or that keeps the copy's id by itself, has enough in
``client.batches``.

What it promises
----------------
- A worker may die at any point, by SIGKILL too, and go on under the same ``executor_id``. What had
  been begun is resumed as soon as it is back, a thousand waits in a few seconds, and not at the
  pace of ``max_starts_per_second``.
- No second copy is made. The name is unique in the workspace, and it is looked for before anything
  is sent. A duplicate that may be under way, since its sender died or its answer was lost, has
  ``settling`` seconds to show up in the list before another one is sent; the service knows no
  idempotency key. Two batches of that name are an OutcomeUnknownError, and nothing is sent.
- A setup is sent when the status shows that none was accepted.
- An order's time runs from when it was given, through queue, crashes and deploys. When it is over
  before there is a copy, none is made.
- Lost connections, 429 and 5xx are survived until then; a refusal (400, 401, ...) ends the order.
- All orders of a worker wait by the engine of its one client, as all other waits of that client do.

An order that has failed stays so: ordered again, it raises the same error. Its copy, if there is
one, can be waited for by ``client.batches``; or give the order another name.

What it costs
-------------
Rows written for one order, by DBOS 3.4: 9 on SQLite, 7 on PostgreSQL, however long it waits; two
more for each restart in between. A look at the service writes nothing. To give an order takes one
transaction, about 1 ms on PostgreSQL and the disk's flush on SQLite (20 ms on a slow one). It is
begun ``look_every`` seconds later at most, with four requests: the source, the workspace's list,
which orders that begin together share, and the two POSTs. A thousand waits take 30 to 50 MB. A
worker that has nothing to do reads a few rows each ``look_every``, and all results that a process
awaits are one read more. Starting a worker holds the loop for about 0.1 s.

``max_starts_per_second`` is one rate for all workers, kept by DBOS's queue. It limits what is
begun, hence POSTs; looks are limited by each client's ``max_requests_per_second``. A worker that
comes back is not held to it for what it had begun, which is no longer counted either: up to a
second's worth more may begin then.

What was finished stays in the database until you delete it (``DBOSClient.delete_workflows``). DBOS
keeps results as pickles: whoever may write to the database can run code in your processes.

Many machines
-------------
PostgreSQL is for many machines; SQLite for one, several processes of which may share the file. Each
worker needs an ``executor_id`` of its own that a restart keeps, such as the name of a StatefulSet's
pod: it takes up what was begun under that name, when it starts, and no other worker touches that
while it is down. What waits in the queue is anybody's.

A worker that never comes back leaves what it has begun PENDING. Move it in one of these ways:

- start a worker with its ``executor_id``, on any machine;
- ``await durable.take_over("worker-7")``, from any process: the other workers go on at once;
- ``dbos workflow list`` and ``dbos workflow resume ID``, one by one.

Make sure that it is dead. If it is not, the work is done twice until the first one notices; there
is still one copy.

Deploys
-------
DBOS resumes what was begun by the same ``application_version`` alone, and by default that is a hash
of all workflows' code: each deploy would strand what is under way. Here it is a constant, that this
package raises when the order of the steps changes. An application that sets it by ``config`` or
``DBOS__APPVERSION`` keeps it over its deploys, or lets the old version finish. DBOS is one for each
process, and this worker launches it; an application's own workflows run in it, too.
"""

try:
    from prolific_async.durable.batches import DurableBatches, Order
except ModuleNotFoundError as error:
    if error.name != "dbos":
        raise
    raise ImportError(
        "prolific_async.durable needs the extra: pip install 'prolific-async[durable]'"
    ) from error

__all__ = ["DurableBatches", "Order"]
