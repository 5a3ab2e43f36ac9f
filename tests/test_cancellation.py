"""Cancelling any public coroutine at any point where it awaits leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
import tempfile
from contextlib import aclosing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self, get_args

import pytest

from prolific_async import (
    Batch,
    BatchFailedError,
    BatchSync,
    Dataset,
    Datasets,
    DatasetSchema,
    Export,
    JobStatus,
    PollPolicy,
    ProlificClient,
    Report,
    RetryPolicy,
    SchemaMigration,
    TaskDetails,
    Upload,
    WaitFailedError,
    WaitTimeoutError,
    Workspaces,
)
from prolific_async.batches import Batches
from prolific_async.simulator import Fault, Simulator
from tests.conftest import NOON
from tests.samples import batch, dataset, task_response
from tests.stepping import Manner, cancelled_at
from tests.uvloops import timers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

QUICK = "woken"  # where a result can get lost
MANNERS = [
    pytest.param(manner, marks=() if manner == QUICK else pytest.mark.slow)
    for manner in get_args(Manner)
]
SOON = 5.0  # seconds after which a call counts as hanging
POLL = PollPolicy(initial=0.001, maximum=0.001, jitter=0, timeout=SOON)
RETRY = RetryPolicy(initial=0.0001, maximum=0.0001)
LOST = Fault(reset="after")


class ClientWithBatches:
    """Some batches and a client with a single connection, which must not be lost."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.workspace = sim.add_workspace()
        self.source = sim.add_batch(workspace_id=self.workspace)
        self.ids = [
            sim.add_batch(status="PROCESSING", workspace_id=self.workspace) for _ in range(9)
        ]
        self.one = self.ids[0]
        self.pending: list[asyncio.Task[Batch]] = []
        self.client = ProlificClient(
            sim.token,
            base_url=sim.url,
            poll=POLL,
            retry=RETRY,
            request_timeout=SOON,
            max_connections=1,
        )
        self.verbs = self.client.batches
        self.batch = batch("UNINITIALISED", self.source, workspace_id=self.workspace).bind(
            self.verbs
        )
        self.ready = batch("PROCESSING", self.one, workspace_id=self.workspace).bind(self.verbs)

    def meets(self, method: str, route: str, *faults: Fault) -> None:
        for fault in faults:
            self.sim.inject(method, route, fault)

    async def __aenter__(self) -> Self:
        return self

    async def close(self) -> None:
        await self.client.close()
        for wait in self.pending:
            with pytest.raises(WaitFailedError, match="closed"):
                await wait

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        self.sim.clear_faults()
        for batch_id in [one.id for one in self.sim.batches.values()]:
            self.sim.remove(batch_id)


async def all_of(generator: AsyncGenerator[Any]) -> list[Any]:
    async with aclosing(generator):
        return [one async for one in generator]


async def stream(ids: list[str]) -> AsyncGenerator[str]:
    for one in ids:
        yield one
        await asyncio.sleep(0)


async def entered(client: ProlificClient, batch_id: str) -> None:
    async with client:
        await client.batches.get_status(batch_id)


async def _duplicate_lost(setting: ClientWithBatches) -> None:
    setting.meets("POST", "/duplicate", LOST)
    await setting.verbs.duplicate(setting.source, name="unique")


async def _get_or_duplicate_lost(setting: ClientWithBatches) -> None:
    setting.meets("POST", "/duplicate", LOST)
    await setting.verbs.get_or_duplicate(setting.source, name="unique")


async def _duplicate_and_wait(setting: ClientWithBatches) -> None:
    await setting.verbs.duplicate_and_wait(setting.source, timeout=SOON)


async def _setup_lost(setting: ClientWithBatches) -> None:
    setting.meets("POST", "/setup", Fault(reset="before"), LOST)
    await setting.verbs.setup(setting.source)


async def _retried(setting: ClientWithBatches) -> None:
    setting.meets("GET", "/status", Fault(503), Fault(cut=1), Fault(delay=0.002))
    await setting.verbs.get_status(setting.source)


