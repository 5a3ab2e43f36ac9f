"""Duplicates over loopback, broken at every byte: the copy is returned, named, or unknown."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from email.utils import format_datetime
from itertools import cycle
from typing import Any

import pytest

from prolific_async import ProlificClient, RetryPolicy
from prolific_async.errors import OutcomeUnknownError
from prolific_async.simulator import Fault
from tests import samples
from tests.conftest import NOON, QUICK_RETRY
from tests.http.raw import plain, serving
from tests.recovery.bench import GIVEN, NAMED, UNKNOWN, Bench
from tests.recovery.breaking import EVERY, Break, Ending, Proxy, Side

POST = "/duplicate"


@pytest.mark.parametrize(
    ("name", "endings"),
    [("Round 2", ["reset"]), ("Round 2", ["close"]), (None, ["reset", "close"])],
)
@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize("every", EVERY)
async def test_broken_at_every_byte(
    every: int, side: Side, endings: list[Ending], name: str | None, bench: Bench
) -> None:
    async with bench.client(RetryPolicy(max_attempts=1)) as client:
        size = (await bench.sizes(client, name))[side]
        words = []
        for at, ending in zip(range(0, size, every), cycle(endings), strict=False):
            bench.proxy.breaks.append((POST, Break(side, at, ending)))
            words.append(await bench.outcome(client.batches.duplicate(bench.source, name=name)))
    assert words == [UNKNOWN if side == "request" else GIVEN if name else NAMED] * len(words)
    assert len(bench.proxy.posts) == len(words) > 300 // every


@pytest.mark.slow
@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize("name", ["Round 2", None])
async def test_silent_from_a_byte_on(side: Side, name: str | None, bench: Bench) -> None:
    async with bench.client(request_timeout=0.05) as client:
        size = (await bench.sizes(client, name))[side]
        stops = [*range(0, size, 60), size - 1]
        words = []
        for at in stops:
            bench.proxy.breaks.append((POST, Break(side, at, "stall")))
            words.append(await bench.outcome(client.batches.duplicate(bench.source, name=name)))
    assert words == [UNKNOWN if side == "request" else GIVEN if name else NAMED] * len(stops)
    assert len(bench.proxy.posts) == len(stops)


@pytest.mark.parametrize("ending", ["reset", "close"])
async def test_broken_while_a_large_request_is_sent(ending: Ending, bench: Bench) -> None:
    async with bench.client() as client:
        for at in (0, 500, 500_000):
            bench.proxy.breaks.append((POST, Break("request", at, ending)))
            call = client.batches.duplicate(bench.source, name="x" * 1_000_000)
            assert await bench.outcome(call) == UNKNOWN
    assert len(bench.proxy.posts) == 3


@pytest.mark.parametrize("ending", ["reset", "close"])
async def test_a_whole_response_counts_even_if_the_connection_then_breaks(
    ending: Ending, bench: Bench
) -> None:
    async with bench.client() as client:
        size = (await bench.sizes(client, None))["answer"]
        bench.proxy.breaks.append((POST, Break("answer", size, ending)))
        assert await bench.outcome(client.batches.duplicate(bench.source)) == GIVEN
    assert len(bench.proxy.posts) == 1


@pytest.mark.parametrize(("name", "word"), [("Round 2", GIVEN), (None, NAMED)])
async def test_a_request_applied_after_its_time_out(
    name: str | None, word: str, bench: Bench
) -> None:
    patient = RetryPolicy(max_attempts=20, initial=0.01, maximum=0.01)
    async with bench.client(patient, request_timeout=0.05) as client:
        bench.proxy.breaks.append((POST, Break("request", 0, "late")))
        assert await bench.outcome(client.batches.duplicate(bench.source, name=name)) == word
    assert len(bench.proxy.posts) == 1


def made(answer: int, body: Any) -> Fault:
    return Fault(answer, body=body, applied=True)


FAULTS = {
    **{
        f"{status}, {'' if applied else 'not '}applied": (Fault(status, applied=applied), applied)
        for status in (408, 500, 501, 502, 503, 504, 599)
        for applied in (True, False)
    },
    "reset before": (Fault(reset="before"), False),
    "reset after": (Fault(reset="after"), True),
    "empty": (made(201, b""), True),
    "blank": (made(201, b" \n"), True),
    "no content": (made(204, None), True),
    "null": (made(201, b"null"), True),
    "not JSON": (made(201, b"{"), True),
    "not UTF-8": (made(201, b'{"id": "\xff"}'), True),
    "HTML": (made(201, "<h1>502</h1>"), True),
    "HTML with 200": (made(200, "<h1>502</h1>"), True),
    "a list": (made(201, []), True),
    "an empty object": (made(201, {}), True),
    "an id of the wrong type": (made(201, {"id": 5}), True),
    "an id alone": (made(202, {"id": "c-1"}), True),
    "deep": (made(201, b"[" * 100_000), True),
    "a huge number": (made(201, b'{"total_task_count": ' + b"9" * 5_000 + b"}"), True),
    "not compressed": (
        Fault(201, body=b"{}", headers={"Content-Encoding": "gzip"}, applied=True),
        True,
    ),
}


@pytest.mark.parametrize(("fault", "applied"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("name", ["Round 2", None])
async def test_a_response_without_information(
    name: str | None,
    fault: Fault,
    applied: bool,  # noqa: FBT001 - a case
    bench: Bench,
) -> None:
    bench.sim.inject("POST", POST, fault)
    async with bench.client() as client:
        word = await bench.outcome(client.batches.duplicate(bench.source, name=name))
    assert word == (UNKNOWN if not applied else GIVEN if name else NAMED)
    assert len(bench.proxy.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault", "word"),
    [("Round 2", Fault(reset="after"), GIVEN), (None, Fault(503, applied=True), NAMED)],
)
async def test_lost_after_a_429(name: str | None, fault: Fault, word: str, bench: Bench) -> None:
    bench.sim.inject("POST", POST, Fault(429))
    bench.sim.inject("POST", POST, fault)
    async with bench.client() as client:
        assert await bench.outcome(client.batches.duplicate(bench.source, name=name)) == word
    assert len(bench.proxy.posts) == 2


async def test_a_refused_duplicate_makes_no_copy(bench: Bench) -> None:
    bench.sim.inject("POST", POST, Fault(400))
    bench.sim.inject("POST", POST, Fault(429), times=2)
    async with bench.client(RetryPolicy(max_attempts=2, initial=0)) as client:
        for word in ("BadRequestError", "RateLimitedError"):
            assert await bench.outcome(client.batches.duplicate(bench.source)) == word
    assert len(bench.proxy.posts) == 3


async def test_a_connection_refused_at_first_is_tried_again(bench: Bench, port: int) -> None:
    late = Proxy(bench.proxy.service, port=port)
    often = RetryPolicy(max_attempts=200, initial=0.01, maximum=0.01)
    async with (
        ProlificClient(bench.sim.token, base_url=late.url, retry=QUICK_RETRY) as client,
        ProlificClient(bench.sim.token, base_url=late.url, retry=often) as stubborn,
    ):
        assert await bench.outcome(client.batches.duplicate(bench.source)) == "ConnectError"
        call = asyncio.ensure_future(stubborn.batches.duplicate(bench.source))
        await asyncio.sleep(0.03)
        assert not call.done()
        async with late.listening():
            assert await bench.outcome(call) == GIVEN
    assert len(late.posts) == 1


LOOKS = {
    "503": [Fault(503)] * 3,
    "lost": [Fault(reset="before")] * 3,
    "cut": [Fault(cut=0), Fault(cut=1), Fault(cut=300)],
    "HTML": [Fault(body="<h1>502</h1>")] * 3,
    "408": [Fault(408)] * 3,
    "no batch": [Fault(body={"id": 5}), Fault(body={"results": [{}]}), Fault(body=b"")],
    "mixed": [Fault(504), Fault(body="<h1>"), Fault(reset="before")],
}


@pytest.mark.parametrize("faults", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("read", ["source", "list"])
@pytest.mark.parametrize("name", ["Round 2", None])
async def test_reads_that_fail_for_a_while(
    name: str | None, read: str, faults: list[Fault], bench: Bench
) -> None:
    bench.sim.inject("POST", POST, Fault(reset="after"))
    for fault in faults:
        bench.sim.inject("GET", "/batches" if read == "list" else f"/{bench.source}", fault)
    async with bench.client() as client:
        call = client.batches.duplicate(bench.source, name=name)
        assert await bench.outcome(call) == (GIVEN if name else NAMED)
    assert len(bench.proxy.posts) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 500])
@pytest.mark.parametrize("read", ["source", "list"])
async def test_reads_that_fail_for_good(read: str, status: int, bench: Bench) -> None:
    route = "/batches" if read == "list" else f"/{bench.source}"
    bench.sim.inject("POST", POST, Fault(reset="after"))
    bench.sim.inject("GET", route, Fault(status), times=None)
    async with bench.client() as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.batches.duplicate(bench.source, name="Round 2")
    assert caught.value.candidates == ()
    assert len(bench.copies()) == 1
    assert len(bench.proxy.posts) == 1


@pytest.mark.parametrize("side", ["request", "answer"])
async def test_a_read_that_breaks_at_a_byte(side: Side, bench: Bench) -> None:
    words = []
    stops = range(0, 280, 7)
    async with bench.client() as client:
        for at in stops:
            bench.proxy.breaks += [
                (POST, Break("answer", 0, "reset")),
                (f"/{bench.source}", Break(side, at, "close")),
                ("/batches", Break(side, at, "reset")),
            ]
            words.append(
                await bench.outcome(client.batches.duplicate(bench.source, name="Round 2"))
            )
    assert words == [GIVEN] * len(stops)
    assert len(bench.proxy.posts) == len(stops)


@pytest.mark.parametrize(("name", "word"), [("Round 2", GIVEN), (None, NAMED)])
async def test_a_list_that_lags_behind(name: str | None, word: str, bench: Bench) -> None:
    bench.sim.inject("POST", POST, Fault(504, applied=True))
    bench.sim.inject("GET", "/batches", Fault(body={"results": [], "meta": {"count": 0}}), times=3)
    async with bench.client() as client:
        assert await bench.outcome(client.batches.duplicate(bench.source, name=name)) == word


async def test_a_date_header_that_is_ahead(bench: Bench) -> None:
    ahead = format_datetime(NOON + timedelta(seconds=30), usegmt=True)
    bench.sim.inject("POST", POST, Fault(reset="after"))
    route = f"/{bench.source}"
    bench.sim.inject("GET", route, Fault(headers={"Date": ahead}), times=None)
    async with bench.client() as client:
        assert await bench.outcome(client.batches.duplicate(bench.source, name="Round 2")) == NAMED


@pytest.mark.parametrize(
    "name",
    [
        "Runde 2: «ähnlich»",
        "第二轮 🙂",
        "\u202eנבחר",
        "e\u0301 is not \u00e9",
        '"quotes" \\ and \t tabs \n lines',
        "\x00\x1f\x7f",
        "half a pair: \ud83d",
        "../../batches?x=1#y%00",
        "Original (Copy)",
        "long " * 20_000,
        "  around  ",
        "",
    ],
    ids=lambda name: ascii(name[:20]),
)
async def test_names_of_any_characters(name: str, bench: Bench) -> None:
    bench.sim.inject("POST", POST, Fault(reset="after"))
    async with bench.client() as client:
        assert await bench.outcome(client.batches.duplicate(bench.source, name=name)) == GIVEN
    assert json.loads(bench.proxy.posts[0][0].partition(b"\r\n\r\n")[2]) == {"name": name}


async def test_many_duplicates_lost_at_once_share_their_reads(bench: Bench) -> None:
    bench.sim.inject("POST", POST, Fault(reset="after"), times=None)
    async with bench.client() as client:
        names = [f"Round {number}" for number in range(400)]
        copies = await asyncio.gather(
            *(client.batches.duplicate(bench.source, name=name) for name in names)
        )
    assert [copy.name for copy in copies] == names
    assert len({copy.id for copy in copies}) == 400
    reads = [seen.path for seen in bench.sim.requests if seen.method == "GET"]
    assert sum(path.endswith("/batches") for path in reads) < 40
    assert sum(path.endswith(bench.source) for path in reads) < 40


async def test_a_copy_is_found_in_a_list_larger_than_64_mib() -> None:
    def batch(batch_id: str, name: str, items: object = None) -> bytes:
        wire = samples.batch("UNINITIALISED", batch_id).to_dict() | {"name": name}
        wire |= {"workspace_id": "w-1", "created_at": "2031-01-02T03:04:05Z", "batch_items": items}
        return json.dumps(wire).encode()

    heavy = batch("other", "Other", [{"text": "x" * 200_000}]) + b","
    copy = batch("copy", "Round 2")
    sizes: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = heads[-1]
        if head.startswith(b"POST"):
            writer.transport.abort()
            return
        if b"workspace_id=" not in head:
            body = batch("source", "Original")
            date = "Date: Thu, 02 Jan 2031 03:04:05 GMT"
            writer.write(plain(body, date))
            return
        writer.write(plain(b'{"results": [', length=13 + 400 * len(heavy) + len(copy) + 2))
        for _ in range(400):
            writer.write(heavy)
            await writer.drain()
        writer.write(copy + b"]}")
        sizes.append(400 * len(heavy))

    async with serving(answer) as (url, heads):
        once = RetryPolicy(max_attempts=1)
        async with ProlificClient("token", base_url=url, retry=once) as client:
            assert (await client.batches.duplicate("source", name="Round 2")).id == "copy"
    assert min(sizes) > 64 * 2**20
