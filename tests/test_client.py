"""``ProlificClient``: its options, and the life of its session."""

from __future__ import annotations

import asyncio
import gc
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from prolific_async import (
    AuthenticationError,
    Batch,
    BatchStatus,
    ConfigurationError,
    OutcomeUnknownError,
    PollPolicy,
    ProlificClient,
    ProlificError,
    RetryPolicy,
    WaitFailedError,
)
from prolific_async.simulator import AfterSeconds, Fault, Simulator
from tests.conftest import QUICK_POLL
from tests.uvloops import UVLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Loops = Callable[[], asyncio.AbstractEventLoop]

HERE = "http://127.0.0.1:1"
SOON = 20.0  # seconds after which a call counts as hanging, less than anything is delayed for

LOOPS = pytest.mark.parametrize(
    "loops",
    [
        asyncio.SelectorEventLoop,
        pytest.param(
            UVLoop, marks=pytest.mark.skipif(UVLoop is None, reason="there is no uvloop here")
        ),
    ],
    ids=["asyncio", "uvloop"],
)
# A loop that is closed before its connections leaves them to the garbage collector, which warns.
# uvloop warns while it closes, and hangs for good where that warning is an error.
LEAVES_CONNECTIONS = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a test leaves behind before the next one, for which it would be a warning."""
    yield
    gc.collect()


def test_constructing_needs_no_loop() -> None:
    client = ProlificClient("t")
    assert repr(client) == "<ProlificClient https://api.prolific.com>"


@pytest.mark.parametrize(
    "token", ["", "a b", "a\n", "\ta", "a\x00b", "a\x7f", "a\u2028b", "a\u200b", "\ufeffa"]
)
def test_a_token_that_no_header_can_hold_is_refused(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="token") as caught:
        ProlificClient(token)
    assert not token.strip() or token not in str(caught.value)
    monkeypatch.setenv("PROLIFIC_TOKEN", token.replace("\x00", "\x01"))
    with pytest.raises(ConfigurationError, match="token"):
        ProlificClient()


@pytest.mark.parametrize("text", [None, "", " ", "\t\n"])
def test_a_missing_token_is_an_error_that_names_the_variable(
    text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        monkeypatch.setenv("PROLIFIC_TOKEN", text)
    with pytest.raises(ConfigurationError, match=r"no token: .* PROLIFIC_TOKEN") as caught:
        ProlificClient()
    assert "not read" not in str(caught.value)


@pytest.mark.parametrize("name", ["PROLIFIC_API_TOKEN", "PROLIFIC_API_KEY"])
def test_a_token_in_another_variable_is_mentioned(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "s3cret")
    with pytest.raises(ConfigurationError, match=rf"PROLIFIC_TOKEN \({name} is set.* not read\)"):
        ProlificClient()
    ProlificClient("t")


def test_an_empty_token_does_not_fall_back_to_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROLIFIC_TOKEN", "t")
    with pytest.raises(ConfigurationError, match="the token given is empty"):
        ProlificClient("")


@pytest.mark.parametrize("address", ["https://{}", "https://{}:8443/api/v1", "https://{}/gateway"])
def test_a_base_url_with_the_token_as_its_host_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "S3cret-0f_the.account"
    monkeypatch.setenv("PROLIFIC_TOKEN", token)
    monkeypatch.setenv("PROLIFIC_URL", address.format(token))
    with pytest.raises(ConfigurationError, match="has the token as its host") as caught:
        ProlificClient()
    assert "s3cret" not in str(caught.value).lower()
    shown = [frame.f_locals for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert "s3cret" not in repr(shown[1:]).lower()  # the first is this test
    with pytest.raises(ConfigurationError, match="has the token as its host"):
        ProlificClient(token.lower())
    ProlificClient("account")  # what is only in the host may be a word


def test_swapped_token_and_base_url_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROLIFIC_TOKEN", "https://api.prolific.com")
    monkeypatch.setenv("PROLIFIC_URL", "s3cret")
    with pytest.raises(ConfigurationError, match="swapped") as caught:
        ProlificClient()
    assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("PROLIFIC_TOKEN", "t")
    with pytest.raises(ConfigurationError, match="https://") as caught:
        ProlificClient()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "s3cret",
        "https://s3cret@api.prolific.com",
        "https://api.prolific.com/?s3cret",
        "https://api.prolific.com/#s3cret",
        "https://[s3cret",
        "http://s3cret",
        "s3cret://api.prolific.com",
        "s3cret/api/v1",
        "s3cret:80",
        " s3cret ",
    ],
)
@pytest.mark.parametrize("by_variable", [False, True])
def test_no_error_shows_a_token_given_as_base_url(
    address: str,
    by_variable: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROLIFIC_URL", address if by_variable else "")
    for token in ("t", "https://api.prolific.com", None):
        with pytest.raises(ConfigurationError) as caught:
            ProlificClient(token, base_url=None if by_variable else address)
        frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
        shown = [repr(frame.f_locals) for frame in frames[1:]]  # the first is this test
        assert not [text for text in (*shown, repr(caught.value)) if "s3cret" in text]


async def test_no_error_shows_a_token_given_as_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for proxy in ("http://s3cret:x", "socks5://s3cret:1", "http://[s3cret", "s3cret://p:1"):
        monkeypatch.setenv("https_proxy", proxy)
        async with ProlificClient("t", retry=RetryPolicy(max_attempts=1)) as client:
            with pytest.raises(ConfigurationError) as caught:
                await client.batches.get("b1")
        frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
        shown = [repr(frame.f_locals) for frame in frames[1:]]
        assert not [text for text in (*shown, repr(caught.value)) if "s3cret" in text]


async def test_settings_come_from_the_environment(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROLIFIC_TOKEN", sim.token)
    monkeypatch.setenv("PROLIFIC_URL", sim.url + "/")
    async with ProlificClient() as client:
        assert await client.batches.list(sim.workspace_id) == []


def test_arguments_take_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROLIFIC_URL", "https://environment.example")
    assert "argument.example" in repr(ProlificClient("t", base_url="https://argument.example/"))
    assert "environment.example" in repr(ProlificClient("t"))
    for empty in ("", "  "):
        monkeypatch.setenv("PROLIFIC_URL", empty)
        assert "api.prolific.com" in repr(ProlificClient("t"))


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "http://api.prolific.com",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://api.prolific.com",
        "api.prolific.com",
        "https://",
        "https://user:w0rd@api.prolific.com",
        "https://t@api.prolific.com",
        "https://api.prolific.com?x=1",
        "https://api.prolific.com#x",
        "https://api.prolific.com/ x",
        "https://api.prolific.com\n",
        "https://[::1",
        "http://[::1].evil.example",
        5,
        "https://api.prolific.com/api/v1/data-collection/batches",
        "https://gateway.example/api/v1/data-collection/batches/b1/status/",
    ],
)
def test_an_unsafe_base_url_is_refused(base_url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"base_url \(PROLIFIC_URL\)") as caught:
        ProlificClient("t", base_url=base_url)
    assert "w0rd" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.prolific.com",
        "https://gateway.example/prolific/",
        "http://localhost:8765",
        "http://127.0.0.1:8765",
        "http://[::1]:8765",
    ],
)
def test_a_safe_base_url_is_accepted(base_url: str) -> None:
    ProlificClient("t", base_url=base_url)


@pytest.mark.parametrize("suffix", ["", "/api/v1", "/api/v1/data-collection"])
@pytest.mark.parametrize("slashes", ["", "/", "//"])
@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.prolific.com",
        "https://api",
        "http://[::1]:8765",
        "https://gateway.example/prolific",
        "https://gateway.example/api/v1/prolific",
        "https://gateway.example/a%20b",
        "https://gateway.example/xapi",
    ],
)
def test_a_base_url_may_end_with_the_path_of_the_api(
    base_url: str, slashes: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for written in (base_url + suffix + slashes, base_url + slashes + suffix):
        assert repr(ProlificClient("t", base_url=written)) == f"<ProlificClient {base_url}>"
        monkeypatch.setenv("PROLIFIC_URL", written)
        assert repr(ProlificClient("t")) == f"<ProlificClient {base_url}>"


@pytest.mark.parametrize("suffix", ["/api/v1", "/api/v1/data-collection/"])
async def test_requests_go_to_the_path_of_the_api(sim: Simulator, suffix: str) -> None:
    async with ProlificClient(sim.token, base_url=sim.url + suffix) as client:
        assert await client.batches.list(sim.workspace_id) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"request_timeout": 0},
        {"request_timeout": -1},
        {"request_timeout": float("nan")},
        {"request_timeout": None},
        {"request_timeout": True},
        {"max_connections": 0},
        {"max_connections": 2.5},
        {"max_connections": True},
        {"retry": None},
        {"poll": {}},
        {"session": 5},
        {"trace_configs": None},
        {"trace_configs": [5]},
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        ProlificClient("t", **settings)


async def test_trace_configs_trace_the_clients_own_session(sim: Simulator) -> None:
    seen = []

    async def started(session: object, context: object, params: Any) -> None:
        seen.append(params.method)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    async with ProlificClient(sim.token, base_url=sim.url, trace_configs=[trace]) as client:
        await client.batches.list(sim.workspace_id)
    assert seen == ["GET"]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="trace_configs"):
            ProlificClient("t", session=session, trace_configs=[trace])


def test_a_client_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(ProlificClient("t"))


async def test_close_is_idempotent_and_later_use_is_an_error(sim: Simulator) -> None:
    client = ProlificClient(sim.token, base_url=sim.url)
    batch_id = sim.add_batch(status="READY")
    batch = await client.batches.get(batch_id)
    await client.close()
    await client.close()
    uses: list[Callable[[], Any]] = [
        client.__aenter__,
        lambda: client.batches.get(batch_id),
        lambda: client.batches.duplicate(batch_id),
        lambda: client.batches.setup(batch_id),
        lambda: client.batches.wait_until_ready(batch_id),
        lambda: client.batches.wait_all([batch_id]),
        batch.refresh,
    ]
    for use in uses:
        with pytest.raises(ConfigurationError, match="closed"):
            await use()
    for poll in (client.batches.watch, lambda one: client.batches.as_ready([one])):
        with pytest.raises(ConfigurationError, match="closed"):
            poll(batch_id)


async def test_close_before_any_use() -> None:
    client = ProlificClient("t")
    await client.close()


async def test_close_ends_pending_waits() -> None:
    async with Simulator(setup=AfterSeconds(60)) as sim:
        batch_id = sim.add_batch(status="PROCESSING")
        poll = PollPolicy(initial=10)
        client = ProlificClient(sim.token, base_url=sim.url, poll=poll)
        waits = [asyncio.create_task(client.batches.wait_until_ready(batch_id)) for _ in range(3)]
        while not sim.requests:
            await asyncio.sleep(0.001)
        await client.close()
        for wait in waits:
            with pytest.raises(WaitFailedError) as caught:
                await wait
            assert isinstance(caught.value.__cause__, ConfigurationError)


async def test_a_close_that_is_cancelled_still_closes_the_session(sim: Simulator) -> None:
    client = ProlificClient(sim.token, base_url=sim.url)
    sim.inject("GET", "/status", Fault(delay=0.5))
    waiting = asyncio.create_task(client.batches.wait_until_ready(sim.add_batch()))
    await asyncio.sleep(0.02)  # the poll, whose end close awaits, is under way
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(WaitFailedError, match="closed"):
        await waiting
    session = client._transport._session
    assert session is not None
    assert session.http.closed
    with pytest.raises(ConfigurationError, match="closed"):
        await client.batches.list("w1")


async def test_close_during_a_request() -> None:
    async with Simulator() as sim:
        batch_id = sim.add_batch(status="READY")
        sim.inject("GET", "/status", Fault(delay=5))
        client = ProlificClient(sim.token, base_url=sim.url, poll=QUICK_POLL)
        wait = asyncio.create_task(client.batches.wait_until_ready(batch_id))
        while not sim.in_flight:
            await asyncio.sleep(0.001)
        await client.close()
        with pytest.raises(WaitFailedError):
            await wait


PATIENT = RetryPolicy(initial=2000, maximum=2000)
LATER = Fault(status=429, headers={"Retry-After": "20"})


@pytest.mark.parametrize(
    ("verb", "path", "fault", "kind"),
    [
        ("get", "/{id}", LATER, ConfigurationError),
        ("get_status", "/status", Fault(503), ConfigurationError),
        ("list", "/batches", Fault(503), ConfigurationError),
        ("find_copies", "/batches", Fault(503), ConfigurationError),
        ("setup", "/setup", LATER, ConfigurationError),
        ("setup", "/setup", Fault(503), ConfigurationError),
        ("duplicate", "/duplicate", LATER, ConfigurationError),
        ("duplicate", "/duplicate", Fault(503), OutcomeUnknownError),
    ],
)
@pytest.mark.parametrize("borrowed", [False, True])
async def test_close_ends_a_pause_between_attempts(
    verb: str,
    path: str,
    fault: Fault,
    kind: type[ProlificError],
    borrowed: bool,  # noqa: FBT001
) -> None:
    loop = asyncio.get_running_loop()
    session = aiohttp.ClientSession() if borrowed else None
    async with Simulator() as sim:
        batch_id = sim.add_batch()
        method = "POST" if verb in {"setup", "duplicate"} else "GET"
        sim.inject(method, path.format(id=batch_id), fault, times=None)
        client = ProlificClient(sim.token, base_url=sim.url, retry=PATIENT, session=session)
        target = sim.workspace_id if verb == "list" else batch_id
        options = {"name": "Round 2"} if verb == "find_copies" else {}
        call = asyncio.create_task(getattr(client.batches, verb)(target, **options))
        while sim.in_flight or {seen.status for seen in sim.requests} <= {None, 200}:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        began = loop.time()
        await client.close()
        with pytest.raises(kind):
            await asyncio.wait_for(call, 5)
        assert loop.time() - began < 1
    if session is not None:
        await session.close()


@pytest.mark.parametrize("borrowed", [False, True])
async def test_close_ends_all_calls_that_wait_for_the_rate_limiter(borrowed: bool) -> None:  # noqa: FBT001
    loop = asyncio.get_running_loop()
    session = aiohttp.ClientSession() if borrowed else None
    async with Simulator() as sim:
        batch_id = sim.add_batch()
        sim.inject("GET", "/status", Fault(delay=30), times=None)
        client = ProlificClient(
            sim.token,
            base_url=sim.url,
            session=session,
            max_connections=3,
            max_requests_per_second=0.1,
        )
        calls = [asyncio.create_task(client.batches.get_status(batch_id)) for _ in range(50)]
        while not sim.in_flight:
            await asyncio.sleep(0.001)
        began = loop.time()
        await client.close()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert loop.time() - began < 1
        assert [type(end) for end in ends] == [ConfigurationError] * 50
        while sim.in_flight:
            await asyncio.sleep(0.001)
        assert len(sim.requests) == 1
    if session is not None:
        await session.close()


@LOOPS
@LEAVES_CONNECTIONS
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("used", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_borrowed_session_of_a_closed_loop_is_refused(
    far_sim: Simulator,
    used: bool,  # noqa: FBT001
    loops: Loops,
) -> None:
    batch_id = far_sim.add_batch(status="READY")

    async def make() -> tuple[ProlificClient, aiohttp.ClientSession]:
        session = aiohttp.ClientSession()
        client = ProlificClient(far_sim.token, base_url=far_sim.url, session=session)
        if used:
            await client.batches.list(far_sim.workspace_id)
        return client, session

    async def use(client: ProlificClient, session: aiohttp.ClientSession) -> None:
        verbs = client.batches
        for call in (
            verbs.list(far_sim.workspace_id),
            verbs.duplicate(batch_id),
            verbs.setup(batch_id),
            verbs.wait_until_ready(batch_id),
            verbs.wait_all([batch_id, batch_id]),
        ):
            with pytest.raises((ConfigurationError, WaitFailedError)) as caught:
                async with asyncio.timeout(SOON):
                    await call
            failure = caught.value.failure or caught.value
            assert type(failure) is ConfigurationError
            assert "another event loop" in str(failure)
        await client.close()
        await session.close()

    with asyncio.Runner(loop_factory=loops) as runner:
        client, session = runner.run(make())
    with asyncio.Runner(loop_factory=loops) as runner:
        runner.run(use(client, session))


@LOOPS
@LEAVES_CONNECTIONS
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("then", ["use", pytest.param("close", marks=pytest.mark.slow)])
def test_a_client_makes_a_new_session_in_a_new_loop(
    far_sim: Simulator, then: str, loops: Loops
) -> None:
    batch_id = far_sim.add_batch(status="READY")

    async def use() -> None:
        async with asyncio.timeout(SOON):
            await asyncio.gather(*(client.batches.list(far_sim.workspace_id) for _ in range(3)))
            assert (await client.batches.wait_until_ready(batch_id)).id == batch_id

    async def close() -> None:
        async with asyncio.timeout(SOON):
            await client.close()

    client = ProlificClient(far_sim.token, base_url=far_sim.url)
    for _ in range(2):
        with asyncio.Runner(loop_factory=loops) as runner:
            runner.run(use())
    with asyncio.Runner(loop_factory=loops) as runner:
        if then == "use":
            runner.run(use())
        runner.run(close())


@LOOPS
@LEAVES_CONNECTIONS
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("under_way", ["waits", pytest.param("a search", marks=pytest.mark.slow)])
def test_calls_of_a_closed_loop_delay_no_other(under_way: str, loops: Loops) -> None:
    def lost_duplicate(name: str) -> Coroutine[Any, Any, Batch]:
        sim.inject("POST", "/duplicate", Fault(reset="after"))
        return client.batches.duplicate(batch_id, name=name)

    async def begin() -> None:
        if under_way == "waits":
            pending = [sim.add_batch(status="UNINITIALISED") for _ in range(3)]
            calls.extend(loop.create_task(client.batches.wait_until_ready(one)) for one in pending)
            while sum(one.path.endswith("/status") for one in sim.requests) < len(pending):
                await asyncio.sleep(0.001)
        else:
            sim.inject("GET", "/batches", Fault(delay=30))
            calls.append(loop.create_task(lost_duplicate("left undone")))
            while not [one for one in sim.in_flight if one.path.endswith("/batches")]:
                await asyncio.sleep(0.001)

    async def go_on() -> None:
        async with asyncio.timeout(SOON):
            assert (await client.batches.wait_until_ready(batch_id)).id == batch_id
            assert (await lost_duplicate("done")).name == "done"
            await client.close()

    calls: list[asyncio.Task[Any]] = []
    with Simulator() as sim:
        batch_id = sim.add_batch(status="READY")
        slow = PollPolicy(initial=30, maximum=30)
        client = ProlificClient(sim.token, base_url=sim.url, poll=slow)
        loop = loops()
        loop.run_until_complete(begin())
        loop.close()
        sim.clear_faults()
        with asyncio.Runner(loop_factory=loops) as runner:
            runner.run(go_on())
    for call in calls:  # they are never resumed, which asyncio would log
        assert not call.done()
        call._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio has no other way
    calls.clear()


def test_one_client_for_one_loop_after_the_other(port: int) -> None:
    async def once(client: ProlificClient) -> BatchStatus | None:
        # The service of the first loop is gone in the second, but the client does not mind.
        async with Simulator(token="t", port=port) as sim:
            return await client.batches.get_status(sim.add_batch(status="READY"))

    client = ProlificClient("t", base_url=f"http://127.0.0.1:{port}")
    for _ in range(3):
        assert asyncio.run(once(client)) is BatchStatus.READY
    asyncio.run(client.close())
    gc.collect()


def test_a_loop_may_be_closed_during_calls(far_sim: Simulator) -> None:
    under_way = asyncio.Event()

    async def hang_once(*_: object) -> None:
        if not under_way.is_set():
            under_way.set()
            await asyncio.Event().wait()

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(hang_once)
    client = ProlificClient(
        far_sim.token,
        base_url=far_sim.url,
        trace_configs=[trace],
        max_requests_per_second=1,
    )
    batch_id = far_sim.add_batch(status="READY")
    loop = asyncio.new_event_loop()
    calls: list[Any] = [loop.create_task(client.batches.get_status(batch_id)) for _ in range(2)]
    loop.run_until_complete(under_way.wait())
    loop.close()

    async def in_another() -> BatchStatus | None:
        async with client:
            return await client.batches.get_status(batch_id)

    assert asyncio.run(in_another()) is BatchStatus.READY
    assert not any(call.done() for call in calls)
    for call in calls:  # they are never resumed, which asyncio would log
        call._log_destroy_pending = False


def test_two_loops_at_once_are_refused() -> None:
    async def outer() -> None:
        async with Simulator() as sim, ProlificClient(sim.token, base_url=sim.url) as client:
            batch_id = sim.add_batch(status="READY")
            await client.batches.get(batch_id)
            inner: list[Callable[[], Any]] = [lambda: client.batches.get(batch_id), client.close]
            for use in inner:
                with pytest.raises(ConfigurationError, match="loop"):
                    await asyncio.to_thread(asyncio.run, use())
            await client.batches.get(batch_id)

    asyncio.run(outer())


async def test_a_borrowed_session_serves_many_clients() -> None:
    async with Simulator() as sim, aiohttp.ClientSession() as session:
        batch_id = sim.add_batch(status="READY")
        for token in (sim.token, "another"):
            async with ProlificClient(token, base_url=sim.url, session=session) as client:
                if token == sim.token:
                    await client.batches.get(batch_id)
                else:
                    with pytest.raises(AuthenticationError):
                        await client.batches.get(batch_id)
        assert not session.closed


async def test_calls_use_the_policies_of_the_client(sim: Simulator) -> None:
    batch_id = sim.add_batch(status="READY")
    sim.inject("GET", "/status", Fault(status=503), times=9)
    retry = RetryPolicy(max_attempts=2, initial=0, maximum=0)
    async with ProlificClient(sim.token, base_url=sim.url, retry=retry) as client:
        with pytest.raises(Exception, match="503"):
            await client.batches.get_status(batch_id)
    assert len(sim.requests) == 2
