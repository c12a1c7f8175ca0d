"""A cluster with dead letters."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from demo_pipeline.broker import create_topics
from tracing import Provenance
from tracing.__main__ import main

ORIGINAL = b"handled or given up"


class Cluster:
    """A topic with dead letters of two groups."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.topic = f"orders-{uuid4().hex[:8]}"
        self.of_payment = f"{self.topic}.payment.dlq"
        self.of_shipping = f"{self.topic}.shipping.dlq"

    async def fill(self) -> None:
        names = (self.topic, self.of_payment, self.of_shipping)
        await create_topics(self.servers, dict.fromkeys(names, 2))
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            await self.write_originals(producer)
            for number in range(6):
                group = "payment" if number % 2 else "shipping"
                provenance = Provenance(
                    topic=self.topic, partition=number % 2, offset=number, timestamp_ms=1,
                    group=group, exception="ConnectionError" if number < 4 else "KeyError",
                    message="away\x1b[31m", attempts=3, first_failed_at_ms=1000,
                    failed_at_ms=1_700_000_000_000 + number,
                )  # fmt: skip
                await producer.send_and_wait(
                    f"{self.topic}.{group}.dlq",
                    b"secret-%d" % number,
                    b"k%d" % number,
                    partition=0,
                    headers=[
                        ("mine", b"\xff"),
                        ("ce_id", b"e%d" % number),
                        ("ce_source", b"/orders"),
                        ("ce_type", b"OrderPlaced"),
                        ("traceparent", b"00-%032x-%016x-01" % (number + 1, number + 1)),
                        *provenance.headers(),
                    ],
                )

    async def write_originals(self, producer: AIOKafkaProducer) -> None:
        """Write the records that the dead letters came from, and others."""
        for partition in (0, 1):
            for _ in range(10):
                # The embedded broker counts a batch as one offset.
                await producer.send_and_wait(self.topic, ORIGINAL, b"k", partition=partition)

    def run(self, *arguments: str) -> int:
        return main(["dlq", *arguments, "--bootstrap-servers", self.servers])

    async def records(self) -> list[Any]:
        """Return the records of the source topic, without the original ones."""
        records: list[Any] = []
        consumer = AIOKafkaConsumer(
            self.topic, bootstrap_servers=self.servers, auto_offset_reset="earliest"
        )
        async with consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while len(records) < sum(ends.values()):
                batches = await consumer.getmany(timeout_ms=500)
                records += [record for batch in batches.values() for record in batch]
        return [record for record in records if record.value != ORIGINAL]
