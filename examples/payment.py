"""A payment service: each command is applied once, failures are retried, then kept.

`python -m examples.payment` runs it. A file named `outage` makes the card provider fail.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiokafka.structs import ConsumerRecord
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

import tracing
from examples.service import serve
from tracing import Telemetry, TracedConsumer, TracedProducer, cloudevent
from tracing.sql import OutboxRelay, SqlInbox, SqlOutbox

Charge = Callable[[dict[str, Any]], Awaitable[None]]
RETRY = tracing.Retry(attempts=3, delay_s=0.2)


async def ask_provider(order: dict[str, Any]) -> None:
    """Charge the customer's card."""
    if Path("outage").exists():  # noqa: ASYNC240 - a switch for the tutorial
        raise ConnectionError("the card provider does not answer")
    print(f"charged {order['cents']} cents for {order['product']}", flush=True)


async def run(
    telemetry: Telemetry, consumer: TracedConsumer, producer: TracedProducer,
    engine: AsyncEngine, stop: asyncio.Event, *, charge: Charge = ask_provider,
) -> None:  # fmt: skip
    """Handle commands until `stop` is set."""
    metadata = MetaData()
    inbox = SqlInbox(telemetry, group="payment", metadata=metadata)
    outbox = SqlOutbox(telemetry, service="payment", metadata=metadata)
    relay, stop_relay = OutboxRelay(outbox, engine, producer), asyncio.Event()
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)

    async def handle(record: ConsumerRecord[bytes, bytes]) -> None:
        order = json.loads(record.value or b"")
        declined = order["cents"] > 100_000
        answer = "PaymentDeclined" if declined else "PaymentCharged"
        event = cloudevent(type=answer, subject=(record.key or b"").decode())
        async with engine.begin() as connection:
            if not await inbox.accept(connection, record):
                return  # applied before
            if not declined:
                await charge(order)
            await outbox.add(connection, "payments", record.value, key=record.key, headers=event)
        relay.wake()
        if declined:
            raise tracing.Rejected("too_expensive")  # a business "no", not an error

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(relay.run(stop_relay))
        letters = tracing.DeadLetters(producer)
        await tracing.consume(consumer, handle, retry=RETRY, dead_letters=letters, stop=stop)
        await relay.drain(timeout_s=5)
        stop_relay.set()


if __name__ == "__main__":
    asyncio.run(serve("payment", ("payment.commands",), run))
