"""Programs that run beneath a guard: started, ended, and their logs and ports."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from demo_pipeline.broker import guard
from demo_pipeline.runtime.private_files import PRIVATE_UMASK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


async def launch(
    *command: str, folder: Path, log: Path, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a program that must not outlive this process.

    Args:
        command: The program and its arguments.
        folder: Where it runs: it may read files of the folder that it starts in.
        log: The file that its output is added to.
        env: Its environment; by default that of this process.
    """
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable, guard.__file__, *command,
            stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output,
            # Ctrl-C in a terminal is for this process, which may still need the program to finish.
            cwd=folder, env=env, start_new_session=True, umask=PRIVATE_UMASK,
        )  # fmt: skip


async def end(*processes: asyncio.subprocess.Process, timeout_s: float) -> None:
    """End programs that `launch` started, and wait for them; kill those that take too long."""
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        try:
            await asyncio.wait_for(process.wait(), timeout_s)
        except TimeoutError:
            # The guard leads the session: the program that it has not ended goes with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def log_tail(log: Path, length: int) -> str:
    """Return the last characters of a log, for an error's message."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        text = ""
    return text[-length:].strip() or "nothing"


def free_ports(number: int) -> list[int]:
    """Return loopback ports that are free, until another process takes them."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
