"""Ten thousand dead letters on Apache Kafka: how long to list them, how much memory to replay them.

    python benchmarks/dead_letters.py [--letters N]

Each command runs in a process of its own, start-up included, as a person runs it. Memory is the
process's highest resident size, beside that of the same command on an empty topic; Linux tells it.
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


async def fill(servers: str, letters: int) -> None:
    """Put letters into the topic."""
    await create_topics(servers, {TOPIC: 4, FULL: 4, EMPTY: 4})
    async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
        pending = []
        for number in range(letters):
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
    """What the measured process wrote about itself in its last line."""
    return int(output.rsplit(b"\n", 2)[-2]) / 1024


# Not ru_maxrss: a process inherits that from the one that starts it.
_WRAPPED: Final = (
    "import sys; from tracing.__main__ import main; code = main(sys.argv[1:]); "
    "lines = open('/proc/self/status').read().splitlines(); "
    "print(*(line.split()[1] for line in lines if line.startswith('VmHWM'))); sys.exit(code)"
)


async def compare(letters: int) -> None:
    """Measure and print."""
    async with KafkaCluster() as kafka:
        await fill(kafka.bootstrap_servers, letters)
        print(f"{'':<32}{'seconds':>10}{'letters/s':>12}{'memory MB':>12}")
        for topic, what in ((EMPTY, "no letters"), (FULL, f"{letters} letters")):
            for name, arguments in (
                ("list", ("list", "--topic", topic)),
                ("replay", ("replay", "--topic", topic, "--group", "payment")),
            ):
                seconds, memory = await _measured(kafka.bootstrap_servers, *arguments)
                rate = f"{letters / seconds:,.0f}" if topic == FULL else "-"
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
    parser.add_argument("--letters", type=int, default=10_000)
    options = parser.parse_args()
    asyncio.run(compare(options.letters))


if __name__ == "__main__":
    main()
