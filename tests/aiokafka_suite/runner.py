"""Run aiokafka's tests, each time in a new process and on a new Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import click

from demo_pipeline.broker import KafkaCluster
from demo_pipeline.broker.kafka_jars import VERSION
from tests.aiokafka_suite.checkout import PACKAGE
from tests.aiokafka_suite.comparison import BARE, Difference, Run, differences, is_steady, read_run
from tests.aiokafka_suite.selection import EXPECTED, SKIPPED

_ROOT: Final = Path(__file__).parents[2]
# Settings of the Kafka in aiokafka's own container, which its tests rely on.
_SETTINGS: Final = {"auto.create.topics.enable": "true", "num.partitions": "2"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of one test and of one run, in seconds."""

    test_s: float
    run_s: float


class Runner:
    """Runs the tests of a folder in one form after another.

    Args:
        folder: The folder that `copy_tests` has filled; journals go there too.
        limits: The time limits.
        keyword: Selects tests, like pytest's `-k`; empty for all tests.
    """

    def __init__(self, folder: Path, limits: Limits, keyword: str = "") -> None:
        self._folder = folder
        self._limits = limits
        self._keyword = keyword
        self._number = 0

    async def run(self, form: str, tests: Collection[str] = ()) -> Run:
        """Run all or some tests with the clients of a form.

        Each run has a new Kafka, because some tests need topics that do not exist yet.

        Raises:
            BrokerError: Kafka does not start.
        """
        async with KafkaCluster(settings=_SETTINGS) as cluster:
            return await self._run(form, tests, cluster.bootstrap_servers)

    async def _run(self, form: str, tests: Collection[str], servers: str) -> Run:
        self._number += 1
        journal = self._folder / f"run-{self._number}.jsonl"
        package = self._folder / PACKAGE
        command = [
            sys.executable, "-m", "pytest", "--quiet", "--no-header", "--tb=short", "-r", "N",
            "--show-capture=no", "--disable-warnings", "--no-summary",
            "-c", str(self._folder / "pyproject.toml"), "--rootdir", str(self._folder),
            "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function",
            "-p", "tests.aiokafka_suite.plugin",
            "--kafka", servers, "--kafka-version", VERSION,
            "--form", form, "--journal", str(journal), f"--timeout={self._limits.test_s:g}",
            *(f"--deselect={PACKAGE}/{test}" for test in SKIPPED),
            *(("-k", self._keyword) if self._keyword else ()),
            *([f"{package}/{test}" for test in sorted(tests)] or [str(package)]),
        ]  # fmt: skip
        click.echo(f"{form}:", err=True)
        started = monotonic()
        process = await asyncio.create_subprocess_exec(
            *command, cwd=_ROOT, stdout=sys.stderr, env=_environment(), start_new_session=True
        )
        try:
            await asyncio.wait_for(process.wait(), self._limits.run_s)
        except TimeoutError:
            click.echo(f"{form}: cut off after {self._limits.run_s:g} s", err=True)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return read_run(form, journal, monotonic() - started)

    async def confirm(
        self, runs: Sequence[Run], times: int
    ) -> tuple[list[Difference], list[Difference]]:
        """Run the tests with unexplained differences again.

        Args:
            runs: One run of each form, bare first.
            times: Number of repetitions.

        Returns:
            The explained or repeated differences, and the differences that did not repeat.
        """
        bare, *others = runs
        confirmed: list[Difference] = []
        unconfirmed: list[Difference] = []
        for other in others:
            differing = differences(bare, other)
            explained = [one for one in differing if (one.form, one.test) in EXPECTED]
            confirmed += explained
            unexplained = [one for one in differing if one not in explained]
            names = [one.test for one in unexplained]
            again: list[tuple[Run, Run]] = []
            while unexplained and len(again) < times:
                again.append((await self.run(BARE, names), await self.run(other.form, names)))
            for difference in unexplained:
                (confirmed if not again or is_steady(difference, again) else unconfirmed).append(
                    difference
                )
        return confirmed, unconfirmed


def _environment() -> dict[str, str]:
    """Return the environment without the variables that would instrument bare clients."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
