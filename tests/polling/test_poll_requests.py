"""Status source: which requests a list poll makes, what is remembered, and how failures end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import BatchStatus, RetryPolicy
from prolific_async._http.request import PollTiming
from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._polling.poll_requests import PollRequests
from prolific_async._polling.poll_results import GroupResult
from prolific_async.errors import RequestTimeoutError, TransportError
from tests.samples import batch, status_error

if TYPE_CHECKING:
    from prolific_async import Batch, ProlificError
    from prolific_async._http.request import Request

POLL = PollTiming(time_limit=3.0)
LOST = TransportError("GET", "/x", "lost")


class API:
    """The typed calls, answered from a dict of workspaces by batch."""

    prefix = "/gateway"

    def __init__(self, **workspaces: str) -> None:
        self.workspaces = workspaces
        self.hidden: set[str] = set()  # from the lists
        self.errors: dict[str, ProlificError] = {}  # by batch or workspace
        self.broken: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.get_status: Any = None

    async def send(self, request: Request, poll: PollTiming) -> Any:
        raise AssertionError((request, poll))  # no batch is polled so

    async def get(self, batch_id: str, poll: PollTiming) -> Batch:
        self.note(batch_id, poll)
        return batch("PROCESSING", batch_id, workspace_id=self.workspaces[batch_id])

    async def list_body(self, workspace_id: str, poll: PollTiming) -> bytes:
        self.note(workspace_id, poll)
        ids = [one for one, home in self.workspaces.items() if home == workspace_id]
        shown = [
            batch("PROCESSING", one, workspace_id=workspace_id).to_dict()
            for one in ids
            if one not in self.hidden
        ]
        return self.broken.get(workspace_id) or json.dumps({"results": shown}).encode()

    def note(self, name: str, poll: PollTiming) -> None:
        assert poll is POLL
        self.requests.append(name)
        if name in self.errors:
            raise self.errors[name]


class Source:
    """A status source with its API and its workspaces."""

    def __init__(self, retry: RetryPolicy = RetryPolicy(), **workspaces: str) -> None:  # noqa: B008
        self.api, self.known = API(**workspaces), KnownWorkspaces()
        api: Any = self.api
        self.source = PollRequests(api, self.known, retry, api)

    async def poll_list(self, workspace: str | None, *batch_ids: str) -> GroupResult:
        ids = list(batch_ids)
        return await self.source.poll_list(workspace, ids, set(self.api.workspaces), POLL)


# --- errors ----------------------------------------------------------------------------------


def test_a_poll_that_failed_keeps_its_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert Source().source.failed("b1", LOST).error is LOST
    assert caplog.messages == [f"a poll of batch b1 failed: {LOST}"]


@pytest.mark.parametrize("error", [None, GeneratorExit()])
def test_a_poll_that_was_broken_off_is_lost(error: BaseException | None) -> None:
    lost = Source().source.failed("b1", error).error
    assert isinstance(lost, TransportError)
    assert (lost.method, lost.path) == ("GET", f"{API.prefix}{PATH}/b1/status")
    assert "the poll was broken off" in str(lost)


PATH = "/api/v1/data-collection/batches"


@pytest.mark.parametrize(("whole", "end"), [(True, ""), (False, "/status")])
def test_a_poll_that_is_cut_off_has_the_path_of_its_request(whole: bool, end: str) -> None:  # noqa: FBT001
    error = Source().source.cut_off("b1", whole=whole)
    assert isinstance(error, RequestTimeoutError)
    assert (error.method, error.path) == ("GET", f"{API.prefix}{PATH}/b1{end}")
    assert "the wait's deadline came before the response" in str(error)


# --- lists -----------------------------------------------------------------------------------


async def test_a_list_shows_statuses_and_workspaces() -> None:
    it = Source(a="w1", b="w1", c="w2")
    result = await it.poll_list("w1", "a", "b")
    assert {key: one.status for key, one in result.found.items()} == {
        "a": BatchStatus.PROCESSING,
        "b": BatchStatus.PROCESSING,
    }
    assert result == GroupResult(found=result.found, size=len(await it.api.list_body("w1", POLL)))
    assert [it.known.of(key) for key in "abc"] == ["w1", "w1", None]


async def test_a_list_is_compared_with_the_one_before() -> None:
    it = Source(a="w1", b="w1")
    first = await it.poll_list("w1", "a")
    again = await it.poll_list("w1", "a")
    assert again.found is first.found
    it.source.forget(None)
    assert (await it.poll_list("w1", "a")).found is first.found
    it.source.forget("w1")
    it.source.forget("another")
    assert (await it.poll_list("w1", "a")).found is not first.found


async def test_the_lists_that_were_polled_last_are_kept() -> None:
    it = Source()
    it.api.workspaces = {f"b{number}": f"w{number}" for number in range(65)}
    polls = [await it.poll_list(f"w{number}", f"b{number}") for number in range(64)]
    assert (await it.poll_list("w0", "b0")).found is polls[0].found
    await it.poll_list("w64", "b64")
    assert len(it.source._lists) == 64
    assert (await it.poll_list("w0", "b0")).found is polls[0].found
    assert (await it.poll_list("w1", "b1")).found is not polls[1].found


def test_forgetting_a_workspace_gives_memory_back() -> None:
    it = Source()
    it.known.awaited |= {f"b{number}" for number in range(5000)}
    it.known.learn_all(sorted(it.known.awaited), "w1")
    it.known.awaited.clear()
    it.source.forget("w1")
    assert it.known.of("b0") is None


async def test_a_list_that_fails_is_no_result() -> None:
    it = Source(a="w1")
    it.api.errors["w1"] = LOST
    assert await it.poll_list("w1", "a") == GroupResult(failure=str(LOST))
    del it.api.errors["w1"]
    it.api.broken["w1"] = b'{"results": 5}'
    failure = (await it.poll_list("w1", "a")).failure
    assert failure is not None
    assert failure.startswith("the response is no list of batches (")
    assert failure != "the response is no list of batches (None)"


@pytest.mark.parametrize(
    ("asked", "retry", "seconds"),
    [
        (7.0, RetryPolicy(), 7.0),
        (None, RetryPolicy(), 1.0),
        (None, RetryPolicy(initial=0.25, maximum=0.25), 0.25),
    ],
)
async def test_a_refused_list_is_held_for_as_long_as_the_service_asks(
    asked: float | None, retry: RetryPolicy, seconds: float
) -> None:
    it = Source(retry, a="w1")
    it.api.errors["w1"] = status_error(429, asked)
    assert await it.poll_list("w1", "a") == GroupResult(
        failure="the list was answered with 429", refused_for=seconds
    )


# --- search ----------------------------------------------------------------------------------


async def test_the_search_ends_with_the_first_list_that_shows_others() -> None:
    it = Source(a="w1", b="w2", c="w2", d="w3")
    result = await it.poll_list(None, "a", "b", "c", "d")
    assert it.api.requests == ["a", "w1", "b", "w2"]
    assert set(result.found) == {"a", "b", "c"}
    assert result.found["b"].value is not None
    assert (result.again, result.gave_up, result.failure) == (True, None, None)
    sizes = [len(await it.api.list_body(home, POLL)) for home in ("w1", "w2")]
    assert result.size == sum(sizes)
    assert [it.known.of(key) for key in "abcd"] == ["w1", "w2", "w2", None]
    assert set(it.source._lists) == {"w2"}  # no list is kept for one batch


async def test_the_search_ends_after_three_batches() -> None:
    it = Source(a="w1", b="w2", c="w3", d="w4", e="w4")
    result = await it.poll_list(None, "a", "b", "c", "d", "e")
    assert it.api.requests == ["a", "w1", "b", "w2", "c", "w3"]
    assert set(result.found) == {"a", "b", "c"}
    assert (result.again, result.gave_up) == (
        False,
        "no list that was read shows two of the batches",
    )


async def test_what_a_list_shows_needs_no_search_and_is_learnt_again() -> None:
    it = Source(a="w1", b="w1")
    await it.poll_list(None, "a", "b")
    it.known._newer.clear()  # forgotten, while the list is the same as before
    await it.poll_list(None, "a", "b", "b")
    assert it.api.requests == ["a", "w1"] * 2
    assert it.known.of("b") == "w1"


async def test_a_batch_that_its_list_does_not_show_is_found_all_the_same() -> None:
    it = Source(a="w1", b="w1", c="w1")
    it.api.hidden.add("a")
    result = await it.poll_list(None, "a", "b", "c")
    assert it.api.requests == ["a", "w1"]
    assert set(result.found) == {"a", "b", "c"}
    assert result.again


async def test_a_batch_that_fails_is_passed_over() -> None:
    it = Source(a="w1", b="w2", c="w2")
    it.api.errors["a"] = error = status_error(404)
    result = await it.poll_list(None, "a", "b", "c")
    assert it.api.requests == ["a", "b", "w2"]
    assert result.found["a"].error is error
    assert result.again


async def test_without_a_connection_the_search_ends() -> None:
    it = Source(a="w1", b="w1")
    it.api.errors["a"] = LOST
    result = await it.poll_list(None, "a", "b")
    assert it.api.requests == ["a"]
    assert (result.gave_up, set(result.found), result.size) == (str(LOST), {"a"}, 0)


async def test_a_refused_batch_holds_the_search() -> None:
    it = Source(a="w1", b="w1")
    it.api.errors["a"] = error = status_error(429, 5.0)
    result = await it.poll_list(None, "a", "b")
    assert it.api.requests == ["a"]
    assert (result.failure, result.refused_for) == ("batch a was answered with 429", 5)
    assert result.found["a"].error is error


async def test_a_refused_list_holds_the_search() -> None:
    it = Source(a="w1", b="w1")
    it.api.errors["w1"] = status_error(429, 5.0)
    result = await it.poll_list(None, "a", "b")
    assert it.api.requests == ["a", "w1"]
    assert (result.failure, result.refused_for) == ("the list was answered with 429", 5)
    assert set(result.found) == {"a"}
    assert result.found["a"].value is not None


async def test_a_list_that_fails_ends_the_search() -> None:
    it = Source(a="w1", b="w1")
    it.api.errors["w1"] = LOST
    result = await it.poll_list(None, "a", "b")
    assert it.api.requests == ["a", "w1"]
    assert (result.failure, result.gave_up) == (None, str(LOST))
    assert set(result.found) == {"a"}
