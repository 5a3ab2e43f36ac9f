"""The public names, the imports, and what importing the package loads."""

import ast
import inspect
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import prolific_async
from prolific_async import UNSET, errors
from tests.conftest import HANGS

PACKAGE = Path(prolific_async.__file__).parent

# What callers make, get and name in signatures, and the errors.
NAMES = {
    "JobFailedError",
    "NothingUploadedError",
    "PartialImportError",
    "PartialMigrationError",
    "SchemaNeededError",
    "ProlificClient",
    "Batch",
    "BatchStatus",
    "Copies",
    "DatasetRef",
    "TaskDetails",
    "StatusEvent",
    "Workspace",
    "RetryPolicy",
    "PollPolicy",
    "ProlificError",
    "ConfigurationError",
    "TransportError",
    "ConnectError",
    "ConnectionLostError",
    "RequestTimeoutError",
    "APIStatusError",
    "BadRequestError",
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "ConflictError",
    "ValidationError",
    "RateLimitedError",
    "ServerError",
    "DecodeError",
    "OutcomeUnknownError",
    "WaitError",
    "BatchFailedError",
    "BatchNotSetUpError",
    "WaitFailedError",
    "WaitTimeoutError",
    "UNSET",
    "Unset",
    "__version__",
}
# Imported with the first client, and by the programs that use datasets.
ON_FIRST_USE = {
    "Annotation",
    "Report",
    "ReportRow",
    "Answer",
    "InstructionResponse",
    "TaskResponse",
    "AppendResult",
    "BatchOrId",
    "Batches",
    "BatchSync",
    "Dataset",
    "DatasetOrId",
    "DatasetSchema",
    "DatasetStatus",
    "Datasets",
    "Export",
    "ExportArchive",
    "FieldType",
    "ImportJob",
    "JobStatus",
    "Progress",
    "RejectedRow",
    "SchemaField",
    "SchemaMigration",
    "UnmigratedDatapoint",
    "Upload",
    "Workspaces",
}
NAMES |= ON_FIRST_USE
NO_CLASSES = {"__version__", "BatchOrId", "DatasetOrId", "UNSET", "Unset"}

DEPENDENCIES = {"aiohttp", "attrs", "backoff", "cattrs"}
# What aiohttp takes in when it happens to be there.
TAKEN_IN = {"aiodns", "brotli", "brotlicffi", "backports-zstd"}

