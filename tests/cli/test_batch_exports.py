"""``batch export`` and ``exports``, against the simulator."""

from pathlib import Path
from typing import Any

import pytest

from prolific_async import ExportArchive
from prolific_async.simulator import Fault, Simulator


@pytest.fixture
def answered(account: Simulator) -> str:
    batch_id = account.add_batch(status="READY", datapoints=3)
    account.answer(batch_id, participants=3)
    return batch_id


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "a.zip")


def test_an_archive_is_saved_and_the_export_deleted(
    account: Simulator, answered: str, path: str, cli: Any
) -> None:
    ran = cli("batch", "export", answered, "--output", path, "--delete")
    assert (ran.code, ran.out) == (0, f"{path}\n")
    assert "download" in ran.err
    with ExportArchive(path) as archive:
        assert len(list(archive.submissions())) == 3
    assert cli("batch", "exports", answered).out == ""


def test_a_terminal_has_bars(answered: str, path: str, terminal: Any) -> None:
    ran = terminal("batch", "export", answered, "--output", path)
    assert ran.code == 0
    assert "download" in ran.bars


def test_without_a_file_the_export_is_begun_and_saved_later(
    account: Simulator, answered: str, path: str, cli: Any
) -> None:
    ran = cli("batch", "export", answered)
    assert (ran.code, ran.err) == (0, "")
    export_id = ran.out.strip()
    (line,) = cli("batch", "exports", answered).lines
    assert line.split("\t")[0] == export_id
    ran = cli("batch", "export", answered, "--id", export_id, "--output", path, "--json")
    assert ran.code == 0
    assert (ran.json["export_id"], ran.json["path"]) == (export_id, path)
    assert (ran.json["outcome"], ran.json["job"], ran.json["error"]) == ("ready", None, None)
    assert len(cli("batch", "exports", answered).lines) == 1


def test_a_filter_is_sent_and_listed(account: Simulator, answered: str, cli: Any) -> None:
    times = ("--since", "2026-05-04T02:00:00+02:00", "--until", "2026-05-05T00:00:00Z")
    assert cli("batch", "export", answered, "--study", "s1", *times).code == 0
    (sent,) = [seen.query for seen in account.requests if seen.method == "POST"]
    assert sent["study_id"] == "s1"
    assert len(sent) == 3
    (line,) = cli("batch", "exports", answered).lines
    assert line.split("\t")[3:] == [
        "study s1",
        "since 2026-05-04T00:00:00Z",
        "until 2026-05-05T00:00:00Z",
    ]
    (listed,) = cli("batch", "exports", answered, "--json").json
    assert listed["filter"]["study_id"] == "s1"


def test_exports_are_deleted(account: Simulator, answered: str, cli: Any) -> None:
    first = cli("batch", "export", answered, "--study", "s1", "--json").json["export_id"]
    second = cli("batch", "export", answered, "--study", "s2", "--json").json["export_id"]
    third = cli("batch", "export", answered, "--json").json["export_id"]
    for one in (first, second, third):
        account.set_export(one, "complete")
    ran = cli("batch", "exports", answered, "--delete", first, "--delete", second, "--json")
    assert [one["export_id"] for one in ran.json] == [third]
    ran = cli("batch", "exports", answered, "--delete", first)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"the batch has no export '{first}'; 'batch exports' lists them\n"


@pytest.mark.slow
def test_an_export_that_failed_is_told(
    account: Simulator, answered: str, path: str, cli: Any
) -> None:
    account.fail_exports(answered)
    ran = cli("batch", "export", answered, "--output", path)
    assert (ran.code, ran.out) == (1, "")
    account.fail_exports(answered)
    ran = cli("batch", "export", answered, "--output", path, "--json")
    assert ran.code == 1
    assert (ran.json["outcome"], ran.json["job"]["status"]) == ("failed", "failed")
    assert ran.json["error"]["type"] == "JobFailedError"
    assert "path" not in ran.json
    assert not Path(path).exists()


def test_an_export_that_takes_too_long_times_out(answered: str, path: str, cli: Any) -> None:
    ran = cli("batch", "export", answered, "--output", path, "--timeout", "0")
    assert (ran.code, ran.out) == (3, "")
    assert not Path(path).exists()


def test_a_file_is_replaced_only_if_that_is_wanted(
    account: Simulator, answered: str, path: str, cli: Any
) -> None:
    Path(path).write_text("mine")
    ran = cli("batch", "export", answered, "--output", path)
    assert (ran.code, ran.out) == (2, "")
    assert "--overwrite replaces it" in ran.err
    assert Path(path).read_text() == "mine"
    assert account.requests == ()  # an export is one of ten, and may take half an hour
    assert cli("batch", "export", answered, "--output", path, "--overwrite").code == 0
    ExportArchive(path).close()


def test_a_missing_directory_is_told_before_an_export_is_begun(
    account: Simulator, answered: str, tmp_path: Path, cli: Any
) -> None:
    ran = cli("batch", "export", answered, "--output", str(tmp_path / "none" / "a.zip"))
    assert (ran.code, ran.out) == (2, "")
    assert "the directory is not there" in ran.err
    assert account.requests == ()


def test_a_broken_download_leaves_no_file(
    account: Simulator, answered: str, path: str, cli: Any
) -> None:
    account.inject("GET", "/export.zip", Fault(status=403), times=None)
    ran = cli("batch", "export", answered, "--output", path)
    assert (ran.code, ran.out) == (4, "")
    assert list(Path(path).parent.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--delete",), "--delete cannot be given without --output"),
        (
            ("--overwrite", "--timeout", "1"),
            "--overwrite and --timeout cannot be given without --output",
        ),
        (("--id", "e1"), "--id needs --output"),
        (("--id", "e1", "--output", "a", "--study", "s1"), "no --study"),
        (("--since", "2026-05-04"), "'2026-05-04' is not a time with an offset"),
        (("--until", "yesterday"), "'yesterday' is not a time with an offset"),
    ],
)
def test_wrong_options_are_a_usage_error(
    account: Simulator, argv: Any, told: str, cli: Any
) -> None:
    ran = cli("batch", "export", "b1", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert account.requests == ()
