import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from benchmarks import answers, answers_run, answers_server
from benchmarks.answers_run import (
    DICT_READER,
    FSYNC,
    KINDS,
    LOADS,
    MSGSPEC,
    READER,
    THREADS,
    Case,
    Seen,
)
from benchmarks.answers_server import BATCH, FEW, MIB, SMALL, Amounts, serving_answers
from benchmarks.costs import Cost
from benchmarks.uploads_run import OURS, PEER

MORE = Amounts(responses=500, rows=400, export=4 * MIB)
BASES = {"responses": LOADS, "report": READER, "escaped": READER, "export": PEER}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving_answers(MORE) as served:
        yield served


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_subjects_read_the_same(kind: str, url: str) -> None:
    cases: list[Case] = []

    def run(case: Case) -> tuple[Seen, Cost]:
        cases.append(case)
        return answers_run.run(case)

    comparison = answers.compared(kind, MORE, 1, url, run)
    subjects = [subject for subject in KINDS[kind] if subject not in answers.missing()]
    assert [case.subject for case in cases if case.keep] == [BASES[kind], *subjects]
    measured = [case for case in cases if not case.keep]
    assert {case.subject for case in measured} == set(subjects)
    assert {case.batch for case in measured} == {BATCH}
    assert comparison.ratio(OURS, "cpu", BASES[kind]).median > 0
    assert comparison.time(OURS, "first").median > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "subject", "spoiled"),
    [
        ("responses", OURS, Seen(FEW.responses)),
        ("report", DICT_READER, Seen(FEW.rows, [])),
        ("escaped", OURS, Seen(FEW.rows, [])),
        ("export", FSYNC, Seen(FEW.export, 0)),
        ("export", THREADS, Seen(FEW.export, 0)),
    ],
)
def test_a_subject_that_reads_something_else_ends_the_run(
    kind: str, subject: str, spoiled: Seen, url: str
) -> None:
    def run(case: Case) -> tuple[Seen, Cost]:
        seen, cost = answers_run.run(case)
        return spoiled if case.subject == subject else seen, cost

    with pytest.raises(RuntimeError, match=f"{subject} read something else than {BASES[kind]}"):
        answers.compared(kind, MORE, 1, url, run)


def test_a_subject_that_reads_less_ends_the_run(url: str) -> None:
    def run(case: Case) -> tuple[Seen, Cost]:
        seen, cost = answers_run.run(case)
        return (seen if case.keep else attrs.evolve(seen, amount=seen.amount - 1)), cost

    with pytest.raises(RuntimeError, match="read 499"):
        answers.compared("responses", MORE, 1, url, run)


def test_what_is_kept_is_what_the_service_has(url: str) -> None:
    kept = {
        kind: answers_run.run(Case(kind, OURS, url, SMALL, keep=True))[0].kept for kind in KINDS
    }
    assert kept["responses"][7] == answers_server.response(7)
    row = kept["report"][3]
    assert len(kept["report"]) == FEW.rows
    assert row[8] == "They said &quot;no&quot;, and\nleft &amp; right: déjà vu"
    assert row[10:13] == [
        answers_server.participant(4), "left", answers_server.moment(4)
    ]  # fmt: skip


def test_each_row_with_entities_has_seven_in_as_many_cells(url: str) -> None:
    case = Case("escaped", OURS, url + answers.PREFIXES["escaped"], SMALL, keep=True)
    rows = answers_run.run(case)[0].kept
    assert len(rows) == FEW.rows
    for row in rows:
        assert [cell.count("&") for cell in row if "&" in cell] == [1] * 7
    assert rows[7][3:6] == ["Which don&#x27;t you like?", "7 &amp; 8", "a &gt; 7"]


def test_the_responses_have_the_size_that_the_target_names() -> None:
    count = 10_000
    size = sum(map(len, answers_server.responses(count)))
    assert 440 < size / count < 460


def test_no_file_is_left(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for subject in KINDS["export"]:
        seen, _ = answers_run.run(Case("export", subject, url))
        assert seen == Seen(MORE.export)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_is_not_installed_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(answers.NEEDS, MSGSPEC, "not_installed")
    answers.main(["--quick", "--kinds", "responses"])
    text = capsys.readouterr().out
    assert f'"{MSGSPEC}" is left out: not_installed is not installed' in text
    assert f"| {MSGSPEC}" not in text
    assert f"| {LOADS}" in text


@pytest.mark.slow
def test_the_program_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    answers.main(["--quick", "--json"])
    report = json.loads(capsys.readouterr().out)
    titles = [each["title"] for each in report["comparisons"]]
    assert titles == [
        "2,000 responses",
        "2,000 rows of a report",
        "2,000 rows with entities",
        "an export of 3 MiB",
    ]
    assert report["missing"] == sorted(answers.missing().values())
