"""A client and its simulator, with a fault that hits chosen requests between them."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

import aiohttp
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from prolific_async import PollPolicy, ProlificClient
from prolific_async.simulator import AfterSeconds, Simulator
from tests.faults.columns import GAP
from tests.faults.faults import Way
from tests.virtual_time import LoopbackLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Iterable
    from types import SimpleNamespace

    from prolific_async.simulator import Fault
    from tests.faults.faults import Row

HOST = "127.0.0.1"
_RANGE = re.compile(rb"(?i)\r\n(if-)?range:[^\r]*")


class Stage:
    """One run of a cell: the requests of the client, and which of them are hit.

    Requests are counted as the client sends them; one that aiohttp itself repeats, which it does
    once with a GET whose connection broke, is still the same and is hit again.
    """

    client: ProlificClient
    session: aiohttp.ClientSession

    def __init__(self, row: Row, fault: Fault, sim: Simulator) -> None:
        self.sim = sim
        self.requests: list[tuple[str, str]] = []
        self.ports: dict[Way, int] = {}
        self.relayed = 0  # responses that are being sent by something in between
        self._row = row
        self._fault = fault
        self._hits: Container[int] = ()
        self._under_way = 0
        self._hit_now = 0

    @property
    def is_hit(self) -> bool:
        """Whether the current request is hit."""
        return self._hit_now > 0

    def hit(self, numbers: Container[int]) -> None:
        """Make the fault hit the requests with these numbers; the next one is number 1."""
        self.requests.clear()
        self._hits = numbers

    def hit_storage(self, method: str, filename: str) -> None:
        """Make the fault hit the next request to the storage, which no trace config sees."""
        if self._row.way is Way.THROUGH:
            self._hit_now += 1
        else:
            scheme = "https" if self._row.way is Way.UNTRUSTED else "http"
            self.sim._uploads.urls.base_url = f"{scheme}://{HOST}:{self.ports[self._row.way]}"
        self.sim.inject(method, f"/{filename}", self._fault)
        if self._row.then is not None:
            self.sim.inject(method, f"/{filename}", self._row.then)

    def may_jump(self) -> bool:
        """Return whether every expected response has come, so that the clock may jump."""
        answers = self.sim.in_flight
        hangs = self._row.hangs and self.is_hit and answers
        return (self._under_way == 0 and not answers) or bool(hangs)

    def spare(self) -> None:
        """Stop hitting requests to the storage."""
        self._hit_now = 0

    def port(self) -> int:
        """Return the port to which the current request connects."""
        way = self._row.way if self.is_hit else Way.THROUGH
        if way is Way.UNRESOLVED:
            raise OSError("no such host")
        return self.ports[way]

    def sent(self, answer: bytes) -> Iterable[bytes | float]:
        """Return what is sent instead of a response, if its request is hit."""
        return self._row.sent(answer) if self.is_hit else [answer]

    def asked(self, head: bytes) -> bytes:
        """Return the head of a request as the simulator gets it."""
        return _RANGE.sub(b"", head) if self._row.ignores_range else head

    def trace(self) -> aiohttp.TraceConfig:
        """Return a trace config that notes the begin and end of each request."""

        async def begin(
            _session: object, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
        ) -> None:
            self._under_way += 1
            self.requests.append((params.method, params.url.path))
            context.is_hit = len(self.requests) in self._hits
            if context.is_hit:
                self._hit_now += 1
                self.sim.inject(params.method, params.url.path, self._fault, times=None)

        async def end(_session: object, context: SimpleNamespace, _params: object) -> None:
            self._under_way -= 1
            if context.is_hit:
                self._hit_now -= 1
                self.sim.clear_faults()

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(begin)
        trace.on_request_end.append(end)
        trace.on_request_exception.append(end)
        return trace


class _Resolver(AbstractResolver):
    def __init__(self, port: Callable[[], int]) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=HOST,
                port=self._port(),
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def staged(
    row: Row, fault: Fault, *, seconds: float, storage: bool = False
) -> AsyncIterator[Stage]:
    """Open a stage on which a setup or an import takes some seconds.

    Args:
        row: The fault.
        fault: What the simulator does.
        seconds: How long it takes.
        storage: Whether responses of the storage are changed, once, instead of the API's.

    """
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(
            Simulator(
                setup=AfterSeconds(seconds),
                imports=AfterSeconds(seconds),
                exports=AfterSeconds(seconds),
            )
        )
        stage = Stage(row, fault, sim)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LoopbackLoop)
        loop.may_jump = stage.may_jump
        free = stack.enter_context(socket.socket())
        free.bind((HOST, 0))  # and nothing listens there
        stage.ports[Way.REFUSED] = free.getsockname()[1]
        trust: ssl.SSLContext | bool = True
        scheme = "http"
        if row.way is Way.UNTRUSTED:
            scheme = "https"
            trust, ours, theirs = _tls()
            stage.ports[Way.UNTRUSTED] = await _relay(stack, stage, theirs)
            stage.ports[Way.THROUGH] = await _relay(stack, stage, ours)
        elif row.is_relayed and storage:
            urls = sim._uploads.urls
            up = int(urls.base_url.rpartition(":")[2])
            port = await _relay(stack, stage, up=up, once=True)
            urls.base_url = f"http://{HOST}:{port}"
            stage.ports[Way.THROUGH] = int(sim.url.rpartition(":")[2])
        elif row.is_relayed:
            stage.ports[Way.THROUGH] = await _relay(stack, stage)
        else:
            stage.ports[Way.THROUGH] = int(sim.url.rpartition(":")[2])
        session = stage.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(stage.port),
                use_dns_cache=False,
                force_close=True,  # so that each request takes its own way
                ssl=trust,
            ),
            trace_configs=[stage.trace()],
        )
        await stack.enter_async_context(session)
        stage.client = await stack.enter_async_context(
            ProlificClient(
                sim.token,
                base_url=f"{scheme}://localhost",
                session=session,
                poll=PollPolicy(
                    initial=GAP,
                    maximum=GAP,
                    factor=1.0,
                    jitter=0.0,
                    not_found_grace=row.grace,
                ),
            )
        )
        yield stage


async def _relay(
    stack: AsyncExitStack,
    stage: Stage,
    tls: ssl.SSLContext | None = None,
    *,
    up: int | None = None,
    once: bool = False,
) -> int:
    """Serve a proxy of the simulator's API, or of another port of it, and return its port."""
    up = int(stage.sim.url.rpartition(":")[2]) if up is None else up

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(HOST, up)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        if once:  # which the client's transfers do not ask for
            head = head[:-2] + b"Connection: close\r\n\r\n"
        body = await reader.readexactly(int(length[1]) if length else 0)
        up_writer.write(stage.asked(head) + body)
        stage.relayed += 1
        try:
            pieces = stage.sent(await up_reader.read())
            if once:
                stage.spare()
            await _send(pieces, reader, writer)
        except ConnectionError:  # the simulator has reset it, or the client has gone
            writer.transport.abort()
        stage.relayed -= 1
        for end in (up_writer, writer):
            end.close()

    server = await asyncio.start_server(handle, HOST, 0, ssl=tls)
    stack.callback(server.close)
    return int(server.sockets[0].getsockname()[1])


async def _send(
    pieces: Iterable[bytes | float], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send pieces of a response, until the client has gone."""
    for piece in pieces:
        if isinstance(piece, bytes):
            writer.write(piece)
            await writer.drain()
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(piece):
                await reader.read()
            return


@cache
def _tls() -> tuple[ssl.SSLContext, ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a client, of a trusted server, and of an untrusted one."""
    ours, theirs = trustme.CA(), trustme.CA()
    trust = ssl.create_default_context()
    ours.configure_trust(trust)
    servers: list[ssl.SSLContext] = []
    for authority in (ours, theirs):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        servers.append(context)
    return trust, servers[0], servers[1]
