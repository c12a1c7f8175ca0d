"""Tests of the example services, without a broker: in-memory clients, and traces as text."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from sqlalchemy.ext.asyncio import create_async_engine

from examples import orders, payment, saga
from examples.service import Run
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.testing import (
    Capture,
    InMemoryBroker,
    InMemoryConsumer,
    InMemoryProducer,
    assert_span_tree,
    eventually,
)

CHARGED = """
    POST /orders SERVER
      send orders · OrderPlaced PRODUCER
        process orders · OrderPlaced CONSUMER
          saga place-order INTERNAL
            saga.step place-order/charge-card INTERNAL
          send payment.commands · ChargeCard PRODUCER
            process payment.commands · ChargeCard CONSUMER
              send payments · PaymentCharged PRODUCER
                process payments · PaymentCharged CONSUMER
"""


class Shop:
    """All services on one in-memory broker, with their telemetry."""

    def __init__(self, folder: Path, capture: Capture) -> None:
        self.broker, self.capture, self._folder = InMemoryBroker(), capture, folder
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
            logger_provider=capture.logger_provider,
        )

    def engine(self, name: str) -> Any:
        """Make the database of a service."""
        return create_async_engine(f"sqlite+aiosqlite:///{self._folder}/{name}.db")

    def producer(self) -> TracedProducer:
        """Make the producer of a service."""
        return TracedProducer(InMemoryProducer(self.broker), self.telemetry)

    @asynccontextmanager
    async def running(self, group: str, topics: tuple[str, ...], run: Run) -> AsyncIterator[None]:
        """Run a service during the block."""
        bare = InMemoryConsumer(
            *topics,
            broker=self.broker,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        consumer, engine = TracedConsumer(bare, self.telemetry), self.engine(group)
        stop = asyncio.Event()
        async with consumer, self.producer() as producer, asyncio.TaskGroup() as tasks:
            tasks.create_task(_ended(run(self.telemetry, consumer, producer, engine, stop)))
            yield
            stop.set()
        await engine.dispose()

    async def order(self, cents: int) -> None:
        """Place an order over HTTP, and wait until the order service has ended."""
        app = orders.make_app(self.telemetry, self.producer(), self.engine("orders"))
        traced = OpenTelemetryMiddleware(
            app, tracer_provider=self.capture.tracer_provider, exclude_spans=["receive", "send"]
        )
        async with app.router.lifespan_context(app):
            client = AsyncClient(transport=ASGITransport(traced), base_url="http://shop")
            async with client:
                answer = await client.post("/orders", json={"product": "kettle", "cents": cents})
            assert answer.status_code == 202


async def _ended(running: Any) -> None:
    await running


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    """Make a shop without running services."""
    with Capture("shop") as capture:
        yield Shop(tmp_path, capture)


def _saw(shop: Shop, text: str) -> Callable[[], bool]:
    return lambda: text in shop.capture.tree(types=True)


async def test_an_order_is_charged_in_one_trace(shop: Shop) -> None:
    async with (
        shop.running("orchestrator", ("orders", "payments"), saga.run),
        shop.running("payment", ("payment.commands",), payment.run),
    ):
        await shop.order(cents=2000)
        assert await eventually(_saw(shop, "process payments · PaymentCharged"))

    spans = [span for span in shop.capture.spans() if not span.name.startswith("poll")]
    assert_span_tree(spans, CHARGED, types=True)
    assert shop.capture.metric("pipeline.saga.ended", {"outcome": "completed"}) == 1


async def test_a_payment_that_fails_for_good_is_kept_as_a_dead_letter(shop: Shop) -> None:
    async def fail(_order: dict[str, Any]) -> None:
        raise ConnectionError("the card provider does not answer")

    async with (
        shop.running("orchestrator", ("orders", "payments"), saga.run),
        shop.running("payment", ("payment.commands",), partial(payment.run, charge=fail)),
    ):
        await shop.order(cents=2000)
        assert await eventually(_saw(shop, "dead_letter payment.commands.payment.dlq"))

    assert shop.capture.metric("pipeline.retries") == 2
    assert shop.capture.metric("pipeline.dead_letters") == 1


async def test_a_declined_payment_ends_the_saga(shop: Shop) -> None:
    async with (
        shop.running("orchestrator", ("orders", "payments"), saga.run),
        shop.running("payment", ("payment.commands",), payment.run),
    ):
        await shop.order(cents=200_000)
        assert await eventually(_saw(shop, "process payments · PaymentDeclined"))

    assert shop.capture.metric("pipeline.saga.ended", {"outcome": "compensated"}) == 1
    assert shop.capture.metric("pipeline.dead_letters") == 0
