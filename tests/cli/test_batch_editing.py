"""``batch create``, ``update`` and ``preview``, against the simulator."""

import json
from pathlib import Path
from typing import Any

import pytest

from prolific_async.simulator import Fault, Simulator

PAGES = [{"rows": [{"columns": [{"items": [{"type": "rich_text", "content": "<p>Hello</p>"}]}]}]}]
TEXTS = ("--task-name", "Rate", "--introduction", "Two answers.", "--steps", "Read both.")
TASK = {"task_name": "Rate", "task_introduction": "Two answers.", "task_steps": "Read both."}


@pytest.fixture
def layout(tmp_path: Path) -> str:
    path = tmp_path / "layout.json"
    path.write_text(json.dumps(PAGES))
    return str(path)


@pytest.fixture
def made(account: Simulator) -> tuple[str, ...]:
    """Return the required arguments of ``batch create``."""
    return ("batch", "create", "--workspace", account.workspace_id, "--name", "Round 1", *TEXTS)


def sent(account: Simulator, method: str) -> Any:
    """Return the JSON of the newest request with a method."""
    return [seen.body for seen in account.requests if seen.method == method][-1]


def test_create_sends_only_what_is_given(account: Simulator, made: Any, cli: Any) -> None:
    ran = cli(*made)
    assert (ran.code, ran.err) == (0, "")
    assert account.batches[ran.out.strip()].name == "Round 1"
    workspace = {"workspace_id": account.workspace_id}
    assert sent(account, "POST") == {"name": "Round 1", "task_details": TASK} | workspace


@pytest.mark.parametrize("option", ["--auto-sync", "--no-auto-sync"])
def test_create_sends_all_that_is_given(
    account: Simulator, made: Any, layout: str, option: str, cli: Any
) -> None:
    dataset_id = account.add_dataset()
    ran = cli(*made, "--layout", layout, "--dataset", dataset_id, option, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["datasets"][0]["id"] == dataset_id
    body = sent(account, "POST")
    assert body["batch_items"] == PAGES
    assert (body["dataset_id"], body["auto_sync_enabled"]) == (
        dataset_id,
        option == "--auto-sync",
    )


def test_a_layout_may_be_an_object_and_begin_with_a_mark(
    account: Simulator, made: Any, tmp_path: Path, cli: Any
) -> None:
    path = tmp_path / "layout.json"
    path.write_text(json.dumps({"batch_items": PAGES}), encoding="utf-8-sig")
    assert cli(*made, "--layout", str(path)).code == 0
    assert sent(account, "POST")["batch_items"] == PAGES


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (json.dumps(PAGES).encode("utf-16"), "is UTF-16, but it is read as UTF-8: in PowerShell"),
        (json.dumps(PAGES).encode("utf-16-le"), "is UTF-16"),
        (json.dumps(PAGES).encode("utf-16-be"), "is UTF-16"),
        ('[{"a": "é"}]'.encode("latin-1"), "is not UTF-8 (see its byte 8)"),
        (b"", "is not JSON: Expecting value (line 1, column 1)"),
        (b'[\n{"a": }]', "is not JSON: Expecting value (line 2, column 7)"),
        (b'[{"a": NaN}]', "is not JSON: it holds NaN"),
        (b"[%s]" % (b"9" * 5000), "is not JSON: Exceeds the limit"),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"rows": []}', 'holds no layout: it must be a list of pages, or {"batch_items": [...]}'),
        (b'{"batch_items": null}', "holds no layout"),
        (b"[1]", "holds no layout"),
    ],
)
def test_a_bad_layout_is_a_usage_error_before_any_request(
    account: Simulator, made: Any, data: bytes, told: str, tmp_path: Path, cli: Any
) -> None:
    path = tmp_path / "layout.json"
    path.write_bytes(data)
    for start in (made, ("batch", "update", "b1")):
        ran = cli(*start, "--layout", str(path))
        assert (ran.code, ran.out) == (2, "")
        (error,) = [line for line in ran.err.splitlines() if line.startswith("Error: ")]
        assert error.startswith(f"Error: Invalid value for '--layout': '{path}' ")
        assert told in error
    assert account.requests == ()


