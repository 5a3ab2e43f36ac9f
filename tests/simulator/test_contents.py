"""Filling, reading and changing the simulated service without requests."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from prolific_async.simulator import Simulator
from prolific_async.simulator.contents import Contents
from prolific_async.simulator.setup_durations import AfterPolls
from prolific_async.simulator.state import State

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def contents() -> Contents:
    return Contents(State(now=lambda: 0.0, utc_now=lambda: NOON, setup=AfterPolls(1)))


def test_ids_look_like_those_of_the_service(contents: Contents) -> None:
    batch = contents.batches[contents.add_batch()]
    assert len(batch.id) == len(str(batch.dataset_id)) == 36
    assert batch.workspace_id == contents.workspace_id
    assert len(contents.workspace_id) == 24
    assert int(contents.add_workspace(), 16) != int(contents.workspace_id, 16)


def test_a_workspace_may_have_any_unused_id() -> None:
    state = State(now=lambda: 0.0, utc_now=lambda: NOON, setup=AfterPolls(1))
    contents = Contents(state, "mine")
    assert (contents.workspace_id, contents.add_workspace("other")) == ("mine", "other")
    assert contents.batches[contents.add_batch()].workspace_id == "mine"
    for taken in ("mine", "other", ""):
        with pytest.raises(ValueError, match=f"{taken!r} cannot be"):
            contents.add_workspace(taken)


def test_batches_are_an_ordered_view_that_follows_changes(contents: Contents) -> None:
    view = contents.batches
    first, second = contents.add_batch("1"), contents.add_batch("2")
    assert list(view) == [first, second]
    assert [batch.name for batch in view.values()] == ["1", "2"]
    for batch_id in view:  # removing while going through is no error
        contents.remove(batch_id)
    assert (len(view), first in view, view.get(first)) == (0, False, None)


def test_a_snapshot_does_not_change(contents: Contents) -> None:
    batch_id = contents.add_batch()
    before = contents.batches[batch_id]
    contents.set_status(batch_id, None)
    assert before.status == "UNINITIALISED"
    assert contents.batches[batch_id].status is None


def test_the_id_of_a_removed_batch_can_be_used_again(contents: Contents) -> None:
    assert contents.add_batch(batch_id="a/b") == "a/b"
    with pytest.raises(ValueError, match="already"):
        contents.add_batch(batch_id="a/b")
    contents.remove("a/b")
    assert contents.add_batch(batch_id="a/b") == "a/b"


def test_batches_can_share_a_dataset(contents: Contents) -> None:
    dataset_id = contents.add_dataset(datapoints=3)
    ids = [contents.add_batch(dataset_id=dataset_id) for _ in range(2)]
    assert [contents.batches[batch_id].dataset_id for batch_id in ids] == [dataset_id] * 2
    assert contents.batches[contents.add_batch(datapoints=None)].dataset_id is None


def test_a_creation_time_is_converted_to_utc(contents: Contents) -> None:
    there = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    batch = contents.batches[contents.add_batch(created_at=there)]
    assert batch.created_at.isoformat() == "2025-12-31T23:00:00+00:00"
    assert contents.batches[contents.add_batch()].created_at == NOON


@pytest.mark.parametrize(
    "options",
    [
        {"batch_id": ""},
        {"id": "x"},
        {"datapoints": -1},
        {"instructions": -1},
        {"tasks_per_group": 0},
        {"created_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - what is tested
    ],
)
def test_invalid_arguments_are_refused(contents: Contents, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        contents.add_batch(**options)
    assert len(contents.batches) == 0


@pytest.mark.parametrize("name", ["datapoints", "instructions", "tasks_per_group"])
@pytest.mark.parametrize("count", [True, 2.5, "2"])
def test_a_count_that_is_not_a_whole_number_is_refused(
    contents: Contents, name: str, count: Any
) -> None:
    options: dict[str, Any] = {name: count}
    with pytest.raises(ValueError, match=rf"{name} must be a whole number from [01], not"):
        contents.add_batch(**options)
    assert len(contents.batches) == 0


@pytest.mark.parametrize(
    "options", [{"task_details": {"x": object()}}, {"batch_items": [b""]}, {"newer": {1, 2}}]
)
def test_values_that_json_cannot_hold_are_refused_when_added(
    contents: Contents, options: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        contents.add_batch(**options)


def test_arguments_are_copied(contents: Contents) -> None:
    items: list[Any] = [{"rows": []}]
    batch_id = contents.add_batch(batch_items=items)
    items.append("more")
    assert contents._state.batches[batch_id].batch_items == [{"rows": []}]


def test_unknown_ids_are_key_errors_that_name_them(contents: Contents) -> None:
    calls: list[Any] = [
        lambda: contents.fail("nobody"),
        lambda: contents.set_status("nobody", None),
        lambda: contents.remove("nobody"),
        lambda: contents.batches["nobody"],
        lambda: contents.set_dataset_status("nobody", "READY"),
        lambda: contents.add_batch(dataset_id="nobody"),
        lambda: contents.add_batch(workspace_id="nobody"),
        lambda: contents.add_batch(workspace_id="nobody", datapoints=None),
        lambda: contents.add_dataset(workspace_id="nobody"),
    ]
    for call in calls:
        with pytest.raises(KeyError, match="nobody"):
            call()


def test_what_there_is_can_be_printed() -> None:
    sim = Simulator()
    assert repr(sim.datasets) == "{}"
    dataset_id = sim.add_dataset()
    batch_id = sim.add_batch("A")
    assert repr(sim.datasets).startswith(f"{{'{dataset_id}': DatasetSnapshot(id=")
    assert repr(sim.batches).startswith(f"{{'{batch_id}': BatchSnapshot(id=")
