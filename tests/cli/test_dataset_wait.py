"""``dataset wait``, ``dataset upload --wait`` and ``batch sync --wait``."""

import json
from pathlib import Path
from typing import Any

import pytest

from prolific_async.simulator import Fault, Simulator
from tests.cli.test_wait import END, POLL_KEYS

SCHEMA = {"fields": {"prompt": {"type": "text"}}, "strict": True}
PARTS = '{"prompt": "a"}\n{"other": "b"}\n{"prompt": null}\n'


@pytest.fixture
def v3(account: Simulator) -> str:
    return account.add_dataset(status="UNINITIALISED", datapoints=0)


@pytest.fixture
def v4(account: Simulator) -> str:
    return account.add_dataset(schema=SCHEMA, datapoints=0)


@pytest.fixture
def csv(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("prompt\nWhich?\nWhy?\n")
    return str(path)


@pytest.fixture
def parts(tmp_path: Path) -> str:
    """Return a file of which the service takes one row of three."""
    path = tmp_path / "parts.jsonl"
    path.write_text(PARTS)
    return str(path)


def test_wait_ends_with_the_worst_outcome(account: Simulator, cli: Any) -> None:
    ready, broken = account.add_dataset(datapoints=7), account.add_dataset(status="ERROR")
    filled = account.add_dataset(schema=SCHEMA, datapoints=3)
    ran = cli("dataset", "wait", ready, filled, ready)
    assert (ran.code, ran.err) == (0, "")
    assert sorted(ran.lines) == sorted([f"0.0 s\t{ready}\tREADY", f"0.0 s\t{filled}\tcomplete"])

    ran = cli("dataset", "wait", ready, "nothing", "--timeout", "0")
    assert (ran.code, len(ran.err.splitlines())) == (4, 1)
    assert f"0.0 s\t{ready}\tREADY" in ran.lines
    ran = cli("dataset", "wait", broken, "nothing", "--timeout", "0")
    assert (ran.code, len(ran.err.splitlines())) == (1, 2)
    assert f"waiting for dataset {broken} found that it failed" in ran.err
    ran = cli("dataset", "wait", ready, "..")
    assert (ran.code, f"0.0 s\t{ready}\tREADY" in ran.lines) == (2, True)


def test_wait_times_out(v3: str, v4: str, cli: Any) -> None:
    for dataset_id, status in ((v3, "UNINITIALISED"), (v4, "uninitialised")):
        ran = cli("dataset", "wait", dataset_id, "--timeout", "0")
        assert ran.code == 3
        assert ran.lines == [
            f"0.0 s\t{dataset_id}\t{status}",
            f"0.0 s\t{dataset_id}\ttimed out",
        ]
        assert ran.err.startswith(f"waiting for dataset {dataset_id} timed out")


def test_wait_as_json(account: Simulator, v4: str, cli: Any) -> None:
    ready, broken = account.add_dataset(datapoints=7), account.add_dataset(status="ERROR")
    ran = cli("dataset", "wait", ready, broken, v4, "nothing", "--timeout", "0", "--json")
    documents = [json.loads(line) for line in ran.lines]
    keys = {
        frozenset(key.replace("batch", "dataset") for key in POLL_KEYS),
        frozenset(key.replace("batch", "dataset") for key in END),
    }
    assert {frozenset(each) for each in documents} == keys
    ends = {each["dataset_id"]: each for each in documents if each["kind"] == "end"}
    outcomes = {dataset_id: end["outcome"] for dataset_id, end in ends.items()}
    assert outcomes == {
        ready: "ready",
        broken: "failed",
        v4: "timed_out",
        "nothing": "gave_up",
    }
    assert (ends[ready]["status"], ends[ready]["dataset"]["id"]) == ("READY", ready)
    assert ends[broken]["dataset"]["status"] == "ERROR"
    assert ends[broken]["error"]["type"] == "JobFailedError"


def test_wait_shows_a_table_on_a_terminal(account: Simulator, v3: str, terminal: Any) -> None:
    ready, broken = account.add_dataset(datapoints=7), account.add_dataset(status="ERROR")
    ran = terminal("dataset", "wait", ready, broken, v3, "--timeout", "0")
    table = ran.screen.splitlines()[-5:]
    assert table[0].split() == ["dataset", "status", "polls", "elapsed"]
    assert table[1].split() == [ready, "READY", "1", "0.0", "s", "7", "rows"]
    assert table[2].split() == [broken, "ERROR", "1", "0.0", "s", "failed"]
    assert table[3].split() == [v3, "UNINITIALISED", "1", "0.0", "s", "timed", "out"]
    assert table[4] == "1 READY, 1 ERROR, 1 UNINITIALISED"
    assert len(ran.err.splitlines()) == 2
    assert max(map(len, ran.screen.splitlines())) <= 80


def test_wait_reads_ids_from_standard_input(
    account: Simulator, tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [account.add_dataset() for _ in range(3)]
    path = tmp_path / "ids"
    path.write_text("\n".join(f"{each}\tREADY" for each in ids))
    with path.open(encoding="utf-8") as given:
        monkeypatch.setattr("sys.stdin", given)
        ran = cli("dataset", "wait", "-")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(line.split("\t")[1] for line in ran.lines) == sorted(ids)

    path.write_bytes("x\n".encode("utf-16"))
    with path.open(encoding="utf-8") as given:
        monkeypatch.setattr("sys.stdin", given)
        ran = cli("dataset", "wait", ids[0], "-", "--timeout", "5")
    assert (ran.code, ran.err.splitlines()[-1][:26]) == (2, "standard input is UTF-16, ")


def test_upload_waits_for_the_rows(v3: str, v4: str, csv: str, cli: Any) -> None:
    ran = cli("dataset", "upload", v3, csv, "--wait")
    assert (ran.code, ran.out) == (0, f"{v3}\n")
    lines = ran.err.splitlines()
    assert lines[0] == "0.0 s\tupload\t19/19 bytes"
    assert lines[-1] == "0.0 s\timport\tREADY"

    ran = cli("dataset", "upload", v4, csv, "--wait", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["outcome"], ran.json["error"], ran.json["job"]) == ("ready", None, None)
    assert ran.json["dataset"]["total_datapoint_count"] == 2
    assert ran.json["dataset_id"] == v4


def test_upload_shows_a_bar_for_the_import(v3: str, csv: str, terminal: Any) -> None:
    ran = terminal("dataset", "upload", v3, csv, "--wait")
    assert (ran.code, ran.out) == (0, f"{v3}\n")
    _, last = ran.bars.rsplit("import", 1)
    assert last.split() == ["━" * 36, "READY", "0.0", "s"]
    assert max(map(len, ran.bars.splitlines())) <= 80


def test_rows_that_were_not_taken_are_named(v4: str, parts: str, cli: Any, terminal: Any) -> None:
    for run in (cli, terminal):
        ran = run("dataset", "upload", v4, parts, "--wait")
        assert (ran.code, ran.out) == (1, "")
        sentence, *rows = ran.bars.splitlines()[-3:]
        assert sentence.startswith("waiting for import ")
        assert "found some rows rejected: " in sentence
        assert (
            "row 1 (counted from 0), field 'prompt': missing; upload the rest corrected ("
            in sentence
        )
        assert rows == [
            "rejected: row 1 (counted from 0), field 'prompt': missing",
            "rejected: row 2 (counted from 0), field 'prompt': missing",
        ]


def test_a_part_as_json(v4: str, parts: str, cli: Any) -> None:
    ran = cli("dataset", "upload", v4, parts, "--wait", "--json")
    assert (ran.code, ran.json["outcome"]) == (1, "partial")
    assert ran.json["job"]["rejected_count"] == 2
    assert ran.json["job"]["errors"][0]["record_index"] == 1
    assert ran.json["error"]["type"] == "PartialImportError"
    assert "dataset" not in ran.json


def test_a_part_can_be_accepted(v4: str, parts: str, cli: Any) -> None:
    ran = cli("dataset", "upload", v4, parts, "--wait", "--partial", "accept")
    assert (ran.code, ran.out) == (0, f"{v4}\n")
    assert cli("dataset", "status", v4).out == f"{v4}\tpartial\t1\trejected: 2\n"


def test_an_import_that_fails_exits_with_1(account: Simulator, v4: str, csv: str, cli: Any) -> None:
    account.fail_imports(v4, "No space.")
    ran = cli("dataset", "upload", v4, csv, "--wait")
    assert (ran.code, ran.out) == (1, "")
    assert "found that it failed: No space." in ran.err.splitlines()[-1]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_wait_after_an_upload_may_time_out(
    account: Simulator, v3: str, csv: str, options: tuple[str, ...], cli: Any
) -> None:
    account.inject("GET", f"/{v3}", Fault(delay=0.001))  # the first one is the upload's own
    account.inject("GET", f"/{v3}", Fault(503), times=None)
    ran = cli("dataset", "upload", v3, csv, "--wait", "--timeout", "0", *options)
    assert ran.code == 3
    assert ran.err.splitlines()[-1].startswith(f"waiting for dataset {v3} timed out")
    if options:
        assert (ran.json["outcome"], ran.json["dataset_id"]) == ("timed_out", v3)
        assert ran.json["error"]["type"] == "WaitTimeoutError"
    else:
        assert ran.out == ""


@pytest.fixture
def synced(account: Simulator, cli: Any) -> str:
    """Return a READY batch whose dataset has a schema."""
    dataset_id = account.add_dataset(schema=SCHEMA, datapoints=3)
    made = ("batch", "create", "--workspace", account.workspace_id, "--name", "R")
    texts = ("--task-name", "T", "--introduction", "I", "--steps", "S", "--dataset", dataset_id)
    batch_id: str = cli(*made, *texts).out.strip()
    cli("batch", "setup", batch_id)
    account.set_status(batch_id, "READY")
    return batch_id


def test_sync_prints_its_id(synced: str, cli: Any, terminal: Any) -> None:
    ran = cli("batch", "sync", synced)
    assert (ran.code, ran.err, len(ran.out.split())) == (0, "", 1)
    assert cli("batch", "sync", synced, "--json").json["status"] == "queued"


def test_sync_waits_for_its_tasks(synced: str, cli: Any, terminal: Any) -> None:
    ran = cli("batch", "sync", synced, "--wait")
    assert (ran.code, ran.out.split("\t")[1:]) == (0, ["complete", "0\n"])
    assert ran.err == "0.0 s\tsync\tcomplete\n"
    ran = terminal("batch", "sync", synced, "--wait", "--json")
    assert (ran.json["outcome"], ran.json["status"]) == ("ready", "complete")
    assert "complete" in ran.bars


def test_a_sync_that_fails_exits_with_1(account: Simulator, synced: str, cli: Any) -> None:
    failed = {"sync_id": "s1", "batch_id": synced, "status": "failed", "reason": "No space."}
    account.inject("POST", "/sync", Fault(202, body=failed), times=None)
    account.inject("GET", "/syncs/s1", Fault(200, body=failed), times=None)
    ran = cli("batch", "sync", synced, "--wait")
    assert (ran.code, ran.out) == (1, "")
    assert "found that it failed: No space." in ran.err.splitlines()[-1]
    ran = cli("batch", "sync", synced, "--wait", "--json")
    assert (ran.code, ran.json["outcome"], ran.json["job"]) == (1, "failed", failed)


def test_sync_refuses_what_makes_no_sense(account: Simulator, cli: Any) -> None:
    ran = cli("batch", "sync", "b1", "--timeout", "5")
    assert (ran.code, ran.err.splitlines()[-1]) == (2, "Error: --timeout needs --wait")
    assert account.requests == ()
    ran = cli("batch", "sync", account.add_batch())
    assert (ran.code, "answered with 4" in ran.err) == (4, True)