async def _pages(setting: ClientWithBatches) -> None:
    link = {"next": {"href": f"/?workspace_id={setting.workspace}&page=2"}}
    setting.meets("GET", "/batches", Fault(body={"results": [], "_links": link}))
    await setting.verbs.list(setting.workspace)


async def _dripping(setting: ClientWithBatches) -> None:
    setting.meets("GET", "/status", Fault(drip=0.0))
    await setting.verbs.get_status(setting.source)


async def _failing(setting: ClientWithBatches) -> None:
    setting.sim.fail(setting.one)
    with pytest.raises(BatchFailedError):
        await setting.verbs.wait_until_ready(setting.one)


async def _late(setting: ClientWithBatches) -> None:
    setting.sim.set_status(setting.one, "UNINITIALISED")
    with pytest.raises(WaitTimeoutError):
        await setting.verbs.wait_until_ready(setting.one, timeout=0.005)


async def _streamed(setting: ClientWithBatches) -> None:
    async with aclosing(stream(setting.ids[:3])) as ids:
        await all_of(setting.verbs.as_ready(ids))


async def _close(setting: ClientWithBatches) -> None:
    await setting.verbs.get_status(setting.source)
    await setting.client.close()


async def _close_with_waits(setting: ClientWithBatches) -> None:
    setting.sim.set_status(setting.one, "UNINITIALISED")
    setting.pending = [
        asyncio.create_task(setting.verbs.wait_until_ready(setting.one)) for _ in range(3)
    ]
    await setting.verbs.get_status(setting.source)
    await setting.client.close()


FILE = Path(__file__)  # any text; its first line is a header of one column
TASK = TaskDetails("Rate", "Read both.", "Choose one.")
SCHEMA = DatasetSchema.of(prompt="text")
SYNC = {"sync_id": "s-1", "batch_id": "b-1", "status": "queued"}
NEW_DATASET = dataset("UNINITIALISED").to_dict()
IDS = {"import_id": "i-1", "job_id": "j-1", "sync_id": "s-1"}
JOB = IDS | {"dataset_id": "d1", "batch_id": "b-1", "status": "queued"}


async def _create(setting: ClientWithBatches) -> None:
    setting.meets("POST", "/batches", Fault(status=201, body=batch().to_dict()))
    await setting.verbs.create(setting.workspace, name="unique", task=TASK)


async def _create_lost(setting: ClientWithBatches) -> None:
    made = batch(name="unique", created_at=NOON.isoformat()).to_dict()
    setting.meets("POST", "/batches", Fault(503))
    setting.meets("GET", "/batches", Fault(body={"results": [made]}))
    await setting.verbs.create(setting.workspace, name="unique", task=TASK)


async def _updated(setting: ClientWithBatches, *, bound: bool = False) -> None:
    changed = Fault(body=batch().to_dict())
    setting.meets("PATCH", f"/{setting.source}", Fault(503), changed)
    if bound:
        await setting.batch.update(name="R")
    else:
        await setting.verbs.update(setting.source, name="R")


async def _synced(setting: ClientWithBatches, *, bound: bool = False) -> None:
    setting.meets("POST", "/sync", Fault(503), Fault(status=202, body=SYNC))
    await (setting.batch.sync() if bound else setting.verbs.sync(setting.source))


async def _listed(setting: ClientWithBatches, verb: str, *, bound: bool = False) -> None:
    for route in ("/tasks", "/task-groups"):
        setting.meets("GET", route, Fault(body=["one"]))
    calls: Any = setting.batch if bound else setting.verbs
    await getattr(calls, verb)(*([] if bound else [setting.source]))
    setting.sim.clear_faults()


async def _answered(setting: ClientWithBatches, *, bound: bool = False) -> None:
    setting.meets("GET", "/responses", Fault(body={"results": [task_response()] * 3}))
    of_batch = setting.batch.responses() if bound else setting.verbs.responses(setting.source)
    assert len([one async for one in of_batch]) == 3
    setting.sim.clear_faults()


