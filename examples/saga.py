"""An orchestrator: each order is a saga with one step. Run `python -m examples.saga`."""

import asyncio
import time

from aiokafka.structs import ConsumerRecord
from sqlalchemy import Column, MetaData, Table, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import tracing
from examples.service import serve
from tracing import CloudEvent, SagaContext, Telemetry, TracedConsumer, TracedProducer, cloudevent
from tracing.sql import OutboxRelay, SqlInbox, SqlOutbox, SqlSagas

SAGA, STEP, DEADLINE_NS = "place-order", "charge-card", 30 * 10**9
ENDS: dict[str, tuple[tracing.StepOutcome, tracing.SagaOutcome]] = {
    "PaymentCharged": ("ok", "completed"),
    "PaymentDeclined": ("rejected", "compensated"),
}


async def run(
    telemetry: Telemetry, consumer: TracedConsumer, producer: TracedProducer,
    engine: AsyncEngine, stop: asyncio.Event,
) -> None:  # fmt: skip
    """Move sagas until `stop` is set."""
    metadata = MetaData()
    own = Table("own", metadata, Column("id", Text, primary_key=True), Column("context", Text))
    sagas = SqlSagas(metadata=metadata)
    inbox = SqlInbox(telemetry, group="orchestrator", metadata=metadata)
    outbox = SqlOutbox(telemetry, service="orchestrator", metadata=metadata)
    relay, stop_relay = OutboxRelay(outbox, engine, producer), asyncio.Event()
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    tracker = tracing.SagaTracker(SAGA, telemetry, health=sagas.on(engine))

    async def start(tx: AsyncConnection, order: str, context: SagaContext, value: bytes) -> None:
        await tx.execute(insert(own).values(id=order, context=str(context)))
        deadline_ns = time.time_ns() + DEADLINE_NS
        await sagas.start(tx, SAGA, context, state=STEP, deadline_ns=deadline_ns)
        await sagas.begin_step(tx, SAGA, order, STEP)
        command = cloudevent(type="ChargeCard", subject=order)
        await outbox.add(tx, "payment.commands", value, key=order.encode(), headers=command)

    async def handle(record: ConsumerRecord[bytes, bytes]) -> None:
        event, order = CloudEvent.from_headers(record.headers), (record.key or b"").decode()
        kind = event.type if event else ""
        if kind == "OrderPlaced":
            context = tracker.begin(order)
            async with engine.begin() as tx:
                if not await inbox.accept(tx, record):
                    return
                await start(tx, order, context, record.value or b"")
            relay.wake()
            tracker.started(context)  # after the commit, like every call of the tracker
        elif kind in ENDS:
            step_outcome, outcome = ENDS[kind]
            async with engine.begin() as tx:
                if not await inbox.accept(tx, record):
                    return
                stored = await tx.scalar(select(own.c.context).where(own.c.id == order))
                started_ns = await sagas.end_step(tx, SAGA, order, STEP, outcome=step_outcome)
                await sagas.end(tx, SAGA, order, outcome)
            if (ended := SagaContext.parse(stored or "")) and started_ns is not None:
                tracker.step(ended, STEP, started_ns=started_ns, outcome=step_outcome)
                tracker.ended(ended, outcome)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(relay.run(stop_relay))
        letters = tracing.DeadLetters(producer)
        await tracing.consume(consumer, handle, dead_letters=letters, stop=stop)
        await relay.drain(timeout_s=5)
        stop_relay.set()
    await tracker.aclose()


if __name__ == "__main__":
    asyncio.run(serve("orchestrator", ("orders", "payments"), run))
