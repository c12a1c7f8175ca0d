"""The long versions of the fault tests, which take minutes.

python -m tests.chaos kills [--kills 30] [--rate 50]
python -m tests.chaos restart | lost-broker
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from demo_pipeline.broker import KafkaCluster
from tests.chaos.disturbances import killed_broker, killed_services
from tests.chaos.storm import storm

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.chaos.storm import Aftermath

_rate = click.option("--rate", default=50.0, show_default=True, help="Orders per second.")


@click.group(help=__doc__)
def main() -> None:
    """Run from the command line."""


@main.command()
@click.option("--kills", default=30, show_default=True)
@click.option("--every", default=3.0, show_default=True, help="Mean seconds between two kills.")
@click.option("--seed", default=1, show_default=True)
@_rate
def kills(*, kills: int, every: float, seed: int, rate: float) -> None:
    """Kill -9 random services, again and again."""

    async def run(folder: Path) -> Aftermath:
        async with KafkaCluster() as kafka:
            disturb = killed_services(
                kills, every_s=every, seed=seed, told=lambda line: click.echo(line, err=True)
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


def _report(run: Callable[[Path], Coroutine[None, None, Aftermath]]) -> None:
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        aftermath = asyncio.run(run(Path(folder)))
    click.echo(str(aftermath))
    if aftermath.discrepancies or aftermath.torn:
        sys.exit(1)


if __name__ == "__main__":
    main()
