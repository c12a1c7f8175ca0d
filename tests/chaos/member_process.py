"""A member process of an exactly-once loop that kills or stops itself at critical moments.

`SERVERS SOURCE TARGET NAME SEED KILLS STOPS`: at random, it kills (SIGKILL) or stops (SIGSTOP)
itself between producing and adding the offsets, between adding the offsets and the commit, and just
after the commit, KILLS and STOPS times at most. Every tenth record fails once, every 25th always.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

import tracing
from tracing import DeadLetters, Retry, Telemetry, TracedConsumer, TracedProducer, Unprocessable

GROUP = "shipping"
SESSION_MS = 1000
TRANSACTION_MS = 8000


class Mishaps:
    """Kill or stop this process at random."""

    def __init__(self, seed: int, kills: int, stops: int) -> None:
        self._chance = random.Random(seed)
        self._left = [signal.SIGKILL] * kills + [signal.SIGSTOP] * stops
        self._chance.shuffle(self._left)

    def __call__(self, moment: str, probability: float) -> None:
        if self._left and self._chance.random() < probability:
            mishap = self._left.pop()
            sys.stdout.write(f"{mishap.name} {moment}\n")
            sys.stdout.flush()
            os.kill(os.getpid(), mishap)


class Producer(AIOKafkaProducer):
    """A producer with mishaps around its commits."""

    mishap: Mishaps

    async def commit_transaction(self) -> None:
        self.mishap("before the commit", 0.2)
        commit: Any = super().commit_transaction
        await commit()
        self.mishap("after the commit", 0.1)


async def main(
    servers: str, source: str, target: str, name: str, seed: int, kills: int, stops: int
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    mishap = Mishaps(seed, kills, stops)
    telemetry = Telemetry("orders")
    bare: Any = Producer
    producer = bare(
        bootstrap_servers=servers,
        transactional_id=f"{target}-{name}",
        transaction_timeout_ms=TRANSACTION_MS,
    )
    producer.mishap = mishap
    consumer = AIOKafkaConsumer(
        source,
        bootstrap_servers=servers,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=150,
        fetch_max_wait_ms=50,
        max_poll_records=10,
    )
    failed: set[bytes] = set()
    async with (
        TracedProducer(producer, telemetry) as sender,
        TracedConsumer(consumer, telemetry) as receiver,
    ):

        async def handler(record: Any) -> None:
            future = await sender.send(target, record.value, partition=record.partition)
            if int(record.value) % 3 == 0:
                await future
                mishap("between producing and adding the offsets", 0.03)
            if int(record.value) % 25 == 0:
                raise Unprocessable("poison")
            if int(record.value) % 10 == 0 and record.value not in failed:
                failed.add(record.value)
                raise ConnectionError
            await asyncio.sleep(random.uniform(0, 0.01))

        await tracing.consume(
            receiver,
            handler,
            transactional=sender,
            dead_letters=DeadLetters(sender, transactional=True),
            retry=Retry(delay_s=0.01),
            commit_interval_s=0.05,
            drain_timeout_s=5,
            stop=stop,
        )


if __name__ == "__main__":
    servers, source, target, name, *numbers = sys.argv[1:]
    asyncio.run(main(servers, source, target, name, *map(int, numbers)))