CLIENT = {
    "token": None,
    "base_url": None,
    "session": None,
    "request_timeout": 30.0,
    "strategy": "auto",
    "max_requests_per_second": None,
    "retry": prolific_async.RetryPolicy(),
    "poll": prolific_async.PollPolicy(),
    "max_connections": 100,
    "trace_configs": (),
}
NEEDED = inspect.Parameter.empty
WAITING = {"timeout": ..., "poll": None}
COPYING = {"dataset_id": None, "tasks_per_group": None, "timeout": ..., "on_event": None}
CREATING = {"items": None, "dataset": None, "auto_sync": None}
VERBS: dict[str, dict[str, Any]] = {
    "create": {"name": NEEDED, "task": NEEDED} | CREATING,
    "update": {"name": UNSET, "task": UNSET} | dict.fromkeys(CREATING, UNSET),
    "sync": {},
    "task_ids": {},
    "task_group_ids": {},
    "report": {},
    "responses": {},
    "preview_url": {},
    "export": {"study_id": None, "since": None, "until": None},
    "exports": {},
    "duplicate": {"name": None, "upload_new_dataset": False},
    "get_or_duplicate": {"name": NEEDED, "settle_seconds": 30.0},
    "duplicate_and_wait": {"name": None} | COPYING,
    "duplicate_and_wait_all": {"names": NEEDED} | COPYING | {"return_exceptions": False},
    "find_copies": {"name": NEEDED},
    "setup": {"dataset_id": None, "tasks_per_group": None},
    "get_status": {},
    "get": {},
    "list": {},
    "wait_until_ready": WAITING | {"on_event": None},
    "wait_all": WAITING | {"on_event": None, "return_exceptions": False},
    "as_ready": WAITING | {"on_event": None},
    "watch": WAITING,
    "poll_now": {},
    "add_wait_observer": {},
    "remove_wait_observer": {},
}
BOUND_VERBS = {
    "update": "update",
    "sync": "sync",
    "task_ids": "task_ids",
    "task_group_ids": "task_group_ids",
    "report": "report",
    "responses": "responses",
    "preview_url": "preview_url",
    "export": "export",
    "exports": "exports",
    "duplicate": "duplicate",
    "get_or_duplicate": "get_or_duplicate",
    "duplicate_and_wait": "duplicate_and_wait",
    "duplicate_and_wait_all": "duplicate_and_wait_all",
    "find_copies": "find_copies",
    "setup": "setup",
    "refresh": "get",
    "get_status": "get_status",
    "wait_until_ready": "wait_until_ready",
    "watch": "watch",
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needs(distributions: set[str]) -> set[str]:
    """Return distributions with all their requirements on this Python, without extras."""
    found: set[str] = set()
    waiting = {canonical(name) for name in distributions}
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another platform
            continue
        plain = [line for line in requirements if "extra ==" not in line]
        names = (re.match(r"[A-Za-z0-9._-]+", line) for line in plain)
        waiting |= {canonical(match[0]) for match in names if match} - found
    return found


def run(code: str) -> str:
    """Return what some code prints in a fresh interpreter, where a warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def imported_by(code: str) -> set[str]:
    """Return the modules that some code loads in a fresh interpreter."""
    script = (
        f"import json, sys; before = set(sys.modules)\n{code}\n"
        # Compiled modules register names that were never imported, and have no spec.
        "real = {name for name, module in sys.modules.items() if getattr(module, '__spec__', 0)}\n"
        "print(json.dumps(sorted(real - before)))"
    )
    return set(json.loads(run(script)))


@pytest.fixture(scope="module")
def imported() -> set[str]:
    return imported_by("import prolific_async")


def defaults(function: Any) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    }


def test_all_has_the_public_names() -> None:
    assert set(prolific_async.__all__) == NAMES
    in_order = sorted(NAMES, key=lambda name: (not name.isupper(), name))
    assert prolific_async.__all__ == in_order
    assert len(set(prolific_async.__all__)) == len(prolific_async.__all__)


def test_the_module_has_no_other_public_names() -> None:
    shown = {
        name
        for name in dir(prolific_async)
        if not isinstance(getattr(prolific_async, name), ModuleType)
        and (name == "__version__" or not name.startswith("_"))
    }
    assert shown == set(prolific_async.__all__)


def test_names_are_shown_before_their_first_use() -> None:
    names = set(run("import prolific_async; print(*dir(prolific_async))").split())
    assert names >= NAMES | {"batches", "datasets", "layout", "workspaces"}


def test_some_names_are_imported_on_their_first_use() -> None:
    made = set(run("import prolific_async; print(*vars(prolific_async))").split())
    assert NAMES - made == ON_FIRST_USE


def with_one_quick(names: set[str]) -> list[Any]:
    """Return names as parameters, all but the first of them slow: each needs a process."""
    first, *others = sorted(names)
    return [first, *(pytest.param(name, marks=pytest.mark.slow) for name in others)]


@pytest.mark.parametrize("name", with_one_quick(ON_FIRST_USE))
def test_a_name_stays_what_it_was_on_its_first_use(name: str) -> None:
    code = f"import prolific_async; a = prolific_async.{name}; from prolific_async import {name}"
    assert run(f"{code}; print({name} is a is vars(prolific_async)['{name}'])") == "True\n"


@pytest.mark.parametrize("name", with_one_quick(ON_FIRST_USE - NO_CLASSES))
def test_a_class_that_is_imported_on_its_first_use_can_be_pickled(name: str) -> None:
    kept = pickle.dumps(getattr(prolific_async, name))
    code = f"import pickle; print(pickle.loads({kept!r}).__name__)"
    assert run(code) == f"{name}\n"


def test_threads_may_be_the_first_to_use_a_name() -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import prolific_async
together = Barrier(8)
def first(name):
    together.wait()
    return getattr(prolific_async, name), prolific_async.ProlificClient("t").batches
with ThreadPoolExecutor(8) as pool:
    names = ["Batches", "Workspaces", "datasets", "layout"] * 2
    found = list(pool.map(first, names))
print(len({id(one) for one, _ in found}), len({type(batches) for _, batches in found}))
"""
    assert run(code) == "4 1\n"


def test_a_star_import_imports_all() -> None:
    space: dict[str, Any] = {}
    exec("from prolific_async import *", space)
    assert set(space) - {"__builtins__"} == set(prolific_async.__all__)


def test_every_error_is_public() -> None:
    public = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.ProlificError)
    }
    assert public <= set(prolific_async.__all__)
    assert public == {name for name in prolific_async.__all__ if name.endswith("Error")}


