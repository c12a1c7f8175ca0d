"""The long versions of the fault tests, which take minutes.

python -m tests.chaos kills [--kills 30] [--rate 20]
python -m tests.chaos orchestrator [--kills 30] [--rate 20]
python -m tests.chaos restart | lost-broker
python -m tests.chaos exactly-once [--kills 20] [--stops 20]
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

from demo_pipeline.broker import KafkaCluster
from tests.chaos.disturbances import killed_broker, killed_orchestrator, killed_services
from tests.chaos.exactly_once import exactly_once
from tests.chaos.schedule_batch import run_all
from tests.chaos.storm import storm

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.chaos.aftermath import Aftermath
    from tests.chaos.exactly_once import Once
    from tests.chaos.schedule_run import Verdict

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
    """Kill -9 random services, again and again."""

    async def run(folder: Path) -> Aftermath:
        async with KafkaCluster() as kafka:
            disturb = killed_services(kills, every_s=every, seed=seed, told=_tell)
            return await storm(kafka.bootstrap_servers, folder, disturb, rate=rate)

    _report(run)


@main.command()
@_kills
@click.option("--every", default=3.0, show_default=True, help="Mean seconds between two kills.")
@click.option(
    "--at-work/--at-any-time", default=True, help="Whether to wait until it moves sagas again."
)
@_seed
@_rate
def orchestrator(*, kills: int, every: float, at_work: bool, seed: int, rate: float) -> None:
    """Kill -9 the orchestrator, again and again."""

    async def run(folder: Path) -> Aftermath:
        async with KafkaCluster() as kafka:
            if at_work:
                disturb = killed_orchestrator(kills, every_s=every, seed=seed, told=_tell)
            else:
                only = ("orchestrator",)
                disturb = killed_services(
                    kills, every_s=every, seed=seed, services=only, told=_tell
                )
            return await storm(kafka.bootstrap_servers, folder, disturb, rate=rate)

    _report(run)


@main.command()
@_rate
def restart(*, rate: float) -> None:
    """Kill -9 the only broker, and start it again."""

    async def run(folder: Path) -> Aftermath:
        async with KafkaCluster() as kafka:
            disturb = killed_broker(kafka, 0, before_s=15, down_s=10)
            return await storm(kafka.bootstrap_servers, folder, disturb, rate=rate)

    _report(run)


@main.command("lost-broker")
@_rate
def lost_broker(*, rate: float) -> None:
    """Kill -9 one of three brokers for good."""

    async def run(folder: Path) -> Aftermath:
        async with KafkaCluster(nodes=3) as kafka:
            disturb = killed_broker(kafka, 1, before_s=15, down_s=15, back=False)
            return await storm(kafka.bootstrap_servers, folder, disturb, rate=rate)

    _report(run)


@main.command("exactly-once")
@click.option("--kills", default=20, show_default=True)
@click.option("--stops", default=20, show_default=True, help="Stops longer than a session.")
@_seed
def exactly_once_(*, kills: int, stops: int, seed: int) -> None:
    """Kill -9 and stop members whose effects are to be there exactly once."""

    async def run() -> Once:
        async with KafkaCluster() as kafka:
            servers = kafka.bootstrap_servers
            return await exactly_once(servers, kills=kills, stops=stops, seed=seed, told=_tell)

    once = asyncio.run(run())
    click.echo(f"{once.records} records; {dict(once.mishaps)}")
    click.echo("\n".join(once.problems) or "every effect is there exactly once")
    sys.exit(1 if once.problems else 0)


@main.command()
@click.option("--count", default=1, show_default=True, help="How many schedules.")
@click.option("--seed", type=int, help="The first one's seed; by default a random one.")
@click.option("--kafka", is_flag=True, help="On Apache Kafka instead of the embedded broker.")
@click.option("--brokers", default=1, show_default=True, help="How many brokers to run.")
@click.option("--at-once", default=6, show_default=True, help="How many at a time on each.")
def schedules(*, count: int, seed: int | None, kafka: bool, brokers: int, at_once: int) -> None:
    """Run random schedules of consume loops, with consecutive seeds, and check what happens.

    The seed of one that fails, as `--seed`, makes the same schedule again.
    """
    first = random.randrange(10**6) if seed is None else seed
    click.echo(f"seeds {first} to {first + count - 1}")
    began = monotonic()
    verdicts = asyncio.run(
        run_all(
            range(first, first + count),
            kafka=kafka,
            brokers=brokers,
            at_once=at_once,
            told=_tell_verdict,
        )
    )
    failed = sorted(verdict.seed for verdict in verdicts if verdict.problems)
    click.echo(
        f"{len(verdicts)} schedules in {monotonic() - began:.0f} s, "
        f"{sum(verdict.records for verdict in verdicts)} records, "
        f"{sum(verdict.handled for verdict in verdicts)} handlings, "
        f"{sum(verdict.lettered for verdict in verdicts)} dead letters: "
        + (f"{len(failed)} FAILED, seeds {failed}" if failed else "all well")
    )
    if failed:
        sys.exit(1)


def _tell_verdict(verdict: Verdict) -> None:
    if verdict.problems:
        click.echo(f"\nschedule {verdict.seed}:\n{verdict.history}")
        for problem in verdict.problems:
            click.echo(f"  PROBLEM {problem}")
    else:
        click.echo(".", nl=False, err=True)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _report(run: Callable[[Path], Coroutine[None, None, Aftermath]]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    aftermath = asyncio.run(run(folder))
    click.echo(str(aftermath))
    if aftermath.problems:
        click.echo(f"databases and logs are in {folder}", err=True)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
