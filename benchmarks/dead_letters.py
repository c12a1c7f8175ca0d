"""Measure the time and memory to list and replay ten thousand dead letters on Apache Kafka.

    python benchmarks/dead_letters.py [--count N]

Each command runs in a new process, and its start-up counts. Memory is the process's highest
resident size, compared with the same command on an empty topic. It is read from /proc, so it needs
Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from time import perf_counter
from typing import Final

from aiokafka import AIOKafkaProducer

from demo_pipeline.broker import KafkaCluster, create_topics
from tracing import Provenance

TOPIC: Final = "orders"
FULL: Final = "orders.payment.dlq"
EMPTY: Final = "orders.shipping.dlq"
VALUE: Final = b"x" * 400


async def fill(servers: str, count: int) -> None:
    """Send dead letters to the topic."""
    await create_topics(servers, {TOPIC: 4, FULL: 4, EMPTY: 4})
    async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
        pending = []
        for number in range(count):
            headers = Provenance(
                topic=TOPIC, partition=number % 4, offset=number, timestamp_ms=1, group="payment",
                exception=f"Error{number % 20}", message="away", attempts=3, first_failed_at_ms=1,
                failed_at_ms=1_700_000_000_000 + number,
            ).headers()  # fmt: skip
            pending.append(
                await producer.send(FULL, VALUE, key=b"%d" % (number % 100), headers=headers)
            )
        await asyncio.gather(*pending)


def _highest_mb(output: bytes) -> float:
    """Parse the last line of a measured process: its highest resident size."""
    return int(output.rsplit(b"\n", 2)[-2]) / 1024


# Not ru_maxrss: a process inherits it from its parent.
_WRAPPED: Final = (
    "import sys; from tracing.__main__ import main; code = main(sys.argv[1:]); "
    "lines = open('/proc/self/status').read().splitlines(); "
    "print(*(line.split()[1] for line in lines if line.startswith('VmHWM'))); sys.exit(code)"
)


async def compare(count: int) -> None:
    """Measure and print."""
    async with KafkaCluster() as kafka:
        await fill(kafka.bootstrap_servers, count)
        print(f"{'':<32}{'seconds':>10}{'records/s':>12}{'memory MB':>12}")
        for topic, what in ((EMPTY, "none"), (FULL, f"{count:,}")):
            for name, arguments in (
                ("list", ("list", "--topic", topic)),
                ("replay", ("replay", "--topic", topic, "--group", "payment")),
            ):
                seconds, memory = await _measured(kafka.bootstrap_servers, *arguments)
                rate = f"{count / seconds:,.0f}" if topic == FULL else "-"
                print(f"{name + ', ' + what:<32}{seconds:>10.2f}{rate:>12}{memory:>12.1f}")


async def _measured(servers: str, *arguments: str) -> tuple[float, float]:
    started = perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRAPPED, "dlq", *arguments, "--bootstrap-servers", servers,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    seconds = perf_counter() - started
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed: {output.decode()}")
    return seconds, _highest_mb(output)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    asyncio.run(compare(options.count))


if __name__ == "__main__":
    main()
