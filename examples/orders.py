"""An order service: run `uvicorn --factory examples.orders:app`."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tracing import Telemetry, TracedProducer, cloudevent, otlp
from tracing.sql import OutboxRelay, SqlOutbox


class Order(BaseModel):
    """What a customer orders."""

    product: str = Field(min_length=1, max_length=100)
    cents: int = Field(gt=0, lt=2**31)


def make_app(
    telemetry: Telemetry,
    producer: TracedProducer,
    engine: AsyncEngine,
    at_end: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Make the service on its clients, which a test replaces."""
    metadata = MetaData()
    columns = (Column("product", String(100)), Column("cents", Integer))
    orders = Table("orders", metadata, Column("id", String(36), primary_key=True), *columns)
    outbox = SqlOutbox(telemetry, service="orders", metadata=metadata)
    relay = OutboxRelay(outbox, engine, producer)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        async with producer:
            stop = asyncio.Event()
            relaying = asyncio.create_task(relay.run(stop))
            yield
            await relay.drain(timeout_s=5)
            stop.set()
            await relaying
        await engine.dispose()
        await asyncio.to_thread(at_end)

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders", status_code=202)
    async def place(order: Order) -> dict[str, str]:
        order_id = str(uuid4())
        value, key = order.model_dump_json().encode(), order_id.encode()
        event = cloudevent(type="OrderPlaced", subject=order_id)
        async with engine.begin() as connection:
            await connection.execute(insert(orders).values(id=order_id, **order.model_dump()))
            await outbox.add(connection, "orders", value, key=key, headers=event)
        relay.wake()
        return {"id": order_id}

    return app


def app() -> OpenTelemetryMiddleware:
    """Make the service as it runs, with a span for each request."""
    providers = otlp.configure("orders")
    telemetry = providers.telemetry(pipeline="orders")
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
    producer = TracedProducer(AIOKafkaProducer(bootstrap_servers=servers), telemetry)
    engine = create_async_engine(os.environ.get("ORDERS_DB", "sqlite+aiosqlite:///orders.db"))
    service = make_app(telemetry, producer, engine, providers.shutdown)
    return OpenTelemetryMiddleware(service, tracer_provider=providers.tracer_provider)