def test_a_layout_that_cannot_be_read_is_a_usage_error(
    account: Simulator, tmp_path: Path, cli: Any
) -> None:
    for path, reason in ((tmp_path / "no\x1b", "No such file"), (tmp_path, "Is a directory")):
        ran = cli("batch", "update", "b1", "--layout", str(path))
        assert (ran.code, ran.out) == (2, "")
        assert f"cannot be read ({reason}" in ran.err
        assert "\x1b" not in ran.err
    assert account.requests == ()


def test_a_layout_that_the_service_refuses_is_told_with_its_place(
    account: Simulator, made: Any, tmp_path: Path, cli: Any
) -> None:
    path = tmp_path / "layout.json"
    path.write_text('[{"rows": []}]')
    ran = cli(*made, "--layout", str(path))
    assert (ran.code, ran.out) == (4, "")
    assert "answered with 422" in ran.err


@pytest.mark.parametrize("left_out", ["--workspace", "--name", "--task-name", "--steps"])
def test_create_needs_workspace_name_and_texts(
    account: Simulator, made: Any, left_out: str, cli: Any
) -> None:
    at = made.index(left_out)
    ran = cli(*made[:at], *made[at + 2 :])
    assert (ran.code, ran.out) == (2, "")
    assert left_out in ran.err.splitlines()[-1]
    assert account.requests == ()


def test_a_lost_create_is_found_by_its_name(account: Simulator, made: Any, cli: Any) -> None:
    account.inject("POST", "/batches", Fault(reset="after"))
    ran = cli(*made)
    assert (ran.code, [ran.out.strip()]) == (0, list(account.batches))


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (("--name", "New"), {"name": "New"}),
        (TEXTS, {"task_details": TASK}),
        (("--clear-items",), {"batch_items": None}),
        (("--auto-sync",), {"auto_sync_enabled": True}),
        (("--no-auto-sync",), {"auto_sync_enabled": False}),
    ],
)
def test_update_sends_only_what_is_given(
    account: Simulator, options: tuple[str, ...], body: Any, cli: Any
) -> None:
    batch_id = account.add_batch(batch_items=PAGES)
    ran = cli("batch", "update", batch_id, *options)
    assert (ran.code, ran.out, ran.err) == (0, f"{batch_id}\n", "")
    assert sent(account, "PATCH") == body


def test_update_changes_dataset_and_layout(account: Simulator, layout: str, cli: Any) -> None:
    batch_id, dataset_id = account.add_batch(), account.add_dataset()
    argv = ("update", batch_id, "--dataset", dataset_id, "--layout", layout, "--json")
    assert cli("batch", *argv).json["datasets"][0]["id"] == dataset_id
    assert sent(account, "PATCH") == {"dataset_id": dataset_id, "batch_items": PAGES}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "give something to change, such as --name or --layout"),
        (("--steps", "x"), "are changed together: give --task-name and --introduction"),
        (("--clear-items", "--layout"), "--clear-items and --layout cannot be given together"),
    ],
)
def test_update_refuses_what_makes_no_sense(
    account: Simulator, layout: str, options: tuple[str, ...], told: str, cli: Any
) -> None:
    given = (*options, layout) if "--layout" in options else options
    ran = cli("batch", "update", "b1", *given)
    assert (ran.code, ran.out) == (2, "")
    usage, hint, empty, error = ran.err.splitlines()
    assert usage.startswith("Usage: prolific-async batch update ")
    assert (hint, empty) == ("Try 'prolific-async batch update --help' for help.", "")
    assert told in error
    assert account.requests == ()


def test_preview_prints_the_address(
    account: Simulator, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = account.add_batch(status="READY")
    ran = cli("batch", "preview", batch_id)
    assert (ran.code, ran.err) == (0, "")
    address = ran.out.strip()
    assert address.startswith(f"https://app.prolific.com/data-collection-tool/batches/{batch_id}/")
    as_json = cli("batch", "preview", batch_id, "--json").json
    assert as_json == {"batch_id": batch_id, "preview_url": address}
    monkeypatch.setenv("PROLIFIC_APPLICATION_URL", "https://here.invalid/")
    assert cli("batch", "preview", batch_id).out.startswith("https://here.invalid/data-coll")


def test_preview_of_a_batch_without_tasks_is_refused(account: Simulator, cli: Any) -> None:
    ran = cli("batch", "preview", account.add_batch())
    assert (ran.code, ran.out) == (2, "")
    assert "set it up, and wait until it is READY" in ran.err
