"""The ``batch`` commands that make one call each, against the simulator."""

import json
import socket
from typing import Any

import pytest

from prolific_async import BatchNotSetUpError
from prolific_async.cli.output import print_error
from prolific_async.simulator import Fault, Simulator

EVIL = "[red]x[/] \x1b]0;owned\x07\u202e\n日本"
SHOWN = r"[red]x[/] \x1b]0;owned\x07\u202e\n日本"


@pytest.fixture
def batch_id(account: Simulator) -> str:
    return account.add_batch("Original", status="READY", tasks_per_group=5)


def test_duplicate_prints_the_new_id_alone(account: Simulator, batch_id: str, cli: Any) -> None:
    ran = cli("batch", "duplicate", batch_id, "--name", "Round 2")
    assert (ran.code, ran.err) == (0, "")
    copy = account.batches[ran.out.strip()]
    assert (copy.name, copy.source_id) == ("Round 2", batch_id)
    assert copy.dataset_id is not None


def test_duplicate_can_leave_out_the_dataset(account: Simulator, batch_id: str, cli: Any) -> None:
    ran = cli("batch", "duplicate", batch_id, "--new-dataset", "--json")
    assert ran.json["name"] == "Original (Copy)"
    assert account.batches[ran.json["id"]].dataset_id is None


def test_setup_sends_what_was_given_and_prints_the_id(account: Simulator, cli: Any) -> None:
    batch_id = account.add_batch(datapoints=None)
    dataset_id = account.add_dataset()
    ran = cli("batch", "setup", batch_id, "--dataset-id", dataset_id, "--tasks-per-group", "7")
    assert (ran.code, ran.out) == (0, f"{batch_id}\n")
    assert account.batches[batch_id].tasks_per_group == 7
    assert account.batches[batch_id].dataset_id == dataset_id


def test_setup_as_json(account: Simulator, cli: Any) -> None:
    batch_id = account.add_batch()
    assert cli("batch", "setup", batch_id, "--json").json == {"batch_id": batch_id}


def test_status_of_many_is_a_line_each(account: Simulator, batch_id: str, cli: Any) -> None:
    other = account.add_batch(status=None)
    ran = cli("batch", "status", batch_id, other)
    assert (ran.code, ran.lines) == (0, [f"{batch_id}\tREADY", f"{other}\t-"])


def test_status_prints_the_others_when_one_is_not_found(batch_id: str, cli: Any) -> None:
    ran = cli("batch", "status", "nothing", batch_id)
    assert (ran.code, ran.lines) == (4, [f"{batch_id}\tREADY"])
    assert "/nothing/status was answered with 404" in ran.err

    as_json = cli("batch", "status", "nothing", batch_id, "--json")
    assert as_json.code == 4
    missing, found = as_json.json
    assert found == {"batch_id": batch_id, "status": "READY", "error": None}
    assert (missing["batch_id"], missing["status"]) == ("nothing", None)
    assert missing["error"] == {"type": "NotFoundError", "message": ran.err.strip()}


def test_list_on_a_pipe_is_separated_by_tabs(account: Simulator, batch_id: str, cli: Any) -> None:
    ran = cli("batch", "list", account.workspace_id)
    cells = ran.out.rstrip("\n").split("\t")
    assert cells[:4] == [batch_id, "Original", "READY", "200"]
    assert cells[4].endswith("Z")


def test_list_on_a_terminal_fits_80_columns(account: Simulator, terminal: Any) -> None:
    batch_id = account.add_batch("a name that is far too long for a line " * 4)
    ran = terminal("batch", "list", account.workspace_id)
    head, row = ran.screen.splitlines()
    assert head.split() == ["id", "name", "status", "tasks"]
    assert row.startswith(f"{batch_id}  a name")
    assert "…" in row
    assert max(map(len, ran.screen.splitlines())) <= 80


