"""Exports of the answers to batches, over real connections to scripted answers."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from prolific_async import (
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    DecodeError,
    Export,
    JobFailedError,
    JobStatus,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ProlificClient,
    ProlificError,
    RateLimitedError,
    RetryPolicy,
    WaitFailedError,
)
from tests import samples
from tests.http.raw import plain, serving
from tests.http.test_download import locals_of
from tests.scripted import Scripted, scripted
from tests.test_downloading import names

if TYPE_CHECKING:
    from pathlib import Path

    from prolific_async import StatusEvent

SECRET = "5ca1ab1e" * 4
BEGUN = {"status": "generating", "export_id": "e1"}
GENERATING = (200, BEGUN)
FAILED = (200, {"status": "failed"})
ACCEPTED = (202, BEGUN)
# The server says that it is 2026-03-04 05:06:07 (see scripted).
NOW = "2026-03-04T05:06:07Z"
BEFORE = "2026-03-04T05:06:03Z"
SINCE = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
UNTIL = datetime(2026, 3, 2, 8, 30, 0, 250_000, tzinfo=UTC)
ZIP = b"PK" * 100


def complete(url: str, number: int = 1, **more: Any) -> tuple[int, Any]:
    link = f"{url}/storage/{number}?X-Amz-Signature={SECRET}"
    return 200, {"status": "complete", "url": link, "expires_at": "2026-03-04T05:16:07Z"} | more


def listed(
    export_id: str, created_at: str = NOW, status: str = "complete", **wanted: str
) -> dict[str, Any]:
    shown = {"study_id": None, "from": None, "to": None} | wanted if wanted else None
    return {"export_id": export_id, "filter": shown, "status": status, "created_at": created_at}


def queries(service: Scripted) -> list[dict[str, str]]:
    return [dict(parse_qsl(urlsplit(one.target).query)) for one in service.received]


# --- What is asked for ----------------------------------------------------------------------------


async def test_an_export_of_everything() -> None:
    async with scripted(ACCEPTED) as (client, service):
        export = await client.batches.export("b1")
        assert export._resource is client.batches
    assert export == Export("e1", "b1", JobStatus.GENERATING)
    assert export.id == "e1"
    assert (export.study_id, export.since, export.until) == (None, None, None)
    assert service.calls == [("POST", "/batches/b1/export")]
    assert service.received[0].body == b""


async def test_an_export_of_some_answers() -> None:
    async with scripted(ACCEPTED) as (client, service):
        bound = samples.batch().bind(client.batches)
        export = await bound.export(study_id="s 1".replace(" ", "&"), since=SINCE, until=UNTIL)
    wanted = {
        "study_id": "s&1",
        "from": "2026-03-01T10:00:00Z",
        "to": "2026-03-02T08:30:00.250000Z",
    }
    assert queries(service) == [wanted]
    assert export.filter == wanted
    assert (export.study_id, export.since, export.until) == ("s&1", SINCE, UNTIL)
    assert repr(export) == (
        "<Export e1 generating, study s&1, since 2026-03-01 10:00:00+00:00, "
        "until 2026-03-02 08:30:00.250000+00:00>"
    )


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_finished_export_is_one_too(status: int) -> None:
    answer = {"status": "complete", "export_id": "e1", "url": f"https://s3.example/{SECRET}"}
    async with scripted((status, answer | {"expires_at": NOW})) as (client, _):
        export = await client.batches.export("b1")
    assert export == Export("e1", "b1", JobStatus.COMPLETE)
    for shown in (str(export.to_dict()), repr(export), str(export.extra)):
        assert SECRET not in shown
        assert "expires_at" not in shown
    assert SECRET.encode() not in pickle.dumps(export)


@pytest.mark.parametrize(
    "options",
    [
        {"since": datetime(2026, 3, 1)},  # noqa: DTZ001 - it is the point
        {"until": datetime(2026, 3, 1)},  # noqa: DTZ001 - it is the point
        {"since": SINCE.date()},
        {"since": "2026-03-01"},
        {"until": 5},
        {"since": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))},  # before the year 1
        {"until": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))},
        {"since": UNTIL, "until": SINCE},
        {"study_id": ""},
        {"study_id": 5},
        {"study_id": "a b"},
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused_before_anything_is_sent(
    options: dict[str, Any],
) -> None:
    async with scripted() as (client, _):
        with pytest.raises(ValueError, match=r"offset|before since|an id"):
            await client.batches.export("b1", **options)
        with pytest.raises(ValueError, match="cannot be an id"):
            await client.batches.export("..")


async def test_a_moment_may_be_both_ends() -> None:
    async with scripted(ACCEPTED) as (client, service):
        await client.batches.export("b1", since=UNTIL, until=UNTIL)
    assert len({*queries(service)[0].values()}) == 1


# --- The list -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", [True, False])
async def test_the_exports_of_a_batch(*, wrapped: bool) -> None:
    elements = [
        listed("e2", status="generating", study_id="s1", to="2026-03-01T00:00:00.000+00:00"),
        listed("e1", url=f"https://s3.example/{SECRET}") | {"url": SECRET, "size": 3},
    ]
    async with scripted((200, {"results": elements} if wrapped else elements)) as (client, _):
        exports = await client.batches.exports("b1")
        assert all(one._resource is client.batches for one in exports)
    assert [(one.id, one.batch_id, one.status) for one in exports] == [
        ("e2", "b1", "generating"),
        ("e1", "b1", "complete"),
    ]
    assert exports[0].until == datetime(2026, 3, 1, tzinfo=UTC)
    assert exports[0].created_at == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert exports[1].extra == {"size": 3}
    assert Export.from_dict(exports[0].to_dict()) == exports[0]
    assert hash(exports[0])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"results": [BEGUN, {"export_id": "e1"}]}, "$.results[1].status"),
        ([5], "$[0]"),
        ([{"status": "complete"}], "$[0].export_id"),
        ({"results": None}, "$.results"),
        ("x", "$"),
        (None, "$"),
    ],
)
async def test_a_list_of_another_form_is_an_error(data: Any, problem: str) -> None:
    async with scripted((200, data)) as (client, _):
        with pytest.raises(DecodeError) as caught:
            await client.batches.exports("b1")
    assert caught.value.problems[0].startswith(f"{problem}: ")
    assert caught.value.path == "/api/v1/data-collection/batches/b1/export"


@pytest.mark.parametrize("filter", [{"from": "soon", "study_id": 5}, {}, {"to": None}])
def test_a_filter_of_another_form_is_kept(filter: dict[str, Any]) -> None:  # noqa: A002
    export = Export("e1", "b1", JobStatus.COMPLETE, filter)
    assert (export.study_id, export.since, export.until) == (None, None, None)
    assert export.filter == filter


# --- A lost response ------------------------------------------------------------------------------

WANTED = {"study_id": "s1", "from": "2026-03-01T10:00:00Z"}


async def lost(service_list: Any, failure: Any = None, **options: Any) -> Export:
    async with scripted(failure, (200, service_list)) as (client, service):
        export = await client.batches.export("b1", study_id="s1", since=SINCE, **options)
        assert export._resource is client.batches
    assert [method for method, _ in service.calls] == ["POST", "GET"]
    return export


@pytest.mark.parametrize("failure", [None, (503, b""), (408, b""), (200, b"no JSON"), (202, {})])
async def test_a_lost_export_is_found_in_the_list(failure: Any) -> None:
    others = [
        listed("later", study_id="s2", **{"from": WANTED["from"]}),
        listed("all"),
        listed("more", **WANTED, to=NOW),
        listed("less", study_id="s1"),
        listed("other time", study_id="s1", **{"from": "2026-03-01T10:00:02Z"}),
        listed("new kind of filter", **WANTED, country="GB"),
        listed("before", BEFORE, **WANTED),
    ]
    export = await lost([*others, listed("e1", **WANTED), *others], failure)
    assert (export.id, export.status) == ("e1", "complete")


async def test_a_list_of_exports_is_read_again() -> None:
    async with scripted((503, {}), None, (200, [listed("e1")])) as (client, service):
        assert [one.id for one in await client.batches.exports("b1")] == ["e1"]
    assert service.calls == [("GET", "/batches/b1/export")] * 3


async def test_an_export_that_is_generating_is_everybody_s() -> None:
    found = await lost([listed("old", BEFORE, "generating", **WANTED)])
    assert (found.id, found.status) == ("old", "generating")


async def test_of_several_the_newest_is_taken() -> None:
    newest = listed("e3", "2026-03-04T05:06:09Z", **WANTED)
    unknown = listed("e0", status="generating", **WANTED) | {"created_at": None}
    assert (await lost([listed("e2", **WANTED), newest, unknown])).id == "e3"


async def test_a_time_that_the_service_has_cut_is_the_same() -> None:
    wanted = {"study_id": "s1", "from": WANTED["from"], "to": "2026-03-02T08:30:00Z"}
    other = wanted | {"to": "2026-03-02T08:30:02Z"}
    found = await lost([listed("other", **other), listed("e1", **wanted)], until=UNTIL)
    assert found.id == "e1"


async def test_a_lost_export_is_searched_for_again() -> None:
    late = [(200, []), (500, b""), (403, b""), (200, [listed("e1")])]
    async with scripted(None, *late) as (client, _):
        assert (await client.batches.export("b1")).id == "e1"


async def test_a_lost_export_that_does_not_show_is_of_unknown_outcome() -> None:
    empty = (200, [listed("before", BEFORE)])
    async with scripted(None, empty, empty, empty, empty) as (client, _):
        with pytest.raises(OutcomeUnknownError, match=r"look at batches\.exports\(\) before"):
            await client.batches.export("b1")


WITHOUT_ID = {"status": "complete", "url": f"https://s3.example/{SECRET}", "expires_at": NOW}


async def test_a_complete_export_without_its_id_is_the_newest_of_the_same_answers() -> None:
    others = [
        listed("all", NOW),
        listed("oldest", "2026-01-01T05:06:07Z", **WANTED),
        listed("generating", NOW, "generating", **WANTED),
    ]
    found = await lost([*others, listed("e1", BEFORE, **WANTED)], (200, WITHOUT_ID))
    assert (found.id, found.status) == ("e1", "complete")


async def test_a_complete_export_whose_id_is_nowhere_is_an_error_without_its_link() -> None:
    generating = (200, [listed("e1", NOW, "generating")])
    async with scripted((200, WITHOUT_ID), *[generating] * 4) as (client, _):
        with pytest.raises(DecodeError) as caught:
            await client.batches.export("b1")
    error = caught.value
    assert error.problems == ("$.export_id: it is missing",)
    assert (error.method, error.path) == ("POST", "/api/v1/data-collection/batches/b1/export")
    assert SECRET not in str(error) + str(vars(error))


async def test_an_export_that_surely_did_not_run_is_sent_again() -> None:
    async with scripted((429, b""), ACCEPTED) as (client, service):
        await client.batches.export("b1")
    assert [method for method, _ in service.calls] == ["POST", "POST"]


# --- The cap of ten -------------------------------------------------------------------------------

TEN = [listed(f"e{number}") for number in range(10)]


@pytest.mark.parametrize("status", [400, 403, 409, 422])
async def test_a_refusal_at_the_cap_says_what_to_do(status: int) -> None:
    async with scripted((status, {"detail": "no"}), (200, TEN)) as (client, _):
        with pytest.raises(APIStatusError, match=r"delete one of batches\.exports\(\)") as caught:
            await client.batches.export("b1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert caught.value.status == status


async def test_a_rate_limit_at_the_cap_says_so_too() -> None:
    once = RetryPolicy(max_attempts=1)
    async with scripted((429, b""), (200, TEN), retry=once) as (client, _):
        with pytest.raises(RateLimitedError, match="at most ten exports"):
            await client.batches.export("b1")


@pytest.mark.parametrize("listing", [(200, TEN[:9]), (403, b"")])
async def test_another_refusal_says_nothing_of_it(listing: Any) -> None:
    async with scripted((400, {"detail": "no"}), listing) as (client, _):
        with pytest.raises(BadRequestError) as caught:
            await client.batches.export("b1")
    assert "exports()" not in str(caught.value)
    assert "correct the request" in str(caught.value)


async def test_a_missing_batch_has_no_list() -> None:
    async with scripted((404, b"")) as (client, service):
        with pytest.raises(NotFoundError):
            await client.batches.export("b1")
    assert len(service.calls) == 1


# --- Waiting --------------------------------------------------------------------------------------


async def test_an_export_is_awaited() -> None:
    events: list[StatusEvent] = []
    async with scripted(ACCEPTED, (404, b""), GENERATING, GENERATING) as (client, service):
        service.answers.append(complete(service.url, size=3))
        export = await client.batches.export("b1", study_id="s1")
        ended = await export.wait(on_event=events.append)
        assert ended._resource is client.batches
    assert ended == Export("e1", "b1", JobStatus.COMPLETE, {"study_id": "s1"})
    assert ended.created_at is None
    assert [(one.kind, one.id, one.batch_id, one.status) for one in events] == [
        ("export", "e1", None, None),
        ("export", "e1", None, "generating"),
        ("export", "e1", None, "generating"),
        ("export", "e1", None, "complete"),
    ]


async def test_a_failed_export_is_an_error() -> None:
    async with scripted(ACCEPTED, FAILED) as (client, _):
        export = await client.batches.export("b1")
        with pytest.raises(JobFailedError, match=r"export e1 .* export again") as caught:
            await export.wait()
    assert caught.value.kind == "export"
    assert caught.value.job == Export("e1", "b1", JobStatus.FAILED)


async def test_a_failed_export_shows_no_link() -> None:
    failed = {"status": "failed", "url": f"https://a.example/{SECRET}", "expires_at": NOW}
    async with scripted((200, failed)) as (client, _):
        export = Export("e1", "b1", JobStatus.GENERATING).bind(client.batches)
        with pytest.raises(JobFailedError) as caught:
            await export.wait()
    assert SECRET not in repr(caught.value.job.to_dict())


async def test_an_export_of_no_client_cannot_be_awaited() -> None:
    export = Export("e1", "b1", JobStatus.GENERATING)
    for call in (export.wait(), export.download("x"), export.delete()):
        with pytest.raises(ConfigurationError, match=r"Export e1 .*client\.batches"):
            await call


# --- Download -------------------------------------------------------------------------------------


async def test_an_archive_is_downloaded(tmp_path: Path) -> None:
    async with scripted() as (client, service):
        service.answers += [complete(service.url), (200, ZIP)]
        export = Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches)
        path = await export.download(tmp_path / "x.zip")
    assert path.read_bytes() == ZIP
    assert service.calls == [
        ("GET", "/batches/b1/export/e1"),
        ("GET", f"/storage/1?X-Amz-Signature={SECRET}"),
    ]
    assert "authorization" not in service.received[-1].headers


async def test_a_download_waits_while_it_is_generating(tmp_path: Path) -> None:
    async with scripted(ACCEPTED, GENERATING, GENERATING) as (client, service):
        done = complete(service.url)
        service.answers += [done, complete(service.url, 2), (200, ZIP)]
        export = await client.batches.export("b1")
        path = await export.download(str(tmp_path / "x.zip"))
    assert path.read_bytes() == ZIP
    assert service.calls[-1] == ("GET", f"/storage/2?X-Amz-Signature={SECRET}")


async def test_a_refused_link_is_asked_for_anew(tmp_path: Path) -> None:
    expired = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    async with scripted() as (client, service):
        service.answers += [complete(service.url), (403, expired)]
        service.answers += [complete(service.url, 2), (200, ZIP)]
        export = Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches)
        path = await export.download(tmp_path / "x.zip")
    assert path.read_bytes() == ZIP
    assert service.calls[-1] == ("GET", f"/storage/2?X-Amz-Signature={SECRET}")


@pytest.mark.parametrize(
    ("answers", "kind", "said"),
    [
        ([FAILED, FAILED], JobFailedError, "export e1 found that it failed"),
        ([(404, b"")], NotFoundError, "404"),
        ([GENERATING, (404, b"")], WaitFailedError, "404"),
        ([(200, {"status": "complete"})] * 3, DecodeError, r"\$\.url: it is missing"),
        ([(200, {"status": "complete", "url": 5})], DecodeError, r"\$\.url: a string is needed"),
        ([(200, {"status": "complete", "url": "x"})], DecodeError, r"\$\.url: a URL is needed"),
        (
            [(200, {"status": "complete", "url": "https://a", "http_method": "POST"})],
            DecodeError,
            r"\$\.http_method: ",
        ),
        ([(200, b"no JSON")], DecodeError, "JSON"),
    ],
)
async def test_a_download_that_is_not_possible_leaves_nothing(
    tmp_path: Path, answers: list[Any], kind: type[ProlificError], said: str
) -> None:
    async with scripted(*answers) as (client, _):
        export = Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches)
        with pytest.raises(kind, match=said):
            await export.download(tmp_path / "x.zip")
    assert names(tmp_path) == []


async def test_a_refused_download_names_the_call_and_not_the_link(tmp_path: Path) -> None:
    async with scripted() as (client, service):
        service.answers += [complete(service.url), (403, b"<Error><Code>No</Code></Error>")]
        export = Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches)
        with pytest.raises(PermissionDeniedError, match=r"GET .*/export/e1") as caught:
            await export.download(tmp_path / "x.zip")
    assert SECRET not in str(caught.value) + repr(vars(caught.value)) + locals_of(caught.value)


async def test_half_a_response_does_not_show_its_link(tmp_path: Path) -> None:
    half = (200, f'[{{"status": "complete", "url": "https://a.example/{SECRET}'.encode())
    async with scripted(half, half, half, half, *[(200, [])] * 4) as (client, _):
        export = Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches)
        for call in (
            client.batches.exports("b1"),
            export.download(tmp_path / "x"),
            client.batches.report("b1").download(tmp_path / "x"),
            client.batches.export("b1"),
        ):
            with pytest.raises((DecodeError, OutcomeUnknownError)) as caught:
                await call
            shown = caught.value.failure or caught.value
            assert "cannot be read" in str(shown)
            assert SECRET not in repr(vars(shown)) + locals_of(caught.value)


async def test_half_a_poll_does_not_show_its_link() -> None:
    half = (200, f'{{"status": "complete", "url": "https://a.example/{SECRET}'.encode())
    events: list[StatusEvent] = []
    async with scripted(half) as (client, service):
        service.answers.append(complete(service.url))
        export = Export("e1", "b1", JobStatus.GENERATING).bind(client.batches)
        await export.wait(on_event=events.append)
    error = events[0].error
    assert isinstance(error, DecodeError)
    assert SECRET not in repr(vars(error)) + str(error)


async def test_a_path_is_checked_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    async with scripted() as (client, _):
        export = Export("e1", "b1", JobStatus.GENERATING).bind(client.batches)
        with pytest.raises(FileExistsError):
            await export.download(tmp_path / "x")
        with pytest.raises(TypeError):
            await export.download(5)  # type: ignore[arg-type]  # it is the point
        with pytest.raises(ValueError, match="on_progress must be"):
            await export.download("x", on_progress=5)  # type: ignore[arg-type]  # it is the point


# --- Deletion -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [(204, b""), (200, {}), (200, b"deleted")])
async def test_an_export_is_deleted(answer: Any) -> None:
    async with scripted(answer) as (client, service):
        await Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches).delete()
    assert service.calls == [("DELETE", "/batches/b1/export/e1")]


async def test_a_page_of_html_is_no_deletion() -> None:
    page = plain(b"<html>Welcome</html>", "Content-Type: text/html; charset=utf-8")
    async with serving(page) as (url, heads), ProlificClient("t", base_url=url) as client:
        with pytest.raises(DecodeError, match="HTML, where the service says that it is deleted"):
            await Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches).delete()
    assert len(heads) == 1


@pytest.mark.parametrize("failure", [None, (503, b""), (500, b"")])
async def test_a_deletion_is_sent_again_and_may_have_run_before(failure: Any) -> None:
    for end in ((204, b""), (404, b"")):
        async with scripted(failure, end) as (client, service):
            await Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches).delete()
        assert len(service.calls) == 2


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([(404, b"")], NotFoundError),
        ([(429, b""), (404, b"")], NotFoundError),
        ([(409, b"")], ConflictError),
        ([None, (409, b"")], ConflictError),
    ],
)
async def test_what_is_not_deleted_is_an_error(
    answers: list[Any], kind: type[ProlificError]
) -> None:
    async with scripted(*answers) as (client, _):
        with pytest.raises(kind):
            await Export("e1", "b1", JobStatus.COMPLETE).bind(client.batches).delete()