@pytest.mark.parametrize("name", sorted(NAMES - NO_CLASSES))
def test_every_public_name_has_a_docstring(name: str) -> None:
    thing = getattr(prolific_async, name)
    assert thing.__name__ == name
    assert (inspect.getdoc(thing) or "").strip()
    for member, value in vars(thing).items():
        if not member.startswith("_") and inspect.isfunction(value):
            assert inspect.getdoc(value), member


def test_the_client_has_the_documented_parameters() -> None:
    assert defaults(prolific_async.ProlificClient) == CLIENT
    kinds = inspect.signature(prolific_async.ProlificClient).parameters
    positional = [name for name, item in kinds.items() if item.kind is not item.KEYWORD_ONLY]
    assert positional == ["token"]


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_the_documented_parameters(verb: str) -> None:
    function = getattr(type(prolific_async.ProlificClient("t").batches), verb)
    (_, first), *others = defaults(function).items()
    assert first is NEEDED
    assert dict(others) == VERBS[verb]
    parameters = list(inspect.signature(function).parameters.values())[2:]
    assert all(item.kind is item.KEYWORD_ONLY or item.name == "names" for item in parameters)
    assert inspect.getdoc(function)


@pytest.mark.parametrize(("verb", "resource_verb"), BOUND_VERBS.items())
def test_each_bound_verb_has_the_same_parameters_without_the_id(
    verb: str, resource_verb: str
) -> None:
    function = getattr(prolific_async.Batch, verb)
    assert defaults(function) == VERBS[resource_verb]
    parameters = list(inspect.signature(function).parameters.values())[1:]
    assert all(item.kind is item.KEYWORD_ONLY or item.name == "names" for item in parameters)


DATASET_VERBS: dict[str, dict[str, Any]] = {
    "create": {"name": NEEDED, "schema": None},
    "get": {},
    "get_status": {},
    "upload": {"source": NEEDED, "filename": None, "key": None, "on_progress": None},
    "append": {"records": NEEDED, "key": None, "timeout": ..., "on_progress": None},
    "update_schema": {"schema": NEEDED},
    "wait_until_ready": WAITING | {"on_event": None},
}
BOUND_DATASET_VERBS = {
    "refresh": "get",
    "get_status": "get_status",
    "upload": "upload",
    "append": "append",
    "update_schema": "update_schema",
    "wait_until_ready": "wait_until_ready",
}


def test_the_verbs_of_datasets_have_the_documented_parameters() -> None:
    shown = dict(inspect.getmembers(prolific_async.Datasets, inspect.isfunction))
    assert {name for name in shown if not name.startswith("_")} == set(DATASET_VERBS)
    for verb, expected in DATASET_VERBS.items():
        (_, first), *others = defaults(shown[verb]).items()
        assert first is NEEDED
        assert dict(others) == expected
        assert inspect.getdoc(shown[verb])
    for verb, of_resource in BOUND_DATASET_VERBS.items():
        assert defaults(getattr(prolific_async.Dataset, verb)) == DATASET_VERBS[of_resource]


@pytest.mark.parametrize("name", ["Upload", "SchemaMigration", "BatchSync", "Export"])
def test_each_job_is_awaited_alike(name: str) -> None:
    own = {"partial": "raise"} if name == "Upload" else {}
    wait = getattr(prolific_async, name).wait
    assert defaults(wait) == own | WAITING | {"on_event": None}
    kinds = {one.kind for one in list(inspect.signature(wait).parameters.values())[1:]}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_datasets_are_imported_on_their_first_use() -> None:
    assert "prolific_async.datasets" in imported_by(
        "import prolific_async; prolific_async.ProlificClient('t').datasets"
    )
    late = imported_by("from prolific_async import Dataset, DatasetSchema")
    assert "prolific_async.dataset_models" in late
    assert "prolific_async.datasets" not in late


