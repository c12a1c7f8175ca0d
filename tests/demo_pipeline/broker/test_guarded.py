"""Programs beneath a guard end with it, also where the guard hangs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil

from demo_pipeline.broker import guarded
from tracing.testing import eventually

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_program_ends_even_if_its_guard_hangs(tmp_path: Path) -> None:
    process = await guarded.launch("sleep", "600", folder=tmp_path, log=tmp_path / "log")
    beneath = psutil.Process(process.pid)
    await eventually(lambda: 1 == len(beneath.children()))
    (program,) = beneath.children()
    os.kill(process.pid, signal.SIGSTOP)

    await guarded.end(process, timeout_s=0.2)

    assert -signal.SIGKILL == process.returncode
    await eventually(lambda: not program.is_running() or "zombie" == program.status())


def test_a_log_that_is_missing_or_empty_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "log").write_text("0123456789\n")

    assert ["nothing", "nothing", "6789"] == [
        guarded.log_tail(tmp_path / name, 5) for name in ("missing", "empty", "log")
    ]