async def _dataset(setting: ClientWithBatches, verb: str, *given: Any, bound: bool = False) -> None:
    """Call a verb of datasets with a service that answers it."""
    appended = {"accepted": 1, "rejected": 0, "errors": []}
    setting.meets("POST", "/datasets", Fault(status=201, body=NEW_DATASET))
    for method, route, body in (
        ("GET", "/d1", NEW_DATASET),
        ("GET", "/d1/status", {"status": "READY"}),
        ("PATCH", "/d1", NEW_DATASET | {"migration_job_id": "j-1"}),
    ):
        setting.meets(method, route, Fault(body=body))
    setting.meets("POST", "/datapoints", Fault(409), Fault(503), Fault(body=appended))
    datasets = setting.client.datasets
    v4 = dataset(None, schema_version=4).bind(datasets)
    calls: Any = v4 if bound else datasets
    name = {} if verb != "create" else {"name": "Rows"}
    first = [setting.workspace] if verb == "create" else [] if bound else ["d1"]
    await getattr(calls, verb)(*first, *given, **name)
    setting.sim.clear_faults()


async def _uploaded(setting: ClientWithBatches, source: str, *, bound: bool = False) -> None:
    """Upload a file to the storage of its presigned URL; the first attempt is lost."""
    datasets = setting.client.datasets
    rows = await datasets.create(setting.workspace, name="Rows")
    setting.meets("PUT", "/x.csv", Fault(cut_request=7))
    named: dict[str, Any] = {"filename": "x.csv"}
    if source == "path":
        await datasets.upload(rows, FILE, **named)
    elif source == "stream":
        await datasets.upload(rows, pieces(), **named)
    elif source == "open file":
        await datasets.upload(rows, io.BytesIO(b"k,v\n1,2\n"), **named)
    else:
        given = iter([{"k": "x" * 30}] * 30)
        await (rows.upload(given, **named) if bound else datasets.upload(rows, given, **named))


async def _reported(setting: ClientWithBatches, *, download: bool = False) -> None:
    """Read a report, or save it; the first connection to the storage is lost."""
    answered = setting.sim.add_batch(status="READY", datapoints=3, workspace_id=setting.workspace)
    setting.sim.answer(answered, participants=3)
    setting.meets("GET", "/report.csv", Fault(cut=300))
    report = setting.verbs.report(answered)
    if download:
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            await report.download(Path(folder, "report.csv"))
    else:
        assert len(await all_of(report.rows())) == 3


async def pieces() -> AsyncGenerator[bytes]:
    for piece in (b"k,v\n", b"1,2\n" * 100, b"3,4\n" * 100):
        await asyncio.sleep(0)
        yield piece


async def _job_waited(setting: ClientWithBatches, kind: str, *, bound: bool = False) -> None:
    """Wait for a dataset or a job; its first two polls show it running, or are lost."""
    under_way = Fault(body=JOB | {"status": "processing"})
    ended = Fault(body=JOB | {"status": "complete"})
    datasets = setting.client.datasets
    job: Any
    match kind:
        case "Upload":
            job, route = Upload("i-1", "d1", "r.csv", 1, None, "i-1").bind(datasets), "/i-1"
            setting.meets("GET", "/d1", Fault(body=NEW_DATASET))
        case "SchemaMigration":
            job, route = SchemaMigration.from_dict(JOB).bind(datasets), "/j-1"
        case "BatchSync":
            job, route = BatchSync.from_dict(JOB).bind(setting.verbs), "/s-1"
        case _:
            under_way, ended = Fault(body=NEW_DATASET), Fault(body=dataset().to_dict())
            route = "/d1"
    setting.meets("GET", route, under_way, Fault(503), ended)
    if kind == "Dataset":
        free = dataset()
        await (free.bind(datasets) if bound else datasets).wait_until_ready(*[free][bound:])
    else:
        await job.wait()
    setting.sim.clear_faults()


