import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import must_hold
from benchmarks.must_hold import CALLS, IMPORTS, LARGE_CROWD, TRACE, WAITS, Report

TITLES = [
    f"{call}, {number} in flight" for call in ("get_status", "duplicate") for number in (1, 50)
]


def comparison(title: str, ratio: str, median: float) -> Report:
    subjects = {"prolific_async": {"ratios": {ratio: {"median": median}}}}
    return {"title": title, "subjects": subjects}


def crowd(subject: str, workspaces: int, cpu: float) -> Report:
    case = {"subject": subject, "workspaces": workspaces}
    return {"case": case, "cpu": cpu, "memory": 1000.0 * workspaces, "lag": {"p99": 0.0125}}


def reports(base: float) -> dict[Sequence[str], Report]:
    """Return a report of every program, whose first figure is `base`."""
    ours = [crowd("prolific_async", 1, 1.0), crowd("prolific_async", 100, 10.0)]
    return {
        CALLS: {
            "comparisons": [
                comparison(title, "cpu / raw aiohttp", base + number)
                for number, title in enumerate(TITLES)
            ]
        },
        IMPORTS: {"comparisons": [comparison("import", "import / aiohttp", 1.07)]},
        WAITS: {"crowds": [*ours, crowd("naive loop", 1, 25.0)]},
        LARGE_CROWD: {"crowds": ours[:1]},
        TRACE: {"wait_until_ready": 69, "duplicate": 19},
    }


def test_a_row_holds_the_target_and_both_medians(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bases = {must_hold.ROOT: [1.0, 5.0, 3.0], Path("older"): [9.0, 7.0, 8.0]}
    ran: list[Path] = []

    def run(program: Sequence[str], checkout: Path, *options: str) -> Report:
        assert options == ()
        ran.append(checkout)
        return reports(bases[checkout][(len(ran) - 1) // (2 * len(must_hold.PROGRAMS))])[program]

    monkeypatch.setattr(must_hold, "run", run)
    must_hold.main(["older"])
    assert ran == [Path("older"), must_hold.ROOT] * 3 * len(must_hold.PROGRAMS)
    _, _, *lines = capsys.readouterr().out.splitlines()[1:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert rows[1][1:4] == ["≤ 1.05", "8.00", "3.00"]
    assert [row[3] for row in rows[2:]] == [
        *("4.00", "5.00", "6.00", "1.07"),
        *("25.0", "2.5", "1,000", "12.5", "69", "19"),
    ]


@pytest.mark.slow
def test_a_program_runs_with_the_package_of_the_other_checkout(tmp_path: Path) -> None:
    package = tmp_path / "prolific_async"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('the other package')")
    with pytest.raises(subprocess.CalledProcessError):
        must_hold.run(TRACE, tmp_path)
    assert must_hold.run(TRACE, must_hold.ROOT).keys() == {"wait_until_ready", "duplicate"}


def test_a_directory_without_the_package_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="prolific_async"):
        must_hold.run(TRACE, tmp_path)


@pytest.mark.slow
def test_every_figure_is_found_in_what_the_programs_print(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("azure.core", reason="belongs to the extra bench")
    must_hold.main([str(must_hold.ROOT), "--quick"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("Quick: ")
    assert len(lines) == 3 + 2 + len(must_hold.FIGURES)
