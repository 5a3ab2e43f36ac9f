"""The models as values: equality, hash, immutability, and verbs without a client."""

import copy
import json
import pickle
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prolific_async
from prolific_async import (
    Batch,
    BatchStatus,
    ConfigurationError,
    DatasetRef,
    TaskDetails,
)

MEMBERS = ["UNINITIALISED", "PROCESSING", "READY", "ERROR"]


def a_batch(**changes: Any) -> Batch:
    fields: dict[str, Any] = {
        "id": "b-1",
        "created_at": datetime(2026, 5, 4, tzinfo=UTC),
        "created_by": "u-1",
        "datasets": (DatasetRef("d-1", 3),),
        "name": "Original",
        "status": BatchStatus.READY,
        "total_task_count": 3,
        "total_instruction_count": 1,
        "workspace_id": "w-1",
        "task_details": TaskDetails("Poll"),
        "extra": {"new": [1]},
    }
    return Batch(**fields | changes)


DIFFERENT: dict[str, Any] = {
    "id": "b-2",
    "created_at": datetime(2026, 5, 5, tzinfo=UTC),
    "created_by": "u-2",
    "datasets": (),
    "name": "Copy",
    "status": BatchStatus.ERROR,
    "total_task_count": 4,
    "total_instruction_count": 2,
    "workspace_id": "w-2",
    "task_details": None,
    "schema_version": 4,
    "total_task_groups": 1,
    "batch_items": (),
    "auto_sync_enabled": False,
    "tasks_per_group": 1,
    "extra": {"new": [2]},
}


class TestBatchStatus:
    def test_the_known_values(self) -> None:
        assert [member.value for member in BatchStatus] == MEMBERS
        assert list(BatchStatus.__members__) == MEMBERS

    @given(text=st.text())
    def test_an_unseen_value_equals_its_string(self, text: str) -> None:
        status = BatchStatus(text)
        assert isinstance(status, BatchStatus)
        assert status == text
        assert text == status
        assert hash(status) == hash(text)
        assert str(status) == status.value == f"{status}" == text
        assert {text: 1}[status] == 1
        assert status == BatchStatus(text)
        assert json.loads(json.dumps(status)) == text
        assert repr(status)

    @given(text=st.text().filter(lambda text: text not in MEMBERS))
    def test_an_unseen_value_is_no_member(self, text: str) -> None:
        assert BatchStatus(text) not in list(BatchStatus)
        assert len(BatchStatus) == 4
        assert list(BatchStatus.__members__) == MEMBERS
        assert all(BatchStatus(text) != member for member in BatchStatus)

    @pytest.mark.parametrize("text", ["ready", " READY", "READY ", "Ready", "SYNCING", ""])
    def test_it_is_kept_verbatim(self, text: str) -> None:
        assert BatchStatus(text).value == text
        assert BatchStatus(text) is not BatchStatus.READY

    @pytest.mark.parametrize("member", MEMBERS)
    def test_a_known_value_is_the_member(self, member: str) -> None:
        assert BatchStatus(member) is BatchStatus[member]
        assert BatchStatus[member] == member

    @pytest.mark.parametrize("text", [*MEMBERS, "SYNCING", ""])
    def test_pickle_and_copies(self, text: str) -> None:
        status = BatchStatus(text)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(status, protocol))
            assert type(again) is BatchStatus
            assert again == status
        for again in (copy.copy(status), copy.deepcopy(status)):
            assert type(again) is BatchStatus
            assert again == status
            assert (again is BatchStatus.READY) is (text == "READY")

    @pytest.mark.parametrize("value", [None, 0, 1, 1.5, True, b"READY", [], {}, object()])
    def test_a_value_that_is_not_text_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match="BatchStatus"):
            BatchStatus(value)

    def test_unseen_values_are_not_kept(self) -> None:
        known = len(BatchStatus._value2member_map_)
        for number in range(100):
            BatchStatus(f"UNSEEN_{number}")
        assert len(BatchStatus._value2member_map_) == known