async def _export(setting: ClientWithBatches, verb: str, *, bound: bool = False) -> None:
    """Call a verb of exports; what the storage sends is cut once."""
    link = f"{setting.sim.url}/export.zip?X-Amz-Signature=0"
    under_way = Fault(body={"status": "generating"})
    complete = Fault(body={"status": "complete", "url": link})
    begun = {"export_id": "e1", "status": "generating"}
    export = Export("e1", setting.source, JobStatus.GENERATING).bind(setting.verbs)
    calls: Any = setting.batch if bound else setting.verbs
    given = [] if bound else [setting.source]
    match verb:
        case "export":
            setting.meets("POST", "/export", Fault(status=202, body=begun))
            await calls.export(*given)
        case "export, lost":
            listed = begun | {"created_at": NOON.isoformat()}
            setting.meets("POST", "/export", Fault(503))
            setting.meets("GET", "/export", Fault(503), Fault(body={"results": [listed]}))
            await calls.export(*given)
        case "exports":
            setting.meets("GET", "/export", Fault(503), Fault(body=[]))
            await calls.exports(*given)
        case "wait":
            setting.meets("GET", "/e1", under_way, Fault(503), complete)
            await export.wait()
        case "delete":
            setting.meets("DELETE", "/e1", Fault(503), Fault(404))
            await export.delete()
        case _:
            setting.meets("GET", "/e1", under_way, complete, complete)
            setting.meets("GET", "/export.zip", Fault(body=b"PK" * 9, cut=7), Fault(body=b"PK" * 9))
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
                await export.download(Path(directory) / "x.zip")
    setting.sim.clear_faults()


