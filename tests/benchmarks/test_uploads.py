import http.client
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from benchmarks import rows, uploads, uploads_run
from benchmarks.costs import Cost
from benchmarks.uploads_run import OURS, PEER, Case
from benchmarks.uploads_server import STORAGE, Handle, Stored, serving_uploads
from tests.conftest import HANGS


@pytest.fixture(scope="module")
def server() -> Iterator[Handle]:
    with serving_uploads() as served:
        yield served


def cost_of(case: Case) -> Cost:
    seconds = 1.0 if case.subject == OURS else 2.0
    return Cost(seconds, seconds / 2, 0.004, 3_000_000)


@pytest.mark.parametrize("source", uploads.SOURCES)
def test_all_subjects_send_the_same_file(source: str, server: Handle) -> None:
    cases: list[Case] = []

    def run(case: Case) -> Cost:
        cases.append(case)
        return uploads_run.run(case)

    comparison = uploads.compared(source, 200_000, 1, server, run)
    assert [case.subject for case in cases[:3]] == list(uploads_run.SUBJECTS)
    assert {case.subject for case in cases[3:]} == set(uploads_run.SUBJECTS)
    assert comparison.ratio(OURS, "wall", PEER).median > 0
    assert comparison.time(OURS, "cpu").median > 0


def test_a_subject_that_sends_other_bytes_ends_the_run(server: Handle) -> None:
    def run(case: Case) -> Cost:
        return uploads_run.run(attrs.evolve(case, rows=case.rows - 1))

    with pytest.raises(RuntimeError, match="prolific_async sent other bytes"):
        uploads.compared("rows", 200_000, 1, server, run)


def test_a_subject_that_sends_less_than_the_file_ends_the_run(
    server: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "CHECKED", 100_000)
    checked: list[Case] = []

    def run(case: Case) -> Cost:
        if len(checked) == len(uploads_run.SUBJECTS):
            return cost_of(case)  # the newest upload stays that of the check
        checked.append(case)
        return uploads_run.run(case)

    with pytest.raises(RuntimeError, match=r"(aiohttp|prolific_async).* sent \d+ bytes"):
        uploads.compared("path", 600_000, 1, server, run)


def test_the_file_holds_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    count = uploads_run.write_file(path, 400_000)
    assert count == 2 * uploads_run.DISTINCT
    read = rows.read_csv(path.read_bytes())
    assert isinstance(read, list)
    assert len(read) == count
    assert read[0]["a"] == read[uploads_run.DISTINCT]["a"] == "https://example.org/images/0.png"


@pytest.mark.parametrize("checks", [True, False])
def test_the_server_takes_bodies_one_after_the_other(server: Handle, *, checks: bool) -> None:
    server.stored(checks=checks)
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=HANGS)
    for body in (b"a" * 700_000, b"b"):
        connection.request("PUT", STORAGE, body)
        with connection.getresponse() as response:
            assert response.status == 200
        assert server.stored(checks=checks) == Stored(len(body), zlib.crc32(body) if checks else 0)
    connection.request("GET", "/other")
    with connection.getresponse() as response:
        assert response.status == 404
    connection.close()


@pytest.mark.slow
def test_the_program_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    uploads.main(["--quick", "--json"])
    report = json.loads(capsys.readouterr().out)
    titles = [each["title"] for each in report["comparisons"]]
    assert titles == ["2 MiB from a path", "2 MiB from rows"]