def test_a_view_takes_what_the_design_says() -> None:
    options = {"request_timeout": None, "retry": None, "poll": None}
    assert defaults(prolific_async.ProlificClient.with_options) == options


def test_the_resource_has_no_other_verbs() -> None:
    batches = type(prolific_async.ProlificClient("t").batches)
    shown = {name for name, _ in inspect.getmembers(batches, inspect.isfunction)}
    # The client closes its resources.
    assert {name for name in shown if not name.startswith("_")} - {"close"} == set(VERBS)


def test_an_event_has_the_documented_fields() -> None:
    names = [field.name for field in attrs.fields(prolific_async.StatusEvent)]
    of_a_batch = ["batch_id", "status", "previous", "polls", "elapsed", "next_in", "error"]
    assert names == [*of_a_batch, "kind", "id"]


def test_the_version_is_the_same_everywhere() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(a|b|rc|dev)\d+)?", prolific_async.__version__)


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_importing_loads_only_the_dependencies(imported: set[str]) -> None:
    packages = {name.partition(".")[0] for name in imported} - {"prolific_async"}
    foreign = packages - sys.stdlib_module_names
    owners = metadata.packages_distributions()
    found = {canonical(owner) for package in foreign for owner in owners.get(package, [package])}
    assert found - needs(DEPENDENCIES) - needs(TAKEN_IN) == set()


def test_importing_loads_no_extra_and_no_command(imported: set[str]) -> None:
    assert imported.isdisjoint({"typer", "rich", "click", "orjson", "uvloop", "pydantic", "dbos"})
    ours = {name for name in imported if name.startswith("prolific_async.")}
    assert not [name for name in ours if name.split(".")[1] in ("simulator", "cli", "__main__")]


# Of this package and of its dependencies.
WITH_THE_FIRST_CLIENT = (
    "_api",
    "_resources.client_state",
    "_http.transport",
    "_json.cattrs_converter",
    "_validation",
    "batches",
    "workspaces",
)
LATER = (
    "_resources.appending",
    "_resources.downloading",
    "_resources.exports",
    "_http.download",
    "_polling.poller",
    "_report",
    "_sources",
    "_resources.uploading",
    "dataset_models",
    "dataset_schema",
    "datasets",
    "export_archive",
    "export_models",
    "job_models",
    "layout",
    "report",
    "report_models",
    "statuses",
)


def loaded(parts: Iterable[str], modules: set[str]) -> list[str]:
    """Return those of some modules of the package that are loaded, or that any part of is."""
    names = [f"prolific_async.{part}" for part in parts]
    return [one for one in names if any(f"{name}.".startswith(f"{one}.") for name in modules)]


def test_importing_loads_only_what_names_classes_and_settings(imported: set[str]) -> None:
    assert loaded((*WITH_THE_FIRST_CLIENT, *LATER), imported) == []
    assert imported.isdisjoint({"backoff", "cattrs"})


def test_the_first_client_imports_what_a_call_needs() -> None:
    modules = imported_by("import prolific_async; prolific_async.ProlificClient('t')")
    assert loaded(WITH_THE_FIRST_CLIENT, modules) == [
        f"prolific_async.{part}" for part in WITH_THE_FIRST_CLIENT
    ]
    assert loaded(LATER, modules) == []
    assert "cattrs" in modules


@pytest.mark.parametrize(
    "use",
    [
        pytest.param("from prolific_async import layout; layout.Page", marks=pytest.mark.slow),
        "import prolific_async; prolific_async.layout.Page",
        pytest.param("import prolific_async.layout as ui; ui.Page", marks=pytest.mark.slow),
        "from tests import samples; samples.batch(batch_items=[]).layout",
    ],
)
def test_the_layout_is_imported_on_its_first_use(use: str) -> None:
    assert "prolific_async.layout.pages" in imported_by(use)


def test_the_package_has_no_other_lazy_names() -> None:
    with pytest.raises(AttributeError, match="'prolific_async' has no attribute 'layouts'"):
        _ = prolific_async.layouts  # type: ignore[attr-defined] # it is the point
    with pytest.raises(AttributeError, match=r"'prolific_async\.models' has no attribute 'Status'"):
        _ = prolific_async.models.Status  # type: ignore[attr-defined] # it is the point