class TestValue:
    def test_equal_by_value(self) -> None:
        assert a_batch() == a_batch()
        assert a_batch().__eq__("b-1") is NotImplemented

    @pytest.mark.parametrize("field", DIFFERENT)
    def test_every_field_counts(self, field: str) -> None:
        other = a_batch(**{field: DIFFERENT[field]})
        assert other != a_batch()
        assert Batch.from_dict(other.to_dict()) == other

    def test_every_field_is_tried_above(self) -> None:
        names = {field.name for field in attrs.fields(Batch) if not field.name.startswith("_")}
        assert names == set(DIFFERENT)

    @pytest.mark.parametrize("field", DIFFERENT)
    def test_hash_is_by_id_alone(self, field: str) -> None:
        other = a_batch(**{field: DIFFERENT[field]})
        assert (hash(other) == hash(a_batch())) is (field != "id")

    def test_a_set_holds_each_snapshot_once(self) -> None:
        assert len({a_batch(), a_batch(), a_batch(status=BatchStatus.ERROR)}) == 2

    def test_the_client_is_left_out(self) -> None:
        bound = a_batch().bind(Mock())
        assert bound == a_batch()
        assert hash(bound) == hash(a_batch())
        assert repr(bound) == repr(a_batch())
        assert bound.to_dict() == a_batch().to_dict()

    def test_a_null_that_was_sent_makes_no_difference_to_the_value(self) -> None:
        wire = a_batch().to_dict()
        assert Batch.from_dict({**wire, "batch_items": None}) == Batch.from_dict(wire)

    @pytest.mark.parametrize("model", [a_batch(), DatasetRef("d-1", 3), TaskDetails("Poll")])
    def test_models_are_frozen_and_slotted(self, model: Any) -> None:
        for field in attrs.fields(type(model)):
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                setattr(model, field.name, None)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            model.something_else = 1
        assert not hasattr(model, "__dict__")

    @pytest.mark.parametrize(
        "model",
        [
            a_batch(extra={"a": {"b": [None]}}),
            a_batch(status=BatchStatus("SYNCING"), task_details=None, batch_items=({"x": 1},)),
            DatasetRef("d-1", 3, extra={"later": 1}),
            TaskDetails("Poll", extra={"later": 1}),
        ],
    )
    def test_pickle_and_copies_are_equal(self, model: Any) -> None:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(model, protocol))
            assert again == model
            assert again.extra == model.extra
            with pytest.raises(TypeError):
                again.extra["more"] = 1
        assert copy.copy(model) == copy.deepcopy(model) == model

    def test_evolve_keeps_extra(self) -> None:
        later = attrs.evolve(a_batch(), status=BatchStatus.ERROR)
        assert later.extra == {"new": [1]}
        assert later.to_dict() == {**a_batch().to_dict(), "status": "ERROR"}
        assert attrs.evolve(TaskDetails("x", extra={"a": 1}), task_name="y").extra == {"a": 1}

    def test_extra_is_empty_and_read_only_without_unknown_keys(self) -> None:
        for model in (a_batch(extra={}), DatasetRef("d-1", 3), TaskDetails("Poll")):
            assert dict(model.extra) == {}
            with pytest.raises(TypeError):
                model.extra["more"] = 1  # type: ignore[index]  # that it is refused is the point

    def test_to_dict_leaves_out_what_was_absent(self) -> None:
        wire = a_batch(extra={}).to_dict()
        assert sorted(wire) == sorted(
            [
                "id",
                "created_at",
                "created_by",
                "datasets",
                "name",
                "status",
                "total_task_count",
                "total_instruction_count",
                "workspace_id",
                "task_details",
            ]
        )
        assert wire["created_at"] == "2026-05-04T00:00:00Z"
        assert wire["datasets"] == [{"id": "d-1", "total_datapoint_count": 3}]
        assert wire["task_details"] == {"task_name": "Poll"}

    def test_a_batch_has_no_public_base_class(self) -> None:
        public = {getattr(prolific_async, name) for name in prolific_async.__all__}
        for model in (Batch, DatasetRef, TaskDetails):
            assert public.isdisjoint(model.__mro__[1:])

    def test_the_repr_of_a_batch_is_one_short_line(self) -> None:
        ready = a_batch(status=BatchStatus.READY, total_task_count=40, extra={"new": ["long"] * 99})
        assert repr(ready) == "<Batch b-1 'Original' READY, 40 tasks>"
        assert "\n" not in repr(a_batch(name="two\nlines"))

    def test_the_repr_of_a_nested_model_shows_fields_and_extra(self) -> None:
        assert repr(DatasetRef("d-1", 3)) == (
            "DatasetRef(id='d-1', total_datapoint_count=3, filename=None)"
        )
        assert repr(DatasetRef("d-1", 3, extra={"new": [2]})).endswith(", extra={'new': [2]})")


async def all_events(batch: Batch) -> Any:
    return [event async for event in batch.watch(timeout=1)]


VERBS: dict[str, Callable[[Batch], Awaitable[Any]]] = {
    "duplicate": lambda batch: batch.duplicate(name="x", upload_new_dataset=True),
    "setup": lambda batch: batch.setup(dataset_id="d-1", tasks_per_group=2),
    "refresh": lambda batch: batch.refresh(),
    "get_status": lambda batch: batch.get_status(),
    "wait_until_ready": lambda batch: batch.wait_until_ready(timeout=1),
    "watch": all_events,
}


class TestVerbs:
    @pytest.mark.parametrize("verb", VERBS)
    async def test_verbs_of_a_batch_without_a_client_are_an_error(self, verb: str) -> None:
        batch = a_batch()
        unpickled = pickle.loads(pickle.dumps(a_batch().bind(Mock())))
        for unbound in (batch, unpickled, Batch.from_dict(batch.to_dict())):
            with pytest.raises(ConfigurationError, match="b-1"):
                await VERBS[verb](unbound)

    def test_a_bound_batch_can_be_copied_and_pickled_whatever_its_client_is(self) -> None:
        # A generator, like a client, can be neither pickled nor copied.
        client: Any = (part for part in [1])
        bound = a_batch().bind(client)
        assert pickle.loads(pickle.dumps(bound)) == copy.deepcopy(bound) == copy.copy(bound)

    async def test_each_verb_passes_its_arguments_to_the_resource(self) -> None:
        calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

        class Resource:
            def __getattr__(self, verb: str) -> Any:
                async def called(*args: Any, **kwargs: Any) -> str:
                    calls.append((verb, args, kwargs))
                    return "given back"

                return called

        batch = a_batch().bind(Resource())  # type: ignore[arg-type]  # stands for Batches
        for verb in ("duplicate", "setup", "refresh", "get_status", "wait_until_ready"):
            await VERBS[verb](batch)
        assert calls == [
            ("duplicate", (batch,), {"name": "x", "upload_new_dataset": True}),
            ("setup", (batch,), {"dataset_id": "d-1", "tasks_per_group": 2}),
            ("get", (batch,), {}),
            ("get_status", (batch,), {}),
            ("wait_until_ready", (batch,), {"timeout": 1, "poll": None, "on_event": None}),
        ]
        # Without a time-out of its own, a wait takes its policy's.
        await batch.wait_until_ready()
        assert calls[-1][2]["timeout"] is ...
