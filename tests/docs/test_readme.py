"""The service of the README, run as the README says: it fails, gives up and is replayed."""

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

import pytest

from tests.docs.pages import README, ROOT, file_in
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def _commands(section: str) -> list[str]:
    """Return the command lines of a section of the README."""
    text = README.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def _broker_command() -> str:
    """Return the command that starts a broker."""
    (command,) = re.findall(r"`(python -m examples[.]\w+)`", README.read_text())
    return str(command)


class _Shell:
    """A terminal in a folder that holds the two programs of the README."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        for title in ("payment.py", "order.py"):
            (folder / title).write_text(file_in(README, title))

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
            assert 0 == await process.wait(), printed.read_text()

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


@pytest.mark.integration
async def test_the_service_runs_fails_retries_gives_up_and_is_replayed(tmp_path: Path) -> None:
    export, service, order = _commands("See it")
    outage, second, listing, mended, replay, lag = _commands("Retries and dead letters")
    shell = _Shell(tmp_path)
    async with shell.running(_broker_command(), ROOT) as broker:
        assert await eventually(lambda: broker.read_text().endswith("\n"), timeout_s=60)
        shell.export(broker.read_text())
        shell.export(export)
        async with shell.running(service) as printed:
            sent = await shell.run(order)
            assert '"name": "send orders"' in sent
            (trace,) = set(re.findall(r'"trace_id": "(\w+)"', sent))
            assert await eventually(
                lambda: (
                    '"name": "send payments"' in printed.read_text()
                    and trace in printed.read_text()
                ),
                timeout_s=60,
            )

            await shell.run(outage)
            await shell.run(second)
            assert await eventually(
                lambda: "is now a dead letter in orders.payment.dlq" in printed.read_text(),
                timeout_s=60,
            )
            assert "attempt 3 of 3" in printed.read_text()
            assert "1 dead letters" in await shell.run(listing)

            await shell.run(mended)
            sends = printed.read_text().count('"name": "send payments"')
            assert "1 dead letters replayed" in await shell.run(replay, answer="y\n")
            assert await eventually(
                lambda: printed.read_text().count('"name": "send payments"') > sends,
                timeout_s=60,
            )
            assert "payment" in await shell.run(lag)
