"""Exports of a simulated batch, by the client: from answers to records."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    BadRequestError,
    ConflictError,
    ExportArchive,
    JobFailedError,
    JobStatus,
    NotFoundError,
    ProlificClient,
)
from prolific_async.simulator import AfterPolls, Fault, Simulator
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.test_downloading import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ARCHIVE = ["README.md", "batch.json", "responses-by-submission.jsonl", "responses-by-task.jsonl"]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(exports=AfterPolls(2)) as made:
        yield made


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[ProlificClient]:
    async with ProlificClient(
        sim.token, base_url=sim.url, retry=QUICK_RETRY, poll=QUICK_POLL
    ) as made:
        yield made


@pytest.fixture
def batch_id(sim: Simulator) -> str:
    batch_id = sim.add_batch(datapoints=20, status="READY")
    sim.answer(batch_id, participants=3)
    return batch_id


def sent(sim: Simulator, method: str, ending: str = "") -> list[Any]:
    return [one for one in sim.requests if one.method == method and one.path.endswith(ending)]


async def test_answers_come_back_in_an_archive(
    client: ProlificClient, batch_id: str, tmp_path: Path
) -> None:
    batch = await client.batches.get(batch_id)
    export = await batch.export()
    assert export.status == JobStatus.GENERATING
    path = await export.download(tmp_path / "answers.zip")
    with ExportArchive(path) as archive:
        assert sorted(archive.names) == ARCHIVE
        assert archive.batch["id"] == batch_id
        submissions = [*archive.submissions()]
        assert len({one["participant_id"] for one in submissions}) == 3
        assert len([*archive.tasks()]) == 3
    assert names(tmp_path) == ["answers.zip"]


async def test_a_cut_download_is_resumed(
    sim: Simulator, client: ProlificClient, batch_id: str, tmp_path: Path
) -> None:
    export = await (await client.batches.export(batch_id)).wait()
    whole = await export.download(tmp_path / "whole.zip")
    for cut in (100, 200, 50):
        sim.inject("GET", "/export.zip", Fault(cut=cut))
    cut_at = await export.download(tmp_path / "cut.zip")
    assert hashed(cut_at) == hashed(whole)
    assert [one.status for one in sent(sim, "GET", "/export.zip")] == [200, 200, 206, 206, 206]


def hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_an_expired_link_is_replaced(
    sim: Simulator, client: ProlificClient, batch_id: str, tmp_path: Path
) -> None:
    export = await (await client.batches.export(batch_id)).wait()
    expired = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    sim.inject("GET", "/export.zip", Fault(403, body=expired))
    await export.download(tmp_path / "x.zip")
    first, second = sent(sim, "GET", "/export.zip")
    assert (first.status, second.status) == (403, 200)
    assert first.path != second.path


async def test_the_exports_of_a_batch_are_listed_with_their_filters(
    client: ProlificClient, batch_id: str
) -> None:
    since = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
    first = await client.batches.export(batch_id)
    second = await client.batches.export(
        batch_id, study_id="5f" * 12, since=since, until=since + timedelta(days=1)
    )
    assert first.id != second.id
    assert (await client.batches.export(batch_id)).id == first.id
    newest, oldest = await client.batches.exports(batch_id)
    assert (newest.id, oldest.id) == (second.id, first.id)
    assert (newest.study_id, newest.since, newest.until) == (
        second.study_id,
        second.since,
        second.until,
    )
    assert oldest.filter is None
    assert newest.created_at is not None


@pytest.mark.parametrize("filtered", [True, False])
async def test_a_lost_export_is_found(
    sim: Simulator, client: ProlificClient, batch_id: str, *, filtered: bool
) -> None:
    options: dict[str, Any] = {"since": datetime(2026, 3, 1, tzinfo=UTC)} if filtered else {}
    sim.inject("POST", "/export", Fault(reset="after"))
    export = await client.batches.export(batch_id, **options)
    assert [one.id for one in await client.batches.exports(batch_id)] == [export.id]


async def test_the_eleventh_export_is_refused_until_one_is_deleted(
    sim: Simulator, client: ProlificClient, batch_id: str
) -> None:
    for day in range(1, 11):
        moment = datetime(2026, 3, day, tzinfo=UTC)
        await client.batches.export(batch_id, since=moment)
    with pytest.raises(BadRequestError, match=r"delete one of batches\.exports\(\)"):
        await client.batches.export(batch_id)
    exports = await client.batches.exports(batch_id)
    with pytest.raises(ConflictError):
        await exports[0].delete()
    await exports[0].wait()
    sim.inject("DELETE", f"/{exports[0].id}", Fault(reset="after"))
    await exports[0].delete()
    await client.batches.export(batch_id)
    with pytest.raises(NotFoundError):
        await exports[0].delete()


async def test_a_failed_export_cannot_be_downloaded(
    sim: Simulator, client: ProlificClient, batch_id: str, tmp_path: Path
) -> None:
    export = await client.batches.export(batch_id)
    sim.fail_exports(batch_id)
    with pytest.raises(JobFailedError, match="export again"):
        await export.download(tmp_path / "x.zip")
    assert names(tmp_path) == []


async def test_links_are_in_no_log(
    client: ProlificClient, batch_id: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    export = await client.batches.export(batch_id)
    await export.download(tmp_path / "x.zip")
    assert "Signature" not in caplog.text
