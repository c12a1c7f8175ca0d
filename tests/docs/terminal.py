"""A terminal in which the commands of a page run, as a reader would run them."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docs.pages import README

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def commands(page: Path, section: str) -> list[str]:
    """Return the command lines of a section of a page."""
    text = page.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def broker_command() -> str:
    """Return the command that starts a broker."""
    (command,) = re.findall(r"`(python -m examples[.]\w+)`", README.read_text())
    return str(command)


class Terminal:
    """A shell in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def export(self, line: str) -> None:
        """Run a line that sets variables."""
        assert "export" == shlex.split(line)[0]
        pairs = (word.split("=", 1) for word in shlex.split(line)[1:])
        self._environment.update(dict(pairs))

    async def run(self, line: str, answer: str = "") -> str:
        """Run a command line to its end, answer its question, and return what it prints."""
        process = await self._start(line)
        printed, _ = await process.communicate(answer.encode())
        assert 0 == process.returncode, f"{line}: {printed.decode()}"
        return printed.decode()

    @asynccontextmanager
    async def running(self, line: str, folder: Path | None = None) -> AsyncIterator[Path]:
        """Run a service during the block; end it as an orchestrator of containers does.

        Yields:
            The file with what it prints.
        """
        printed = self._folder / f"printed by {line}"
        with printed.open("wb") as file:
            process = await self._start(f"exec {line}", file.fileno(), folder)
        try:
            yield printed
        finally:
            process.send_signal(signal.SIGTERM)
            # uvicorn ends its process by the signal that asked it to end, once it has shut down.
            assert await process.wait() in {0, -signal.SIGTERM}, printed.read_text()

    async def _start(
        self, line: str, output: int | None = None, folder: Path | None = None
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_shell(
            line,
            cwd=folder or self._folder,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if output is None else output,
            stderr=asyncio.subprocess.STDOUT,
        )
