"""Stop a consumer for a minute under constant load, and compare the monitor with the true lag.

    python -m tests.tracing.lag.hold [--stopped SECONDS] [--window SECONDS] [--no-read]

It starts Apache Kafka. It fails if the monitor was ever off by more than 1 s, or if the status did
not go from ok to lagging to dead, and back.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import click

from demo_pipeline.broker import KafkaCluster, create_topics
from tests.tracing.lag.load import Load, hold, statuses
from tracing.lag import Status

LONGEST_OFF_S = 1.0


async def run(stopped_s: float, window_s: float, *, read: bool) -> bool:
    async with KafkaCluster() as kafka:
        await create_topics(kafka.bootstrap_servers, {"orders": 1})
        load = Load(kafka.bootstrap_servers, "orders", "payment")
        seen = []
        click.echo(
            f"{'s':>6} {'phase':<8} {'lag':>6} {'lag s':>8} {'truth s':>8} {'off s':>6} status"
        )
        async for each in hold(load, stopped_s=stopped_s, window_s=window_s, read=read):
            seen.append(each)
            lag_s = "?" if each.lag_s is None else f"{each.lag_s:.2f}"
            click.echo(
                f"{each.after_s:>6.1f} {each.phase:<8} {each.lag:>6} {lag_s:>8} "
                f"{each.truth_s:>8.2f} {each.off_s:>6.2f} {each.status or '?'}"
            )
    reported = statuses(seen)
    # Without reading, the first sweep cannot estimate a time.
    off = max(each.off_s for each in (seen if read else seen[1:]))
    click.echo(f"sweeps: {len(seen)}; most off: {off:.3f} s; statuses: {' → '.join(reported)}")
    return (
        off <= LONGEST_OFF_S
        and reported[:3] == [Status.OK, Status.LAGGING, Status.DEAD]
        and (reported[-1] is Status.OK)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--stopped", type=float, default=60.0)
    parser.add_argument("--window", type=float, default=30.0)
    parser.add_argument("--no-read", action="store_true")
    options = parser.parse_args()
    if not asyncio.run(run(options.stopped, options.window, read=not options.no_read)):
        sys.exit("the monitor was off, or reported another status")


if __name__ == "__main__":
    main()
