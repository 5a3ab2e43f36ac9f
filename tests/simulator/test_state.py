"""The state machine of batches, with a clock that the test moves."""

from collections.abc import Callable
from datetime import UTC, datetime

import attrs
import pytest

from prolific_async.simulator.contents import Contents
from prolific_async.simulator.models import Batch, BatchSnapshot
from prolific_async.simulator.setup_durations import (
    AfterPolls,
    AfterSeconds,
    Ending,
    Immediately,
    check_ending,
)
from prolific_async.simulator.state import SetupRefusedError, State

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@attrs.define
class World:
    """A state, its contents, and the time."""

    setup: Ending | Callable[[BatchSnapshot], Ending] = AfterPolls(1)  # noqa: RUF009 - frozen
    now: float = 1000.0
    state: State = attrs.field(init=False)
    contents: Contents = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.state = State(now=lambda: self.now, utc_now=lambda: NOON, setup=self.setup)
        self.contents = Contents(self.state)

    def batch(self, **options: object) -> Batch:
        return self.state.batches[self.contents.add_batch(**options)]  # type: ignore[arg-type] # passed on

    def set_up(self, batch: Batch, **options: object) -> None:
        self.state.set_up(batch, **{"dataset_id": None, "tasks_per_group": 1, **options})  # type: ignore[arg-type] # passed on

    def polls(self, batch: Batch, count: int) -> list[str | None]:
        return [self.state.poll(batch).status for _ in range(count)]


def test_polls_move_a_batch_to_ready() -> None:
    world = World(AfterPolls(2))
    batch = world.batch()
    assert world.polls(batch, 3) == ["UNINITIALISED"] * 3
    world.set_up(batch)
    assert world.polls(batch, 4) == ["PROCESSING", "PROCESSING", "READY", "READY"]


def test_only_polls_of_a_batch_count_for_it() -> None:
    world = World(AfterPolls(1))
    one, other = world.batch(), world.batch()
    world.set_up(one)
    world.set_up(other)
    world.polls(other, 5)
    assert world.contents.batches[one.id].status == "PROCESSING"
    assert world.contents.batches[one.id].status == "PROCESSING"
    assert world.polls(one, 2) == ["PROCESSING", "READY"]


def test_time_moves_a_batch_to_ready_and_a_snapshot_sees_it_without_a_poll() -> None:
    world = World(AfterSeconds(5))
    batch = world.batch()
    world.set_up(batch)
    world.now += 4.9
    assert world.polls(batch, 2) == ["PROCESSING"] * 2
    world.now += 0.1
    assert world.contents.batches[batch.id].status == "READY"


def test_immediately_is_ready_at_once() -> None:
    world = World(Immediately())
    batch = world.batch()
    world.set_up(batch)
    assert world.contents.batches[batch.id].status == "READY"


@pytest.mark.parametrize(
    ("tasks_per_group", "groups"), [(1, 600), (7, 86), (600, 1), (601, 1), (10**30, 1)]
)
def test_ready_has_every_datapoint_with_every_instruction_in_groups(
    tasks_per_group: int, groups: int
) -> None:
    world = World(AfterPolls(0))
    batch = world.batch(datapoints=200, instructions=3)
    world.set_up(batch, tasks_per_group=tasks_per_group)
    before = world.contents.batches[batch.id]
    assert (before.status, before.total_task_count, before.total_task_groups) == (
        "PROCESSING",
        0,
        0,
    )
    world.state.poll(batch)
    after = world.contents.batches[batch.id]
    assert (after.total_task_count, after.total_task_groups) == (600, groups)
    assert after.tasks_per_group == tasks_per_group


def test_a_batch_without_datapoints_has_no_groups() -> None:
    world = World(Immediately())
    batch = world.batch(datapoints=0)
    world.set_up(batch)
    assert (batch.total_task_count, batch.total_task_groups) == (0, 0)


def test_a_failing_batch_ends_in_error_and_has_no_tasks() -> None:
    world = World(AfterPolls(1))
    batch = world.batch()
    world.contents.fail(batch.id)
    world.set_up(batch)
    assert world.polls(batch, 3) == ["PROCESSING", "ERROR", "ERROR"]
    assert batch.total_task_count == 0


def test_a_batch_can_be_made_to_fail_while_it_is_processing() -> None:
    world = World(AfterPolls(1))
    batch = world.batch()
    world.set_up(batch)
    world.polls(batch, 1)
    world.contents.fail(batch.id)
    assert world.polls(batch, 1) == ["ERROR"]


def test_failing_does_not_change_a_setup_that_has_ended() -> None:
    world = World(AfterSeconds(1))
    batch = world.batch()
    world.set_up(batch)
    world.now += 2
    world.contents.fail(batch.id)
    assert world.polls(batch, 1) == ["READY"]


def test_an_error_can_be_set_up_again_and_fails_again() -> None:
    world = World(AfterPolls(0))
    batch = world.batch(status="ERROR")
    world.set_up(batch)
    assert world.polls(batch, 1) == ["READY"]
    world.contents.set_status(batch.id, "ERROR")
    world.contents.fail(batch.id)
    world.set_up(batch)
    assert world.polls(batch, 1) == ["ERROR"]


@pytest.mark.parametrize("status", ["PROCESSING", "READY"])
def test_a_second_setup_is_refused(status: str) -> None:
    world = World(AfterSeconds(60))
    batch = world.batch(status=status)
    with pytest.raises(SetupRefusedError) as refused:
        world.set_up(batch, tasks_per_group=9)
    assert refused.value.field == "status"
    assert batch.tasks_per_group is None


