"""``NamedCopy``: when a duplicate may be sent, and when it may be sent again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from attrs import define, field

from prolific_async import ConnectError, Copies, OutcomeUnknownError
from prolific_async._recovery.named_copy import NamedCopy
from prolific_async._recovery.unknown_outcome import unknown_copy, unsearched_copy
from tests.recovery.failures import DUPLICATE, LOST, UNRUN, UNSENT, each
from tests.samples import batch
from tests.virtual_time import run

if TYPE_CHECKING:
    from prolific_async import Batch, ProlificError

COPY = batch(batch_id="copy", name="Round 2")
OTHER = batch(batch_id="other", name="Round 2")
UNKNOWN = OutcomeUnknownError("POST", DUPLICATE.path, failure=LOST)
SETTLE = 30.0


@define
class Workspace:
    """A workspace with scripted results of searches and duplicates.

    Attributes:
        copies: What searches find.
        failure: What duplicates raise; None if they return the copy.
        search_fails: What searches raise, if they fail.
        search_takes: Seconds of a search.
        send_takes: Seconds of a duplicate.
        searched: When each search began.

    """

    copies: Copies = field(factory=Copies)
    failure: ProlificError | None = None
    search_fails: ProlificError | None = None
    search_takes: float = 0.0
    send_takes: float = 0.0
    searched: list[float] = field(factory=list)

    async def find_copies(self, batch: str, /, *, name: str) -> Copies:
        assert (batch, name) == ("source", "Round 2")
        self.searched.append(now())
        await asyncio.sleep(self.search_takes)
        if self.search_fails is not None:
            raise self.search_fails
        return self.copies

    async def duplicate(self, batch: str, /, *, name: str) -> Batch:
        assert (batch, name) == ("source", "Round 2")
        await asyncio.sleep(self.send_takes)
        if self.failure is not None:
            raise self.failure
        return COPY

    def copy(self) -> NamedCopy:
        return NamedCopy(self, "source", "Round 2", path=DUPLICATE.path, settle_seconds=SETTLE)


def now() -> float:
    return asyncio.get_running_loop().time()


async def seconds_until_it_may_be_sent(copy: NamedCopy) -> float:
    began = now()
    while await copy.find() is None and not copy.may_send:
        await asyncio.sleep(1)
    return now() - began


def is_lost(copy: NamedCopy) -> None:
    assert isinstance(copy.lost, OutcomeUnknownError)
    assert (copy.lost.method, copy.lost.path) == ("POST", DUPLICATE.path)


def test_a_duplicate_is_sent_once_a_search_has_found_no_copy() -> None:
    async def main() -> None:
        workspace = Workspace()
        copy = workspace.copy()
        assert (copy.may_send, copy.lost) == (False, None)
        assert await copy.find() is None
        assert copy.may_send
        assert await copy.send()
        assert not copy.may_send
        workspace.copies = Copies((COPY,))
        assert await copy.find() == "copy"
        assert (copy.copy, copy.made, copy.may_send, copy.lost) == (COPY, COPY, False, None)

    run(main())


async def made_by(workspace: Workspace) -> NamedCopy:
    copy = workspace.copy()
    await copy.find()
    assert await copy.send()
    assert copy.made == COPY
    return copy


@pytest.mark.parametrize(
    "shown", [Copies((OTHER,)), Copies((OTHER, COPY)), Copies((), ("other",))], ids=str
)
def test_a_copy_that_was_made_is_not_returned_beside_another_of_its_name(shown: Copies) -> None:
    async def main() -> None:
        workspace = Workspace()
        copy = await made_by(workspace)
        workspace.copies = shown
        with pytest.raises(OutcomeUnknownError, match="several batches bear the name") as caught:
            await copy.find()
        assert "; use one of them by its id, or give the copy another name" in str(caught.value)
        assert caught.value.candidates[0] == COPY
        ids = {one.id for one in caught.value.candidates} | {*caught.value.unreadable}
        assert ids == {"copy", "other"}

    run(main())


def test_the_made_copy_is_returned_even_if_the_list_shows_it_as_unreadable() -> None:
    async def main() -> None:
        workspace = Workspace()
        copy = await made_by(workspace)
        workspace.copies = Copies((), ("copy",))
        assert await copy.find() == "copy"
        assert copy.copy == COPY

    run(main())


def test_a_list_that_does_not_show_the_copy_that_was_made_lags() -> None:
    async def main() -> None:
        copy = await made_by(Workspace(send_takes=7))
        assert isinstance(copy.lost, OutcomeUnknownError)
        assert copy.lost.candidates == (COPY,)
        assert f"POST {DUPLICATE.path} made a copy" in str(copy.lost)
        began = now()
        while await copy.find() is None:
            assert not copy.may_send
            await asyncio.sleep(1)
        assert now() - began == SETTLE
        assert copy.copy == COPY

    run(main())


def test_a_search_that_fails_for_good_tells_what_was_sent() -> None:
    async def main() -> None:
        made = (await made_by(Workspace())).search_failed_error(UNSENT)
        assert (made.candidates, made.failure) == ((COPY,), UNSENT)
        assert "made a copy" in str(made)
        copy = Workspace(failure=UNKNOWN).copy()
        await copy.find()
        assert not await copy.send()
        lost = copy.search_failed_error(UNSENT)
        assert (lost.candidates, lost.failure) == ((), LOST)
        assert "may or may not have run" in str(lost)
        assert "give the same name, which is searched for first" in str(lost)

    run(main())


@pytest.mark.parametrize("copies", [Copies((COPY,)), Copies(unreadable=("copy",))], ids=str)
def test_a_batch_of_the_name_is_the_copy(copies: Copies) -> None:
    async def main() -> None:
        copy = Workspace(copies).copy()
        copy.assume_sent()
        assert await copy.find() == "copy"
        assert (copy.may_send, copy.lost) == (False, None)

    run(main())


@pytest.mark.parametrize(
    "copies", [Copies((COPY, OTHER)), Copies((COPY,), ("other",)), Copies((), ("copy", "other"))]
)
def test_several_batches_of_the_name_are_no_copy(copies: Copies) -> None:
    async def main() -> None:
        copy = Workspace(copies).copy()
        with pytest.raises(OutcomeUnknownError) as caught:
            await copy.find()
        assert (caught.value.candidates, caught.value.unreadable) == (
            copies.batches,
            copies.unreadable,
        )
        assert (caught.value.method, caught.value.path) == ("POST", DUPLICATE.path)
        assert not copy.may_send

    run(main())


def test_a_lost_duplicate_settles_from_when_its_response_was_lost() -> None:
    async def main() -> None:
        copy = Workspace(failure=UNKNOWN, send_takes=7).copy()
        await copy.find()
        assert not await copy.send()
        assert copy.lost is UNKNOWN
        assert await seconds_until_it_may_be_sent(copy) == SETTLE

    run(main())


def test_another_duplicate_needs_a_search_after_all_have_settled() -> None:
    async def main() -> None:
        workspace = Workspace(search_takes=4)
        copy = workspace.copy()
        copy.assume_sent()
        began = now()
        await seconds_until_it_may_be_sent(copy)
        assert workspace.searched[-2] < began + SETTLE <= workspace.searched[-1]

    run(main())


def test_a_duplicate_of_somebody_else_settles_too() -> None:
    async def main() -> None:
        copy = Workspace().copy()
        await copy.find()
        copy.assume_sent()
        assert copy.may_send is False
        is_lost(copy)
        assert await seconds_until_it_may_be_sent(copy) == SETTLE

    run(main())


@each(UNRUN)
def test_a_duplicate_that_did_not_run_needs_no_time(failure: ProlificError) -> None:
    async def main() -> None:
        copy = Workspace(failure=failure).copy()
        await copy.find()
        with pytest.raises(type(failure)):
            await copy.send()
        assert copy.lost is None
        assert await seconds_until_it_may_be_sent(copy) == 0

    run(main())


def test_a_cancelled_duplicate_may_have_run() -> None:
    async def main() -> None:
        copy = Workspace(send_takes=60).copy()
        await copy.find()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await copy.send()
        is_lost(copy)
        assert await seconds_until_it_may_be_sent(copy) == SETTLE

    run(main())


def test_a_failed_search_allows_no_duplicate() -> None:
    async def main() -> None:
        workspace = Workspace()
        copy = workspace.copy()
        await copy.find()
        workspace.search_fails = UNSENT
        with pytest.raises(ConnectError):
            await copy.find()
        assert not copy.may_send

    run(main())


def test_the_error_of_a_lost_duplicate_keeps_what_is_known_and_why_the_search_failed() -> None:
    lost = OutcomeUnknownError("POST", DUPLICATE.path, (COPY,), ("unread",), failure=LOST)
    lost.attempts = 3
    error = unsearched_copy(lost, "Round 2", UNSENT)
    assert (error.method, error.path) == ("POST", DUPLICATE.path)
    assert (error.candidates, error.unreadable) == ((COPY,), ("unread",))
    assert error.failure is LOST
    assert error.attempts == 3
    assert f"POST {DUPLICATE.path} may or may not have run" in str(error)
    assert f"the search for its copy 'Round 2' failed: {UNSENT}; to try again" in str(error)
    unfailed = unsearched_copy(OutcomeUnknownError("POST", DUPLICATE.path), "Round 2", UNSENT)
    assert unfailed.failure is UNSENT


@pytest.mark.parametrize("unreadable", [(), ("unread",)])
def test_the_error_of_a_name_says_whether_several_batches_bear_it(
    unreadable: tuple[str, ...],
) -> None:
    error = unknown_copy(DUPLICATE.path, "Round 2", Copies((COPY,), unreadable), UNSENT)
    assert (error.method, error.path) == ("POST", DUPLICATE.path)
    assert (error.candidates, error.unreadable) == ((COPY,), unreadable)
    assert error.failure is UNSENT
    assert "the name 'Round 2'" in str(error)
    assert ("several batches bear" in str(error)) is bool(unreadable)
    assert ("made a copy, but it is not known" in str(error)) is not bool(unreadable)


def test_what_cannot_be_searched_for_names_its_duplicate() -> None:
    async def main() -> None:
        copy = Workspace().copy()
        unsent = copy.search_failed_error(UNSENT)
        assert (unsent.method, unsent.path, unsent.failure) == ("POST", DUPLICATE.path, UNSENT)
        copy.assume_sent()
        assert not copy.may_send
        made = await made_by(Workspace())
        error = made.search_failed_error(UNSENT)
        assert (error.path, error.candidates, error.failure) == (DUPLICATE.path, (COPY,), UNSENT)
        assert "'Round 2'" in str(error)

    run(main())
