"""The memory of workspaces: bounded, quick, and complete for awaited batches."""

import time
import tracemalloc

from prolific_async._polling.known_workspaces import _GENERATION, KnownWorkspaces

MIB = 2**20


def ids(first: int, last: int) -> list[str]:
    return [f"00000000-0000-4000-8000-{number:012d}" for number in range(first, last)]


def test_the_oldest_workspaces_are_forgotten() -> None:
    known = KnownWorkspaces()
    known.learn_all(ids(0, 10 * _GENERATION), "w-1")
    assert {known.of(one) for one in ids(9 * _GENERATION, 10 * _GENERATION)} == {"w-1"}
    assert {known.of(one) for one in ids(0, 8 * _GENERATION)} == {None}


def test_a_generation_is_forgotten_when_the_next_one_is_complete() -> None:
    known = KnownWorkspaces()
    first, *rest = ids(0, 2 * _GENERATION)
    known.learn(first, "w-1")
    known.learn_all(rest[:-1], "w-1")
    assert known.of(first) == "w-1"
    known.learn(rest[-1], "w-1")
    assert known.of(first) is None


def test_a_generation_is_twice_what_was_kept_of_the_one_before() -> None:
    known = KnownWorkspaces()
    known.awaited |= set(ids(0, _GENERATION))
    known.learn_all(ids(0, 2 * _GENERATION), "w-1")  # keeps the first half
    first, *rest = ids(2 * _GENERATION, 4 * _GENERATION)
    known.learn(first, "w-1")
    known.learn_all(rest[: _GENERATION - 2], "w-1")
    assert len(known._newer) == 2 * _GENERATION - 1
    known.learn(rest[_GENERATION - 2], "w-1")
    assert known._newer == {}
    assert known.of(first) == "w-1"


def test_two_generations_are_not_shrunk() -> None:
    known = KnownWorkspaces()
    known.awaited |= set(ids(0, _GENERATION))
    known.learn_all(ids(0, 2 * _GENERATION), "w-1")
    known.awaited.clear()
    known.shrink()
    assert {known.of(one) for one in ids(0, 2 * _GENERATION)} == {"w-1"}
    known.learn("one more", "w-1")
    known.shrink()
    assert {known.of(one) for one in ids(_GENERATION, 2 * _GENERATION)} == {None}


def test_a_batch_that_is_learnt_again_is_kept() -> None:
    known = KnownWorkspaces()
    known.learn_all(ids(0, _GENERATION), "w-1")
    known.learn("00000000-0000-4000-8000-000000000000", "w-1")
    known.learn_all(ids(_GENERATION, 2 * _GENERATION), "w-1")
    assert known.of("00000000-0000-4000-8000-000000000000") == "w-1"


def test_all_batches_of_a_workspace_share_the_text_of_its_id() -> None:
    known = KnownWorkspaces()
    for batch_id in ids(0, 3):
        known.learn(batch_id, str(b"w-1", "ascii"))  # another str each time, as in responses
    assert len({id(known.of(batch_id)) for batch_id in ids(0, 3)}) == 1


def test_workspaces_of_awaited_batches_are_never_forgotten() -> None:
    known = KnownWorkspaces()
    known.awaited |= set(ids(0, 5 * _GENERATION))
    known.learn_all(ids(0, 50 * _GENERATION), "w-1")
    known.shrink()
    assert {known.of(one) for one in known.awaited} == {"w-1"}
    known.awaited.clear()
    known.shrink()
    assert known.of("00000000-0000-4000-8000-000000000000") is None
    assert len(known._newer) + len(known._older) <= 2 * _GENERATION


def test_the_cost_of_learning_does_not_grow() -> None:
    def learn(first: int) -> float:
        batches = ids(first, first + 10_000)
        began = time.process_time()
        known.learn_all(batches, "w-1")
        return time.process_time() - began

    known = KnownWorkspaces()
    first = min(learn(number * 10_000) for number in range(5))
    known.learn_all(ids(50_000, 250_000), "w-1")
    # A walk over dropped entries took 140 times as long.
    assert min(learn(250_000 + number * 10_000) for number in range(5)) < 10 * first


def test_many_batches_take_little_memory() -> None:
    known = KnownWorkspaces()
    tracemalloc.start()
    try:
        known.learn_all(ids(0, 200_000), "w-1")
        assert tracemalloc.get_traced_memory()[0] < 5 * MIB
    finally:
        tracemalloc.stop()
