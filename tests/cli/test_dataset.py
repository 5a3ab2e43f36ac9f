"""``dataset create`` and ``status``, against the simulator."""

import json
from pathlib import Path
from typing import Any

import pytest

from prolific_async.simulator import Fault, Simulator

FIELDS = {"prompt": {"type": "text"}, "a=b": {"type": "metadata"}}


@pytest.fixture
def create(account: Simulator) -> tuple[str, ...]:
    return ("dataset", "create", "--workspace", account.workspace_id, "--name", "Rows")


def test_create_prints_the_id_alone(account: Simulator, create: Any, cli: Any) -> None:
    ran = cli(*create)
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.split()) == 1
    (seen,) = account.requests
    assert seen.body == {"name": "Rows", "workspace_id": account.workspace_id}


def test_create_with_fields_or_a_schema(
    account: Simulator, create: Any, tmp_path: Path, cli: Any
) -> None:
    ran = cli(*create, "--field", "prompt=text", "--field", "a=b=metadata", "--json")
    assert ran.json["schema"] == {"fields": FIELDS, "strict": True}
    assert ran.json["name"] == "Rows"

    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"fields": FIELDS, "strict": False}), encoding="utf-8-sig")
    ran = cli(*create, "--schema", str(path), "--json")
    assert ran.json["schema"] == {"fields": FIELDS, "strict": False}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--field", "prompt"), "--field 'prompt' is not of the form NAME=TYPE"),
        (("--field", "a=text", "--field", "a=text"), "--field 'a' is given twice"),
        (("--field", "a=image"), "--field: the field 'a': 'image' is no type of a field"),
        (("--field", "=text"), "a name has 1 to 128 characters"),
        (("--field", "a=text", "--schema", "FILE"), "--schema and --field cannot be given togeth"),
        (("--schema", "nothing.json"), "'--schema': 'nothing.json' cannot be read (No such file"),
    ],
)
def test_bad_fields_are_a_usage_error(
    account: Simulator,
    create: Any,
    options: tuple[str, ...],
    told: str,
    tmp_path: Path,
    cli: Any,
) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"fields": FIELDS}))
    ran = cli(*create, *(str(path) if each == "FILE" else each for each in options))
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err.splitlines()[-1]
    assert account.requests == ()


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], 'holds no schema: it must be {"fields": {"name": {"type": "text"}, ...}}'),
        ({"prompt": {"type": "text"}}, "holds no schema: it must be"),
        ({"fields": FIELDS, "strct": True}, "holds no schema: it must be"),
        ({"fields": []}, "holds no schema: fields must be a mapping"),
        ({"fields": {"a": {"type": "image"}}}, "holds no schema: the field 'a': 'image' is no"),
        ({"fields": FIELDS, "strict": "yes"}, "holds no schema: strict must be a bool"),
    ],
)
def test_a_bad_schema_is_a_usage_error(
    account: Simulator, create: Any, document: Any, told: str, tmp_path: Path, cli: Any
) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(document))
    ran = cli(*create, "--schema", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert f"Invalid value for '--schema': '{path}' {told}" in ran.err
    assert account.requests == ()


def test_create_needs_workspace_and_name(account: Simulator, cli: Any) -> None:
    ran = cli("dataset", "create", "--workspace", "w")
    assert (ran.code, "'--name'" in ran.err) == (2, True)
    ran = cli("dataset", "create", "--workspace", "w", "--name", " ")
    assert (ran.code, ran.err) == (2, "name must not be blank: ' '\n")
    assert account.requests == ()


def test_a_lost_create_is_a_network_error(account: Simulator, create: Any, cli: Any) -> None:
    account.inject("POST", "/datasets", Fault(reset="after"))
    ran = cli(*create)
    assert (ran.code, ran.out) == (4, "")
    assert "may or may not have run" in ran.err


def test_status_is_a_line_for_each(account: Simulator, cli: Any) -> None:
    ready = account.add_dataset(datapoints=7)
    broken = account.add_dataset(status="ERROR", datapoints=0)
    ran = cli("dataset", "status", ready, "nothing", broken)
    assert (ran.code, ran.lines) == (4, [f"{ready}\tREADY\t7", f"{broken}\tERROR\t0"])
    assert "/nothing was answered with 404" in ran.err

    ran = cli("dataset", "status", ready, "nothing", "--json")
    found, missing = ran.json
    assert found["dataset"]["status"] == "READY"
    assert (found["dataset_id"], found["error"]) == (ready, None)
    assert (missing["dataset_id"], missing["dataset"]) == ("nothing", None)
    assert missing["error"]["type"] == "NotFoundError"


def test_the_status_with_a_schema_is_that_of_its_imports(
    account: Simulator, create: Any, tmp_path: Path, cli: Any
) -> None:
    dataset_id = cli(*create, "--field", "prompt=text").out.strip()
    assert cli("dataset", "status", dataset_id).lines == [f"{dataset_id}\tuninitialised\t0"]
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a"}\n{"other": "b"}\n')
    import_id = cli("dataset", "upload", dataset_id, str(path), "--json").json["import_id"]
    account.set_import(import_id, "processing")
    assert cli("dataset", "status", dataset_id).lines == [f"{dataset_id}\tprocessing\t1"]
    account.set_import(import_id, "failed", reason="No space.")
    assert cli("dataset", "status", dataset_id).lines == [f"{dataset_id}\tcomplete\t1\tNo space."]
