"""Run the long versions of the fault tests, which take minutes.

python -m tests.chaos kills [--kills 30] [--rate 20]
python -m tests.chaos orchestrator [--kills 30] [--rate 20]
python -m tests.chaos restart | lost-broker
python -m tests.chaos exactly-once [--kills 20] [--stops 20]
python -m tests.chaos replays [--kills 20] [--kafka]
python -m tests.chaos schedules [--count 100] [--kafka]
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from demo_pipeline.broker import EmbeddedBroker, KafkaCluster
from tests.chaos.exactly_once import run_exactly_once
from tests.chaos.faults import kill_broker, kill_orchestrator, kill_services
from tests.chaos.replays import run_replays
from tests.chaos.schedule_batch import run_all
from tests.chaos.storm import run_storm

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.chaos.exactly_once import ExactlyOnceResult
    from tests.chaos.replays import ReplayStormResult
    from tests.chaos.schedule_run import ScheduleResult
    from tests.chaos.storm_result import StormResult

_rate = click.option("--rate", default=20.0, show_default=True, help="Orders per second.")
_kills = click.option("--kills", default=30, show_default=True)
_seed = click.option("--seed", default=1, show_default=True)


@click.group(help=__doc__)
def main() -> None:
    """Run from the command line."""


@main.command()
@_kills
@click.option("--every", default=3.0, show_default=True, help="Mean seconds between two kills.")
@_seed
@_rate
def kills(*, kills: int, every: float, seed: int, rate: float) -> None:
    """Kill -9 random services repeatedly."""

    async def run(folder: Path) -> StormResult:
        async with KafkaCluster() as kafka:
            disturb = kill_services(kills, every_s=every, seed=seed, report=_print)
            return await run_storm(kafka.bootstrap_servers, folder, disturb, rate=rate)

    _report(run)


@main.command()
@_kills
@click.option("--every", default=3.0, show_default=True, help="Mean seconds between two kills.")
@click.option(
    "--at-work/--at-any-time", default=True, help="Whether to wait until it works on sagas again."
)
@_seed
@_rate
def orchestrator(*, kills: int, every: float, at_work: bool, seed: int, rate: float) -> None:
    """Kill -9 the orchestrator repeatedly."""

    async def run(folder: Path) -> StormResult:
        async with KafkaCluster() as kafka:
            if at_work:
                disturb = kill_orchestrator(kills, every_s=every, seed=seed, report=_print)
            else:
                only = ("orchestrator",)
                disturb = kill_services(
                    kills, every_s=every, seed=seed, services=only, report=_print
                )
            return await run_storm(kafka.bootstrap_servers, folder, disturb, rate=rate)

    _report(run)


@main.command()
@_rate
def restart(*, rate: float) -> None:
    """Kill -9 the only broker, and restart it."""

    async def run(folder: Path) -> StormResult:
        async with KafkaCluster() as kafka:
            disturb = kill_broker(kafka, 0, before_s=15, down_s=10)
            return await run_storm(kafka.bootstrap_servers, folder, disturb, rate=rate)

    _report(run)


@main.command("lost-broker")
@_rate
def lost_broker(*, rate: float) -> None:
    """Kill -9 one of three brokers, and do not restart it."""

    async def run(folder: Path) -> StormResult:
        async with KafkaCluster(nodes=3) as kafka:
            disturb = kill_broker(kafka, 1, before_s=15, down_s=15, back=False)
            return await run_storm(kafka.bootstrap_servers, folder, disturb, rate=rate)

    _report(run)


@main.command("exactly-once")
@click.option("--kills", default=20, show_default=True)
@click.option(
    "--stops", default=20, show_default=True, help="Number of stops longer than a session."
)
@_seed
def exactly_once_(*, kills: int, stops: int, seed: int) -> None:
    """Kill -9 and stop members of an exactly-once loop, and check every effect."""

    async def run() -> ExactlyOnceResult:
        async with KafkaCluster() as kafka:
            servers = kafka.bootstrap_servers
            return await run_exactly_once(
                servers, kills=kills, stops=stops, seed=seed, report=_print
            )

    result = asyncio.run(run())
    click.echo(f"{result.records} records; {dict(result.mishaps)}")
    click.echo("\n".join(result.problems) or "every effect happened exactly once")
    sys.exit(1 if result.problems else 0)


@main.command()
@click.option("--kills", default=20, show_default=True)
@click.option("--history", default=8_000, show_default=True, help="Events before the replays.")
@click.option("--rate", default=40.0, show_default=True, help="Events per second meanwhile.")
@_seed
@click.option("--kafka", is_flag=True, help="Use Apache Kafka instead of the embedded broker.")
def replays(*, kills: int, history: int, rate: float, seed: int, kafka: bool) -> None:
    """Kill -9 replays of read models under load, resume them, and compare the results."""

    async def run(folder: Path) -> ReplayStormResult:
        async with KafkaCluster() if kafka else EmbeddedBroker() as broker:
            return await run_replays(
                broker.bootstrap_servers,
                folder,
                kills=kills,
                seed=seed,
                history=history,
                rate=rate,
                report=_print,
            )

    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    began = monotonic()
    result = asyncio.run(run(folder))
    click.echo(
        f"{result.events} events, {result.kills} replays killed, {result.resumed} resumed, "
        f"{result.compared} comparisons in {monotonic() - began:.0f} s: "
        + ("\n".join(result.problems) or "the read models are the same, byte for byte")
    )
    if result.problems:
        click.echo(f"the databases are in {folder}", err=True)
        sys.exit(1)
    shutil.rmtree(folder)


@main.command()
@click.option("--count", default=1, show_default=True, help="Number of schedules.")
@click.option("--seed", type=int, help="Seed of the first schedule; random by default.")
@click.option("--kafka", is_flag=True, help="Use Apache Kafka instead of the embedded broker.")
@click.option("--brokers", default=1, show_default=True, help="Number of brokers to run.")
@click.option(
    "--at-once", default=6, show_default=True, help="Number of concurrent schedules per broker."
)
def schedules(*, count: int, seed: int | None, kafka: bool, brokers: int, at_once: int) -> None:
    """Run random schedules of consume loops, with consecutive seeds, and check the outcome.

    To repeat a failed schedule, give its seed as `--seed`.
    """
    first = random.randrange(10**6) if seed is None else seed
    click.echo(f"seeds {first} to {first + count - 1}")
    began = monotonic()
    results = asyncio.run(
        run_all(
            range(first, first + count),
            kafka=kafka,
            brokers=brokers,
            at_once=at_once,
            report=_print_schedule,
        )
    )
    failed = sorted(result.seed for result in results if result.problems)
    click.echo(
        f"{len(results)} schedules in {monotonic() - began:.0f} s, "
        f"{sum(result.records for result in results)} records, "
        f"{sum(result.handled for result in results)} handlings, "
        f"{sum(result.dead_lettered for result in results)} dead letters: "
        + (f"{len(failed)} FAILED, seeds {failed}" if failed else "all well")
    )
    if failed:
        sys.exit(1)


def _print_schedule(result: ScheduleResult) -> None:
    if result.problems:
        click.echo(f"\nschedule {result.seed}:\n{result.history}")
        for problem in result.problems:
            click.echo(f"  PROBLEM {problem}")
    else:
        click.echo(".", nl=False, err=True)


def _print(line: str) -> None:
    click.echo(line, err=True)


def _report(run: Callable[[Path], Coroutine[None, None, StormResult]]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    result = asyncio.run(run(folder))
    click.echo(str(result))
    if result.problems:
        click.echo(f"databases and logs are in {folder}", err=True)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