def test_list_on_a_wide_terminal_has_the_date(
    account: Simulator, batch_id: str, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ran = terminal("batch", "list", account.workspace_id)
    assert "created (UTC)" in ran.screen
    assert f"{account.batches[batch_id].created_at:%Y-%m-%d %H:%M}" in ran.screen


def test_a_narrow_terminal_gets_tabs_so_that_ids_stay_whole(
    account: Simulator, batch_id: str, cli: Any, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in (("list", account.workspace_id), ("show", batch_id)):
        monkeypatch.setenv("COLUMNS", "71")
        assert terminal("batch", *call).out == cli("batch", *call).out
        monkeypatch.setenv("COLUMNS", "72")
        assert "\t" not in terminal("batch", *call).out


def test_list_as_json_is_one_array(account: Simulator, batch_id: str, cli: Any) -> None:
    ran = cli("batch", "list", account.workspace_id, "--json")
    assert [batch["id"] for batch in ran.json] == [batch_id]
    assert cli("batch", "list", account.add_workspace(), "--json").json == []


def test_show_has_every_field(account: Simulator, cli: Any, terminal: Any) -> None:
    batch_id = account.add_batch(batch_items=[{"kind": "text"}], brand_new={"deep": 1})
    fields = dict(line.split("\t") for line in cli("batch", "show", batch_id).lines)
    assert fields["id"] == batch_id
    assert fields["datasets[0].total_datapoint_count"] == "200"
    assert fields["task_details.task_name"] == "Rate the answers"
    assert fields["batch_items"] == "1 (see --json)"
    assert fields["brand_new.deep"] == "1"

    ran = terminal("batch", "show", batch_id)
    assert f"id                                 {batch_id}" in ran.screen
    assert max(map(len, ran.screen.splitlines())) <= 80


def test_show_as_json_is_the_wire_form(batch_id: str, cli: Any) -> None:
    ran = cli("batch", "show", batch_id, "--json")
    assert ran.json["id"] == batch_id
    assert ran.json["datasets"][0]["filename"] == "datapoints.csv"


@pytest.mark.parametrize("where", ["cli", "terminal"])
def test_markup_and_control_characters_of_the_service_are_escaped(
    account: Simulator, where: str, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(where)
    batch_id = account.add_batch(EVIL, status="[bold]\x1b[2J", batch_id="[/]id")
    for argv in (["list", account.workspace_id], ["show", batch_id], ["status", batch_id]):
        ran = run("batch", *argv)
        assert ran.code == 0
        assert "[/]id" in ran.screen
        assert r"[bold]\x1b[2J" in ran.screen
        assert argv[0] != "show" or SHOWN in ran.screen
        assert not {"\x07", "\u202e", "\x1b]"} & set(ran.out)
        assert "\x1b[2J" not in ran.out


def test_a_refusal_is_one_sentence(account: Simulator, batch_id: str, cli: Any) -> None:
    account.inject("GET", f"/{batch_id}", Fault(400, body={"error": {"detail": "a\nb\x1b[31m"}}))
    ran = cli("batch", "show", batch_id, "--json")
    assert (ran.code, ran.out) == (4, "")
    assert len(ran.err.splitlines()) == 1
    assert "\x1b" not in ran.err
    assert "answered with 400" in ran.err


def test_a_name_that_the_encoding_lacks_is_escaped(account: Simulator, cli: Any) -> None:
    account.add_batch("日本")
    ran = cli("batch", "list", account.workspace_id, encoding="latin-1")
    assert (ran.code, r"\u65e5\u672c" in ran.out) == (0, True)


def test_without_a_token_it_is_a_usage_error(
    batch_id: str, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROLIFIC_TOKEN")
    for verb in ("duplicate", "setup", "status", "list", "show", "wait"):
        ran = cli("batch", verb, batch_id)
        assert (ran.code, ran.out) == (2, "")
        # No option takes one, so none is advised.
        assert ran.err == "no token: set the environment variable PROLIFIC_TOKEN\n"
    for empty in ("", "  "):
        monkeypatch.setenv("PROLIFIC_TOKEN", empty)
        assert cli("batch", "show", batch_id).err == ran.err
    monkeypatch.setenv("PROLIFIC_API_TOKEN", "s3cret")
    told = " (PROLIFIC_API_TOKEN is set, but it is not read)\n"
    assert cli("batch", "show", batch_id).err == ran.err.rstrip() + told


@pytest.mark.parametrize("fault", [Fault(body={"id": 1}), Fault(418)], ids=["decode", "status"])
def test_errors_name_no_python_attributes(
    account: Simulator, batch_id: str, cli: Any, fault: Fault
) -> None:
    account.inject("GET", f"/{batch_id}", fault)
    ran = cli("batch", "show", batch_id)
    assert ran.code == 4
    assert " .body" not in ran.err
    assert ran.err.endswith(")\n")


def test_errors_name_no_python_policies(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(BatchNotSetUpError("b1", None, 61.0, 9, ()))
    told = "found it UNINITIALISED for too long: call setup, which needs a READY dataset"
    seen = "(no status seen, 9 polls in 61.0 s)"
    assert capsys.readouterr().err == f"waiting for batch b1 {told} {seen}\n"


def test_errors_name_the_option(batch_id: str, cli: Any) -> None:
    ran = cli("batch", "show", batch_id, "--url", "http://example.com")
    assert ran.code == 2
    assert ran.err.startswith("--url (PROLIFIC_URL) must start with https://")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    ran = cli("batch", "wait", batch_id, "--url", url, "--timeout", "0", "--json")
    poll, _ = map(json.loads, ran.lines)
    assert "--url" in ran.err
    assert "base_url" not in ran.err + ran.out
    assert poll["error"]["message"] in ran.err


def test_a_wrong_token_is_the_services_refusal(
    batch_id: str, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROLIFIC_TOKEN", "wrong-secret")
    ran = cli("batch", "show", batch_id)
    assert ran.code == 4
    assert "check the token" in ran.err
    assert "wrong-secret" not in ran.err


def test_the_token_is_no_option(batch_id: str, cli: Any) -> None:
    assert cli("batch", "show", batch_id, "--token", "secret").code == 2


@pytest.mark.parametrize(
    "argv",
    [
        ("show", ""),
        ("show", ".."),
        ("show",),
        ("wait",),
        ("wait", "x", "--timeout", "-1"),
        ("wait", "x", "--timeout", "nan"),
        ("setup", "x", "--tasks-per-group", "0"),
        ("show", "x", "--url", "http://example.com"),
        ("explode", "x"),
    ],
)
def test_bad_arguments_are_a_usage_error(account: Simulator, argv: list[str], cli: Any) -> None:
    ran = cli("batch", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert "Traceback" not in ran.err
    assert account.requests == ()


def test_the_url_option_takes_precedence(
    account: Simulator, batch_id: str, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROLIFIC_URL", "https://nowhere.invalid")
    assert cli("batch", "status", batch_id, "--url", account.url).code == 0


def test_a_lost_response_is_a_network_error(account: Simulator, batch_id: str, cli: Any) -> None:
    account.inject("POST", "/duplicate", Fault(reset="after"))
    ran = cli("batch", "duplicate", batch_id)
    assert (ran.code, ran.out) == (4, "")
    assert "may or may not have run" in ran.err
