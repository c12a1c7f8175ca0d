from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.instructions import total

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], check=False, capture_output=True, text=True, cwd=ROOT
    )


def test_the_total_of_a_dump_is_read() -> None:
    assert 46292467 == total("events: Ir\nfn=(1)\n5 12\n\ntotals: 46292467\n")
    with pytest.raises(ValueError, match="no total"):
        total("events: Ir\n")


def test_rows_that_need_a_broker_are_refused() -> None:
    refused = run("benchmarks.instructions", "--rows", "encoded,consume")

    # Without Valgrind, that is said first.
    assert "Valgrind" in refused.stderr or "need a broker: consume" in refused.stderr
    assert refused.returncode in {1, 2}


@pytest.mark.parametrize(("limit", "code"), [("1000", 0), ("-1", 1)])
def test_memory_is_measured_without_a_broker(limit: str, code: int) -> None:
    measured = run("benchmarks.memory", "--messages", "1000", "2000", "--limit", limit)

    assert code == measured.returncode, measured.stderr
    assert 2 == measured.stdout.count(" messages ")
    assert "Unclosed" not in measured.stderr