CALLS: dict[str, Callable[[ClientWithBatches], Awaitable[object]]] = {
    "Batches.create": _create,
    "Batches.create, lost": _create_lost,
    "Batches.update": _updated,
    "Batch.update": partial(_updated, bound=True),
    "Batches.sync": _synced,
    "Batch.sync": partial(_synced, bound=True),
    **{
        f"{kind}.{verb}": partial(_listed, verb=verb, bound=kind == "Batch")
        for verb in ("task_ids", "task_group_ids", "preview_url")
        for kind in ("Batches", "Batch")
    },
    **{
        f"{kind}.{verb}": partial(_export, verb=verb, bound=kind == "Batch")
        for kind, verbs in {
            "Batches": ("export", "export, lost", "exports"),
            "Batch": ("export", "exports"),
            "Export": ("wait", "download", "delete"),
        }.items()
        for verb in verbs
    },
    "Batches.responses": _answered,
    "Batch.responses": partial(_answered, bound=True),
    "Datasets.create": lambda setting: _dataset(setting, "create"),
    "Datasets.get": lambda setting: _dataset(setting, "get"),
    "Datasets.get_status": lambda setting: _dataset(setting, "get_status"),
    "Datasets.update_schema": lambda setting: _dataset(setting, "update_schema", SCHEMA),
    "Datasets.append": lambda setting: _dataset(setting, "append", [{"prompt": "x"}]),
    "Dataset.refresh": lambda setting: _dataset(setting, "refresh", bound=True),
    "Dataset.get_status": lambda setting: _dataset(setting, "get_status", bound=True),
    "Dataset.update_schema": lambda setting: _dataset(setting, "update_schema", SCHEMA, bound=True),
    "Dataset.append": lambda setting: _dataset(setting, "append", [{"prompt": "x"}], bound=True),
    "Datasets.upload, rows": partial(_uploaded, source="rows"),
    "Datasets.upload, path": partial(_uploaded, source="path"),
    "Datasets.upload, byte stream": partial(_uploaded, source="stream"),
    "Datasets.upload, open file": partial(_uploaded, source="open file"),
    "Dataset.upload": partial(_uploaded, source="rows", bound=True),
    "Datasets.wait_until_ready": lambda setting: _job_waited(setting, "Dataset"),
    "Dataset.wait_until_ready": lambda setting: _job_waited(setting, "Dataset", bound=True),
    "Upload.wait": lambda setting: _job_waited(setting, "Upload"),
    "SchemaMigration.wait": lambda setting: _job_waited(setting, "SchemaMigration"),
    "BatchSync.wait": lambda setting: _job_waited(setting, "BatchSync"),
    "Batches.get_status": lambda setting: setting.verbs.get_status(setting.one),
    "Batches.get_status, retried": _retried,
    "Batches.get_status, dripping": _dripping,
    "Batches.get": lambda setting: setting.verbs.get(setting.one),
    "Batches.list": lambda setting: setting.verbs.list(setting.workspace),
    "Batches.list, pages": _pages,
    "Batches.find_copies": lambda setting: setting.verbs.find_copies(
        setting.source, name="Round 2"
    ),
    "Batches.duplicate": lambda setting: setting.verbs.duplicate(setting.source),
    "Batches.duplicate, lost": _duplicate_lost,
    "Batches.get_or_duplicate": lambda setting: setting.verbs.get_or_duplicate(
        setting.source, name="unique"
    ),
    "Batches.get_or_duplicate, lost": _get_or_duplicate_lost,
    "Batches.duplicate_and_wait": _duplicate_and_wait,
    "Batches.duplicate_and_wait, named": lambda setting: setting.verbs.duplicate_and_wait(
        setting.source, name="unique"
    ),
    "Batches.duplicate_and_wait_all": lambda setting: setting.verbs.duplicate_and_wait_all(
        setting.source, ["one", "two"]
    ),
    "Batches.setup": lambda setting: setting.verbs.setup(setting.source),
    "Batches.setup, lost": _setup_lost,
    "Batches.wait_until_ready": lambda setting: setting.verbs.wait_until_ready(setting.one),
    "Batches.wait_until_ready, ERROR": _failing,
    "Batches.wait_until_ready, late": _late,
    "Batches.wait_all": lambda setting: setting.verbs.wait_all(setting.ids[:3]),
    "Batches.wait_all, list": lambda setting: setting.verbs.wait_all(setting.ids),
    "Batches.as_ready": lambda setting: all_of(setting.verbs.as_ready(setting.ids[:3])),
    "Batches.as_ready, stream": _streamed,
    "Batches.watch": lambda setting: all_of(setting.verbs.watch(setting.one)),
    "Batch.refresh": lambda setting: setting.batch.refresh(),
    "Batch.get_status": lambda setting: setting.batch.get_status(),
    "Batch.find_copies": lambda setting: setting.batch.find_copies(name="Round 2"),
    "Batch.duplicate": lambda setting: setting.batch.duplicate(name="unique"),
    "Batch.get_or_duplicate": lambda setting: setting.batch.get_or_duplicate(name="unique"),
    "Batch.duplicate_and_wait": lambda setting: setting.batch.duplicate_and_wait(),
    "Batch.duplicate_and_wait_all": lambda setting: setting.batch.duplicate_and_wait_all(
        ["unique"]
    ),
    "Report.rows": _reported,
    "Report.download": partial(_reported, download=True),
    "Workspaces.list": lambda setting: setting.client.workspaces.list(),
    "Batch.setup": lambda setting: setting.batch.setup(),
    "Batch.wait_until_ready": lambda setting: setting.ready.wait_until_ready(),
    "Batch.watch": lambda setting: all_of(setting.ready.watch()),
    "ProlificClient.close": _close,
    "ProlificClient.close, waits": _close_with_waits,
    "ProlificClient.__aenter__ and __aexit__": lambda setting: entered(setting.client, setting.one),
}
ALONE = frozenset(
    name
    for name in CALLS
    if name.endswith((" ERROR", " late")) or name.startswith("ProlificClient")
)


async def _started(sim: Simulator) -> None:
    await sim.start()
    await sim.close()


async def _served(sim: Simulator) -> None:
    async with sim:
        await asyncio.sleep(0)


SIMULATED: dict[str, Callable[[Simulator], Awaitable[object]]] = {
    "Simulator.start and close": _started,
    "Simulator.__aenter__ and __aexit__": _served,
}