def test_a_setup_after_the_end_of_another_is_refused_as_ready() -> None:
    world = World(AfterSeconds(1))
    batch = world.batch()
    world.set_up(batch)
    world.now += 1
    with pytest.raises(SetupRefusedError) as refused:
        world.set_up(batch)
    assert "READY" in refused.value.reason


@pytest.mark.parametrize("status", ["UNINITIALISED", "PROCESSING", "ERROR"])
def test_a_dataset_that_is_not_ready_is_refused_until_it_is(status: str) -> None:
    world = World()
    batch = world.batch(dataset_status=status)
    with pytest.raises(SetupRefusedError, match=status):
        world.set_up(batch)
    assert batch.status == "UNINITIALISED"
    assert batch.dataset
    world.contents.set_dataset_status(batch.dataset.id, "READY")
    world.set_up(batch)
    assert batch.status == "PROCESSING"


def test_a_dataset_must_be_in_the_workspace_of_the_batch() -> None:
    world = World(Immediately())
    batch = world.batch(datapoints=None)
    with pytest.raises(SetupRefusedError, match="no dataset"):
        world.set_up(batch)
    foreign = world.contents.add_dataset(workspace_id=world.contents.add_workspace())
    for unknown in (foreign, "nowhere"):
        with pytest.raises(SetupRefusedError, match="no such dataset"):
            world.set_up(batch, dataset_id=unknown)
    assert batch.dataset is None
    own = world.contents.add_dataset(datapoints=12)
    world.set_up(batch, dataset_id=own)
    seen = world.contents.batches[batch.id]
    assert (seen.dataset_id, seen.total_task_count) == (own, 12)


def test_a_given_dataset_replaces_the_batchs_own() -> None:
    world = World(Immediately())
    batch = world.batch(datapoints=5, dataset_status="ERROR")
    world.set_up(batch, dataset_id=world.contents.add_dataset(datapoints=8))
    assert world.contents.batches[batch.id].total_task_count == 8


def test_a_function_chooses_by_the_batch_as_it_will_be() -> None:
    shown = []

    def choose(batch: BatchSnapshot) -> Ending:
        shown.append(batch)
        return Immediately() if batch.name == "quick" else AfterPolls(1)

    world = World(choose)
    quick, slow = world.batch(name="quick"), world.batch(name="slow")
    world.set_up(quick, tasks_per_group=4)
    world.set_up(slow)
    assert (world.polls(quick, 1), world.polls(slow, 1)) == (["READY"], ["PROCESSING"])
    assert (shown[0].id, shown[0].status, shown[0].tasks_per_group) == (quick.id, "PROCESSING", 4)


def test_a_setup_function_that_returns_nonsense_changes_nothing() -> None:
    world = World(lambda _: None)  # type: ignore[arg-type,return-value] # what is tested
    batch = world.batch()
    with pytest.raises(TypeError, match="None is neither"):
        world.set_up(batch, tasks_per_group=4)
    assert (batch.status, batch.tasks_per_group) == ("UNINITIALISED", None)


def test_a_class_is_not_an_ending() -> None:
    with pytest.raises(TypeError, match="neither"):
        check_ending(AfterSeconds)


def test_a_copy_is_uninitialised_and_shares_the_dataset() -> None:
    world = World(Immediately())
    source = world.batch(name="Original", created_at=datetime(2020, 1, 1, tzinfo=UTC), colour="red")
    world.contents.fail(source.id)
    world.set_up(source, tasks_per_group=3)
    assert world.contents.batches[source.id].status == "ERROR"
    copy = world.state.duplicate(source, name=None, with_dataset=True)
    assert world.contents.batches[copy.id] == BatchSnapshot(
        id=copy.id,
        name="Original (Copy)",
        status="UNINITIALISED",
        workspace_id=source.workspace_id,
        created_at=NOON,
        dataset_id=source.dataset.id if source.dataset else "",
        tasks_per_group=None,
        total_instruction_count=1,
        total_task_count=0,
        total_task_groups=0,
        source_id=source.id,
    )
    assert copy.extra == {}
    world.set_up(copy)
    assert world.polls(copy, 1) == ["READY"]
    assert world.polls(source, 1) == ["ERROR"]


def test_a_copy_of_a_processing_batch_is_uninitialised() -> None:
    world = World(AfterPolls(0))
    source = world.batch(status="PROCESSING")
    copy = world.state.duplicate(source, name="", with_dataset=False)
    assert (copy.name, copy.dataset) == ("", None)
    assert world.polls(copy, 3) == ["UNINITIALISED"] * 3
    assert world.polls(source, 1) == ["READY"]


def test_a_status_that_a_test_sets_stays() -> None:
    world = World(AfterPolls(0))
    batch = world.batch()
    world.set_up(batch)
    for status in ("PROCESSING", None, "ON_HOLIDAY"):
        world.contents.set_status(batch.id, status)
        assert world.polls(batch, 3) == [status] * 3
    world.set_up(batch)
    assert world.polls(batch, 1) == ["READY"]


def test_a_batch_added_as_processing_becomes_ready() -> None:
    world = World(AfterPolls(1))
    assert world.polls(world.batch(status="PROCESSING"), 2) == ["PROCESSING", "READY"]
