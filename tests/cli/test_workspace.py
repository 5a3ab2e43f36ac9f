"""``prolific-async workspace list``."""

from typing import Any

from prolific_async.simulator import Fault, Simulator


def test_a_line_for_each_on_a_pipe(account: Simulator, cli: Any) -> None:
    other = account.add_workspace(title="Pilot\tstudies \x1b[2J")
    ran = cli("workspace", "list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        f"{account.workspace_id}\tWorkspace 1\t",
        f"{other}\tPilot\\tstudies \\x1b[2J\t",
    ]


def test_a_table_on_a_terminal(account: Simulator, terminal: Any) -> None:
    account.add_workspace(title="long " * 30)
    ran = terminal("workspace", "list")
    assert ran.code == 0
    head, first, second = ran.screen.splitlines()
    assert head.split() == ["id", "title", "description"]
    assert first.split() == [account.workspace_id, "Workspace", "1"]
    assert "…" in second


def test_json_for_programs(account: Simulator, cli: Any) -> None:
    ran = cli("workspace", "list", "--json")
    assert ran.code == 0
    assert [one["id"] for one in ran.json] == [account.workspace_id]
    assert cli("batch", "list", ran.json[0]["id"]).code == 0


def test_a_refusal_is_one_sentence(account: Simulator, cli: Any) -> None:
    account.inject("GET", "/workspaces/", Fault(403))
    ran = cli("workspace", "list")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (4, "", 1)


def test_it_needs_a_token(cli: Any) -> None:
    ran = cli("workspace", "list")
    assert (ran.code, ran.out) == (2, "")
    assert "PROLIFIC_TOKEN" in ran.err
