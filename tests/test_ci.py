"""The rules of the scripts in .ci."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent.parent / ".ci"
verdict = runpy.run_path(str(SCRIPTS / "audit"))["verdict"]
interpreters = runpy.run_path(str(SCRIPTS / "pythons"))["interpreters"]

GOOD = {"name": "attrs", "version": "25.1.0", "vulns": []}
FLAW = {"id": "GHSA-1", "fix_versions": ["3.14.1"]}
BAD = {"name": "aiohttp", "version": "3.14.0", "vulns": [FLAW]}
SKIPPED = {"name": "yarl", "skip_reason": "not found on PyPI"}
OURS = {"name": "prolific-async", "skip_reason": "not found on PyPI"}
SILENT = "not audited: the index does not answer"


@pytest.mark.parametrize(
    ("dependencies", "passes", "words"),
    [
        ([GOOD, OURS], True, "no known vulnerability in 1 packages"),
        ([GOOD, BAD, SKIPPED], False, "aiohttp 3.14.0: GHSA-1, mended in ['3.14.1']"),
        ([SKIPPED, OURS], True, SILENT),
        ([GOOD, SKIPPED], False, "not audited, though others were: yarl"),
        ([OURS], False, "nothing was audited: no dependency is installed"),
    ],
)
def test_the_audit_passes_without_flaws_or_without_the_index(
    dependencies: list[dict[str, Any]], *, passes: bool, words: str
) -> None:
    assert verdict(json.dumps({"dependencies": dependencies}), "") == (passes, words)


def test_a_failed_audit_passes_only_without_the_index() -> None:
    assert verdict("", "ERROR: Could not connect to PyPI's vulnerability feed") == (True, SILENT)
    assert verdict("", "ERROR: no such option") == (
        False,
        "pip-audit failed:\nERROR: no such option",
    )
    assert not verdict("[]", "")[0]


def python(path: Path, exit_code: int = 0) -> Path:
    """Make an executable in place of an interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    path.chmod(0o755)
    return path


def test_every_working_python_is_found(tmp_path: Path) -> None:
    shims, bin_, pyenv = tmp_path / "shims", tmp_path / "bin", tmp_path / "pyenv"
    for minor in (12, 13, 14):
        python(
            shims / f"python3.{minor}", 127
        )  # like pyenv's shims of versions that are not selected
    on_the_path = python(bin_ / "python3.12")
    python(pyenv / "versions/3.12.1/bin/python")
    python(pyenv / "versions/3.13.9/bin/python")
    newest = python(pyenv / "versions/3.13.10/bin/python")
    python(pyenv / "versions/3.14.0rc1/bin/python", 1)
    assert interpreters(f"{shims}:{bin_}", pyenv) == {(3, 12): on_the_path, (3, 13): newest}
