"""A failure that cannot be shown fails its own test, and the reports can be sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.reports import utf8

ROOT = Path(__file__).parents[2]

TESTS = """
class Closed(ExceptionGroup):
    @property
    def exceptions(self):
        raise ZeroDivisionError

def test_before():
    pass

def test_that_raises_it():
    raise Closed("closed", [ValueError()])

def test_that_fails_because_of_it():
    try:
        raise Closed("closed", [ValueError()])
    except Closed:
        assert 1 == 2

def test_after():
    pass
"""


def test_a_report_with_lone_surrogates_can_be_sent() -> None:
    report = {"sections": [("Captured log", "a\ud800b")], "outcome": "passed", "duration": 0.5}

    assert {
        "sections": [("Captured log", "a\\ud800b")],
        "outcome": "passed",
        "duration": 0.5,
    } == utf8(report)


@pytest.mark.parametrize("processes", [(), ("-n", "1")])
def test_an_error_that_cannot_be_shown_fails_only_its_test(
    tmp_path: Path, processes: tuple[str, ...]
) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
    )
    (tmp_path / "test_odd.py").write_text(TESTS)

    # `-p`: the hooks of this suite, for tests in another folder.
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "tests.conftest", "--import-mode=importlib", *processes),
            *("-c", str(tmp_path / "pytest.ini"), str(tmp_path / "test_odd.py")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 failed, 2 passed" in run.stdout
    assert "pytest cannot show this failure" in run.stdout
    assert "Closed: closed (1 sub-exception), raised at" in run.stdout
    assert "assert 1 == 2" in run.stdout
    assert 1 == run.returncode
