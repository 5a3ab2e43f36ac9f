"""``ExportArchive``: the contents of archives, and the errors of malformed ones."""

from __future__ import annotations

import json
import pickle
import tracemalloc
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import DecodeError, ExportArchive, export_archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUBMISSIONS = "responses-by-submission.jsonl"
TASKS = "responses-by-task.jsonl"
HARD = {"text": 'Größe &amp; "x"\u2028\r\n😀', "": None, "n": [1, 2.5, True, {"a": {}}]}
FILES: dict[str, str | bytes] = {
    SUBMISSIONS: json.dumps({"id": 1}) + "\n\n" + json.dumps(HARD, ensure_ascii=False),
    TASKS: "".join(json.dumps({"task": number}) + "\r\n" for number in range(5)),
    "batch.json": '\ufeff{"id": "b1", "name": "Round 1"}\n',
    "README.md": "# Export",
    "files/../../outside": b"\xff" * 10,
}


def written(path: Path, files: dict[str, str | bytes], compression: int = 8) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.zip"


COMPRESSIONS = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("as_text", [True, False])
def test_an_archive_is_read(path: Path, compression: int, *, as_text: bool) -> None:
    written(path, FILES, compression)
    with ExportArchive(str(path) if as_text else path) as archive:
        assert archive.names == tuple(FILES)
        assert [*archive.submissions()] == [{"id": 1}, HARD]
        assert [*archive.tasks()] == [{"task": number} for number in range(5)]
        assert archive.batch == {"id": "b1", "name": "Round 1"}
        # Again, and two at once.
        pairs = zip(archive.tasks(), archive.submissions(), strict=False)
        assert [*pairs] == [({"task": 0}, {"id": 1}), ({"task": 1}, HARD)]
    archive.close()
    assert [*path.parent.iterdir()] == [path]


def test_an_empty_list_has_no_records(path: Path) -> None:
    with ExportArchive(written(path, {SUBMISSIONS: "", TASKS: "\n \n"})) as archive:
        assert [*archive.submissions()] == [*archive.tasks()] == []


def test_a_closed_archive_says_so(path: Path) -> None:
    archive = ExportArchive(written(path, FILES))
    archive.close()
    with pytest.raises(ValueError, match="closed"):
        next(archive.submissions())


def test_reading_takes_the_memory_of_a_line(path: Path) -> None:
    line = json.dumps({"text": "x" * 1000}) + "\n"
    written(path, {SUBMISSIONS: line * 20_000})  # 20 MB, compressed to little
    with ExportArchive(path) as archive:
        tracemalloc.start()
        count = sum(1 for _ in archive.submissions())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 2_000_000


# --- What is wrong --------------------------------------------------------------------------------


def problem(path: Path, read: Callable[[ExportArchive], Any]) -> str:
    def attempt() -> None:
        with ExportArchive(path) as archive:
            read(archive)

    with pytest.raises(DecodeError) as caught:
        attempt()
    error = caught.value
    assert str(error).startswith(f"the file {str(path)!r} cannot be read (")
    assert (error.method, error.path, error.body) == (None, str(path), None)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems) == (str(error), error.problems)
    [only] = error.problems
    return only


def submissions(archive: ExportArchive) -> list[Any]:
    return [*archive.submissions()]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PK\x03\x04" + b"\0" * 100])
def test_what_is_no_archive_is_an_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert problem(path, submissions).startswith("$: no whole ZIP file (")


@pytest.mark.parametrize("given", [b"answers.zip", None, 5])
def test_what_is_no_path_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match=r"path|Path"):
        ExportArchive(given)


def test_the_repr_of_an_archive_has_its_path(path: Path) -> None:
    with ExportArchive(written(path, FILES)) as archive:
        assert repr(archive) == f"<ExportArchive {str(path)!r}>"


def test_a_missing_archive_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ExportArchive(path)


@pytest.mark.parametrize("name", [SUBMISSIONS, TASKS, "batch.json"])
def test_a_missing_file_is_an_error(path: Path, name: str) -> None:
    written(path, {key: value for key, value in FILES.items() if key != name})
    reads: dict[str, Callable[[ExportArchive], Any]] = {
        SUBMISSIONS: submissions,
        TASKS: lambda archive: [*archive.tasks()],
        "batch.json": lambda archive: archive.batch,
    }
    assert problem(path, reads[name]) == f"{name}: not in the archive"
    with ExportArchive(path) as archive:
        for other, read in reads.items():
            if other != name:
                assert read(archive)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"[1]", "an object is needed, not an array"),
        (b"null", "an object is needed, not null"),
        (b'{"a": NaN}', ""),
        (b'{"a": "\xff"}', "'utf-8' codec"),
        (b'{"a": 1} {"a": 2}', "Extra data"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(path: Path, line: bytes, reason: str) -> None:
    written(path, {SUBMISSIONS: b'{"a": 1}\n\n' + line + b'\n{"a": 2}\n', "batch.json": line})
    read: list[Any] = []

    def by_submission(archive: ExportArchive) -> None:
        read.extend(archive.submissions())

    assert problem(path, by_submission).startswith(f"{SUBMISSIONS}:3: {reason}")
    assert read == [{"a": 1}]
    assert problem(path, lambda archive: archive.batch).startswith(f"batch.json: {reason}")


def test_a_line_without_an_end_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_archive, "_LONGEST", 1000)
    fits = b'{"a": "%b"}' % (b"x" * (1000 - 9))
    assert len(fits) == 1000
    written(path, {SUBMISSIONS: fits + b"x", TASKS: fits, "batch.json": fits + b" "})
    assert problem(path, submissions) == f"{SUBMISSIONS}:1: more than 1000 bytes"
    assert problem(path, lambda archive: archive.batch) == "batch.json: more than 1000 bytes"
    with ExportArchive(path) as archive:
        assert [len(one["a"]) for one in archive.tasks()] == [991]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_damaged_file_is_an_error(path: Path, compression: int) -> None:
    text = "".join(json.dumps({"n": number}) + "\n" for number in range(1000))
    written(path, {SUBMISSIONS: text}, compression)
    content = bytearray(path.read_bytes())
    for at in range(100, 200):
        content[at] ^= 0x10
    path.write_bytes(content)
    told = problem(path, submissions)
    assert told.startswith(SUBMISSIONS)


def test_an_archive_with_any_damage_is_read_or_an_error(path: Path) -> None:
    whole = bytearray(written(path, FILES).read_bytes())
    for at in range(0, len(whole), 5):
        for bit in (0x01,) if at % 2 else (0x80,):
            whole[at] ^= bit
            path.write_bytes(whole)
            whole[at] ^= bit
            with suppress(DecodeError), ExportArchive(path) as archive:
                assert isinstance(archive.batch, dict)
                assert isinstance([*archive.submissions(), *archive.tasks()], list)
    for size in range(0, len(whole), 5):
        path.write_bytes(whole[:size])
        with pytest.raises(DecodeError):
            ExportArchive(path)


@pytest.mark.parametrize(("flags", "method", "reason"), [(1, 8, "password"), (0, 97, "")])
def test_what_zipfile_cannot_read_is_an_error(
    path: Path, flags: int, method: int, reason: str
) -> None:
    written(path, {SUBMISSIONS: '{"a": 1}\n'})
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    for flag, kind in ((6, 8), (central + 8, central + 10)):
        content[flag : flag + 2] = flags.to_bytes(2, "little")
        content[kind : kind + 2] = method.to_bytes(2, "little")
    path.write_bytes(content)
    told = problem(path, submissions)
    assert reason in told
    assert "no whole ZIP file" not in told