def test_the_simulator_needs_no_extra() -> None:
    taken_in = imported_by("import prolific_async.simulator")
    assert taken_in.isdisjoint({"typer", "rich", "click"})


def test_the_declared_dependencies_are_those_loaded() -> None:
    lines = metadata.requires("prolific-async") or []
    plain = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in lines if "extra ==" not in line}
    assert plain == DEPENDENCIES


def modules_imported_in(path: Path) -> set[str]:
    """The modules that a file imports, and the names that it imports from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


# Imports that close a circle, each for annotations alone.
CIRCULAR = {
    (
        "prolific_async._resources.batch_answers",
        "prolific_async",
    ),  # and what is imported on its first use
    ("prolific_async._resources.batch_editing", "prolific_async"),
    ("prolific_async.batches", "prolific_async"),
    ("prolific_async.client", "prolific_async"),
    ("prolific_async.dataset_models", "prolific_async"),
    ("prolific_async.errors", "prolific_async"),  # errors hold batches and events
    ("prolific_async.models", "prolific_async"),  # a batch calls its resource
    ("prolific_async.export_models", "prolific_async"),
    ("prolific_async.job_models", "prolific_async"),  # and so does a job
    ("prolific_async._polling.list_checks", "prolific_async._polling.targets"),
}
# The layers of the core from the bottom up; a layer imports none above it.
LAYERS = ("_json", "_sources", "_report", "_http", "_api", "_recovery", "_polling")


@cache
def import_graph() -> dict[str, set[str]]:
    """Return the modules of the package that each one imports, also those for type checking."""
    paths = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in PACKAGE.rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        imported = set[str]()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                inner = members & paths.keys()
                imported |= inner
                if len(inner) < len(members):
                    imported.add(node.module)
        graph[name] = (imported & paths.keys()) - {name}
    return graph


def test_imports_have_no_cycle() -> None:
    graph = import_graph()
    assert all(imported in graph[name] for name, imported in CIRCULAR)
    order = TopologicalSorter(
        {
            name: {one for one in imported if (name, one) not in CIRCULAR}
            for name, imported in graph.items()
        }
    )
    order.prepare()  # raises CycleError, which names a circle


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_imports_from_above(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    for name, imported in import_graph().items():
        if name.startswith(f"prolific_async.{layer}"):
            assert not [one for one in imported if one.split(".")[1:2] in [[up] for up in above]]


@pytest.mark.parametrize("resource", [prolific_async.Batches, prolific_async.Datasets])
def test_the_api_reference_shows_every_call(resource: type) -> None:
    # pdoc leaves out what a class inherits from a module that is not shown.
    shown = {name for name in dir(resource) if not name.startswith("_")} - {"export_jobs"}
    assert shown <= vars(resource).keys()


def test_backoff_is_imported_in_one_module_only() -> None:
    users = [path for path in PACKAGE.rglob("*.py") if "backoff" in modules_imported_in(path)]
    assert [path.name for path in users] == ["retry.py"]


EXTRAS = ("__main__.py", "cli", "durable", "fastapi", "otel")


def test_the_extras_import_public_names_only() -> None:
    private = {
        extra
        for extra in EXTRAS
        for path in (PACKAGE / extra, *(PACKAGE / extra).rglob("*.py"))
        if path.is_file()
        for name in modules_imported_in(path)
        if re.match(r"prolific_async\.(.*\.)?_(?!_)", name)
    }
    assert private == set()


def test_the_simulator_shares_no_code_with_the_client() -> None:
    inside = {
        name
        for path in (PACKAGE / "simulator").rglob("*.py")
        if path.parent.name != "pytest"  # the fixtures, one of which is a client
        for name in modules_imported_in(path)
        if name.startswith("prolific_async")
    }
    assert all(name.startswith("prolific_async.simulator") for name in inside)


def test_no_module_of_the_client_imports_the_simulator() -> None:
    for path in PACKAGE.glob("*.py"):
        if path.name != "__main__.py":
            assert not [name for name in modules_imported_in(path) if "simulator" in name], path
