"""What a test may do behind the service's back."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from prolific_async.simulator.contents import Contents
from prolific_async.simulator.setup_durations import AfterPolls
from prolific_async.simulator.state import State

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def behind() -> Contents:
    return Contents(State(now=lambda: 0.0, utc_now=lambda: NOON, setup=AfterPolls(1)))


def test_ids_poll_like_the_services(behind: Contents) -> None:
    batch = behind.batches[behind.add_batch()]
    assert len(batch.id) == len(str(batch.dataset_id)) == 36
    assert batch.workspace_id == behind.workspace_id
    assert len(behind.workspace_id) == 24
    assert int(behind.add_workspace(), 16) != int(behind.workspace_id, 16)


def test_a_workspace_may_have_any_id_that_is_free() -> None:
    state = State(now=lambda: 0.0, utc_now=lambda: NOON, setup=AfterPolls(1))
    behind = Contents(state, "mine")
    assert (behind.workspace_id, behind.add_workspace("other")) == ("mine", "other")
    assert behind.batches[behind.add_batch()].workspace_id == "mine"
    for taken in ("mine", "other", ""):
        with pytest.raises(ValueError, match=f"{taken!r} cannot be"):
            behind.add_workspace(taken)


def test_batches_are_a_view_in_order_that_follows_changes(behind: Contents) -> None:
    view = behind.batches
    first, second = behind.add_batch("1"), behind.add_batch("2")
    assert list(view) == [first, second]
    assert [batch.name for batch in view.values()] == ["1", "2"]
    for batch_id in view:  # removing while going through is no error
        behind.remove(batch_id)
    assert (len(view), first in view, view.get(first)) == (0, False, None)


def test_a_snapshot_does_not_change(behind: Contents) -> None:
    batch_id = behind.add_batch()
    before = behind.batches[batch_id]
    behind.set_status(batch_id, None)
    assert before.status == "UNINITIALISED"
    assert behind.batches[batch_id].status is None


def test_a_removed_id_is_free_again(behind: Contents) -> None:
    assert behind.add_batch(batch_id="a/b") == "a/b"
    with pytest.raises(ValueError, match="already"):
        behind.add_batch(batch_id="a/b")
    behind.remove("a/b")
    assert behind.add_batch(batch_id="a/b") == "a/b"


def test_batches_can_share_a_dataset(behind: Contents) -> None:
    dataset_id = behind.add_dataset(datapoints=3)
    ids = [behind.add_batch(dataset_id=dataset_id) for _ in range(2)]
    assert [behind.batches[batch_id].dataset_id for batch_id in ids] == [dataset_id] * 2
    assert behind.batches[behind.add_batch(datapoints=None)].dataset_id is None


def test_a_creation_time_is_turned_into_utc(behind: Contents) -> None:
    there = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    batch = behind.batches[behind.add_batch(created_at=there)]
    assert batch.created_at.isoformat() == "2025-12-31T23:00:00+00:00"
    assert behind.batches[behind.add_batch()].created_at == NOON


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
def test_what_makes_no_sense_is_refused(behind: Contents, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        behind.add_batch(**options)
    assert len(behind.batches) == 0


@pytest.mark.parametrize("name", ["datapoints", "instructions", "tasks_per_group"])
@pytest.mark.parametrize("count", [True, 2.5, "2"])
def test_a_count_that_is_no_whole_number_is_refused(
    behind: Contents, name: str, count: Any
) -> None:
    options: dict[str, Any] = {name: count}
    with pytest.raises(ValueError, match=rf"{name} must be a whole number from [01], not"):
        behind.add_batch(**options)
    assert len(behind.batches) == 0


@pytest.mark.parametrize(
    "options", [{"task_details": {"x": object()}}, {"batch_items": [b""]}, {"newer": {1, 2}}]
)
def test_what_cannot_be_sent_fails_when_it_is_added(
    behind: Contents, options: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        behind.add_batch(**options)


def test_what_was_handed_in_can_be_changed_afterwards(behind: Contents) -> None:
    items: list[Any] = [{"rows": []}]
    batch_id = behind.add_batch(batch_items=items)
    items.append("more")
    assert behind._state.batches[batch_id].batch_items == [{"rows": []}]


def test_unknown_ids_are_key_errors_that_name_them(behind: Contents) -> None:
    calls: list[Any] = [
        lambda: behind.fail("nobody"),
        lambda: behind.set_status("nobody", None),
        lambda: behind.remove("nobody"),
        lambda: behind.batches["nobody"],
        lambda: behind.set_dataset_status("nobody", "READY"),
        lambda: behind.add_batch(dataset_id="nobody"),
        lambda: behind.add_batch(workspace_id="nobody"),
        lambda: behind.add_batch(workspace_id="nobody", datapoints=None),
        lambda: behind.add_dataset(workspace_id="nobody"),
    ]
    for call in calls:
        with pytest.raises(KeyError, match="nobody"):
            call()
