"""SIGINT stops the programs that tests start, even if the caller of the tests ignores it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_CALLER = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from tests import conftest
conftest.pytest_configure()
print(subprocess.check_output([sys.executable, "-c", sys.argv[1]], text=True), end="")
"""
_PROGRAM = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"


def test_sigint_stops_a_program_even_if_the_caller_ignores_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CALLER, _PROGRAM],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip

    assert "True" == done.stdout.strip()


def test_sigint_stops_the_tests_themselves() -> None:
    assert signal.SIG_IGN is not signal.getsignal(signal.SIGINT)
