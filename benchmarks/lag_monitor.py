"""Measure the time and memory of a sweep of the lag monitor over a large cluster.

    python benchmarks/lag_monitor.py [--partitions N] [--groups N] [--lagging]

Apache Kafka runs on this machine. Its topics are empty and have 50 partitions each, and every group
has committed offset 0 of every partition. With `--lagging`, every partition has one uncommitted
record. The monitor runs in its own process, which reads its highest resident size from /proc, so it
needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from demo_pipeline.broker import KafkaCluster, create_topics

if TYPE_CHECKING:
    from collections.abc import Mapping

_PER_TOPIC: Final = 50
_TOPICS_AT_ONCE: Final = 10
_COMMITS_AT_ONCE: Final = 1000

# Not ru_maxrss: a process inherits it from its parent.
_MONITOR: Final = """
import asyncio, sys
from tracing.lag import Connection, LagMonitor

def highest():
    lines = open('/proc/self/status').read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1024

async def main():
    print(f'{"":<16}{"seconds":>10}{"partitions":>12}{"peak MB":>10}')
    print(f'{"before":<16}{"":>10}{"":>12}{highest():>10.0f}')
    async with LagMonitor(Connection(sys.argv[1]), timeout_s=60) as monitor:
        for number in range(1, 4):
            sweep = await monitor.sweep()
            parts = [part for group in sweep.groups for part in group.partitions]
            assert all(part.exact for part in parts), 'some partitions were not read in time'
            print(f'{f"sweep {number}":<16}{sweep.took_s:>10.2f}{len(parts):>12}{highest():>10.0f}')

asyncio.run(main())
"""


async def fill(servers: str, topics: Mapping[str, int], groups: int, *, lagging: bool) -> None:
    """Create the topics, and commit an offset of every partition for each group."""
    names = list(topics)
    for first in range(0, len(names), _TOPICS_AT_ONCE):
        some = names[first : first + _TOPICS_AT_ONCE]
        await create_topics(servers, {name: topics[name] for name in some})
    places = [TopicPartition(name, number) for name in names for number in range(topics[name])]
    if lagging:
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            sent = [await producer.send(tp.topic, b"v", partition=tp.partition) for tp in places]
            await asyncio.gather(*sent)
    for number in range(groups):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=servers, group_id=f"group-{number}", enable_auto_commit=False
        )
        async with consumer:
            # A consumer without a subscription can commit offsets without joining the group.
            for first in range(0, len(places), _COMMITS_AT_ONCE):
                some_places = places[first : first + _COMMITS_AT_ONCE]
                consumer.assign(some_places)
                await consumer.commit(dict.fromkeys(some_places, 0))


async def measure(partitions: int, groups: int, *, lagging: bool) -> None:
    """Measure and print."""
    topics = {
        f"topic-{number}": min(_PER_TOPIC, partitions - number * _PER_TOPIC)
        for number in range(-(-partitions // _PER_TOPIC))
    }
    async with KafkaCluster() as kafka:
        await fill(kafka.bootstrap_servers, topics, groups, lagging=lagging)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _MONITOR, kafka.bootstrap_servers
        )
        if await process.wait():
            sys.exit("the monitor failed")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--partitions", type=int, default=5000)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--lagging", action="store_true")
    options = parser.parse_args()
    # New partitions have no leader for a moment, and aiokafka logs a line for each.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(measure(options.partitions, options.groups, lagging=options.lagging))


if __name__ == "__main__":
    main()
