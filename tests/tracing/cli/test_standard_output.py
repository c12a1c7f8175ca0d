"""Standard output that is a pipe, or a terminal that cannot show all characters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracing.__main__ import main

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("command", [("metrics",), ("metrics", "--json")])
def test_output_that_nothing_reads_to_its_end_is_no_error_worth_a_line(
    command: tuple[str, ...],
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as unread:
        ended = subprocess.run(
            [sys.executable, "-m", "tracing", *command],
            cwd=ROOT,
            stdout=unread,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (1, "") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize("closed", [False, True])
def test_a_broken_pipe_to_something_else_is_an_error_with_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    def broken() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("tracing.cli.metrics.markdown", broken)
    if closed:
        monkeypatch.setattr(sys, "stdout", None)

    assert 1 == main(["metrics", "--markdown"])
    assert "tracing: BrokenPipeError: [Errno 32] Broken pipe\n" == capsys.readouterr().err


def test_what_a_terminal_cannot_show_is_escaped_and_ends_nothing() -> None:
    program = """
import sys, types, click
from rich.console import Console
from tracing.cli.program import Program
@click.command
def show():
    Console().print("gr\\xfcppe")
own = sys.modules["own"] = types.ModuleType("own")
own.show = show
sys.exit(Program("tracing", "own:show", "", "").main([]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )

    assert (0, b"gr\\xfcppe\n", b"") == (ended.returncode, ended.stdout, ended.stderr)