def others() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def nothing_runs(setting: ClientWithBatches, manner: Manner) -> None:
    if manner == "twice":  # the second cancellation ended the wait for the cleanup
        for _ in range(3):
            await asyncio.sleep(0)
    assert not others()
    # Of an idle connection, and of no attempt that is under way.
    assert timers(but=("aiohttp", "prolific_async._http.time_limit")) == []
    if not setting.client._transport.is_closed:
        for batch_id in setting.ids:
            setting.verbs.poll_now(batch_id)
        await asyncio.sleep(0)
        assert not others(), "somebody still waits"


async def next_call_works(setting: ClientWithBatches) -> None:
    if not setting.client._transport.is_closed:
        async with asyncio.timeout(SOON):
            assert await setting.verbs.get_status(setting.source) is not None
            await setting.verbs.wait_until_ready(setting.ids[-1])


def descriptors() -> int:
    """Count the open sockets, pipes and files, without those that uvloop keeps in reserve."""
    links = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # of the listing itself
            links.append(one.readlink())
    return len(links) - links.count(Path("/dev/null"))


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("name", CALLS)
async def test_a_cancelled_call_leaves_nothing(
    far_sim: Simulator, name: str, manner: Manner
) -> None:
    gc.freeze()  # so that the collections below need not visit all that there is
    before = descriptors()
    came_that_far, steps = True, count(1)
    while came_that_far:
        async with ClientWithBatches(far_sim) as setting:
            came_that_far = await cancelled_at(next(steps), manner, partial(CALLS[name], setting))
            if setting.pending:
                await setting.close()
            if "stream" in name:
                gc.collect()  # an open generator is closed now, in a task
                await asyncio.sleep(0)
            await nothing_runs(setting, manner)
            far_sim.clear_faults()
            await next_call_works(setting)
        assert timers() == []
        assert not others()
    assert next(steps) > 2
    async with asyncio.timeout(SOON):
        while descriptors() > before:  # of the server, which has yet to hear of it
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("name", [name for name in CALLS if name not in ALONE])
async def test_a_cancelled_call_disturbs_no_other(
    far_sim: Simulator, name: str, manner: Manner
) -> None:
    came_that_far, steps = True, count(1)
    while came_that_far:
        async with ClientWithBatches(far_sim) as setting:
            shared = asyncio.gather(
                setting.verbs.wait_until_ready(setting.one),
                setting.verbs.get_status(setting.source),
                setting.verbs.wait_until_ready(setting.one),
            )
            await asyncio.sleep(0)
            came_that_far = await cancelled_at(next(steps), manner, partial(CALLS[name], setting))
            async with asyncio.timeout(SOON):
                await shared
            await nothing_runs(setting, manner)
        assert timers() == []


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("name", SIMULATED)
async def test_a_cancelled_simulator_leaves_nothing(name: str, manner: Manner) -> None:
    before = descriptors()
    came_that_far, steps = True, count(1)
    while came_that_far:
        sim = Simulator()
        came_that_far = await cancelled_at(next(steps), manner, partial(SIMULATED[name], sim))
        await sim.close()
        await sim.close()
        assert descriptors() <= before  # fewer, where a test before closes late
        assert not others()
        assert timers() == []
    assert next(steps) > 2


def test_every_public_coroutine_is_cancelled() -> None:
    jobs = (Upload, SchemaMigration, BatchSync, Export)
    kinds = (
        Batch,
        Batches,
        Dataset,
        Datasets,
        *jobs,
        Report,
        Workspaces,
        ProlificClient,
        Simulator,
    )
    public = {
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if inspect.iscoroutinefunction(member)
        or "AsyncGenerator" in str(inspect.signature(member).return_annotation)
        if name in ("__aenter__", "__aexit__") or not name.startswith("_")
    }
    internal = {"Batches.close"}  # the client's own, whose close is cancelled
    tried = {
        f"{call.partition('.')[0]}.{name}"
        for call in (*CALLS, *SIMULATED)
        for name in call.partition(".")[2].partition(",")[0].split(" and ")
    }
    assert tried == public - internal
