"""Services of single scenarios: receipts, which asks for what notices leave out, and loyalty."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import tracing
from demo_pipeline.domain.codec import headers_of
from demo_pipeline.domain.events import OrderCancelled, OrderHeld, OrderShipped
from demo_pipeline.domain.notices import OrderLink, OrderPlacedNotice
from demo_pipeline.domain.topics import NOTICES, key_of
from demo_pipeline.services import loyalty, receipts
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo_pipeline.runtime.service_context import ServiceContext

ORDER = {"user_id": "user-07", "total_cents": 8900, "state": "paid"}


class OrdersApi:
    """An API that is down in several ways, one request each, before it answers."""

    def __init__(self, *failures: Exception | int) -> None:
        self._failures = list(failures)
        self.asked: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        failure = self._failures.pop(0) if self._failures else 200
        if isinstance(failure, Exception):
            raise failure
        order_id = request.url.path.rpartition("/")[2]
        return httpx.Response(failure, json={**ORDER, "order_id": order_id})


async def _read(
    context: ServiceContext, api: OrdersApi, *order_ids: str, attempts: int = 5
) -> InMemoryBroker:
    """Let receipts read notices until it has committed them all."""
    broker = InMemoryBroker()
    for topic in (NOTICES, f"{NOTICES}.receipts.dlq"):
        broker.create_topic(topic, partitions=1)
    transport = httpx.MockTransport(api.answer)
    async with (
        tracing.TracedProducer(InMemoryProducer(broker), context.telemetry) as producer,
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        receipts.writing(replace(context, orders=client)) as work,
    ):
        for order_id in order_ids:
            notice = OrderPlacedNotice(OrderLink(order_id, "/orders"))
            await producer.send_and_wait(
                NOTICES, context.codec.encode(notice), key_of(notice),
                headers=headers_of(notice),
            )  # fmt: skip
        bare = InMemoryConsumer(
            NOTICES, broker=broker, group_id="receipts", auto_offset_reset="earliest",
            enable_auto_commit=False,
        )  # fmt: skip
        stop = asyncio.Event()
        async with tracing.TracedConsumer(bare, context.telemetry, group="receipts") as consumer:
            reading = asyncio.create_task(
                tracing.consume(
                    consumer, work.handle, stop=stop,
                    retry=tracing.Retry(attempts=attempts, delay_s=0),
                    dead_letters=tracing.DeadLetters(producer),
                )
            )  # fmt: skip
            (partition,) = bare.assignment()

            async def committed() -> bool:
                return len(order_ids) == await bare.committed(partition)

            await eventually(committed)
            stop.set()
            await reading
    return broker


async def _receipts(context: ServiceContext) -> frozenset[str]:
    async with context.database.connect() as connection:
        return await receipts.receipted_orders(connection)


async def test_a_notice_is_answered_however_the_api_was_down_before(open_context: Any) -> None:
    context = await open_context("receipts")
    api = OrdersApi(httpx.ConnectError("refused"), httpx.ReadTimeout("late"), 503, 404)

    broker = await _read(context, api, "o-1", "o-2")

    assert {"o-1", "o-2"} == await _receipts(context)
    assert [*["/orders/o-1"] * 5, "/orders/o-2"] == api.asked
    assert [] == list(broker.records(f"{NOTICES}.receipts.dlq"))


async def test_a_notice_that_outlasts_all_attempts_is_kept_as_a_dead_letter(
    open_context: Any,
) -> None:
    context = await open_context("receipts")

    broker = await _read(context, OrdersApi(503, 503), "o-1", "o-2", attempts=2)

    assert {"o-2"} == await _receipts(context)
    assert 1 == len(broker.records(f"{NOTICES}.receipts.dlq"))


async def test_a_notice_that_comes_twice_makes_one_receipt(open_context: Any) -> None:
    context = await open_context("receipts")

    await _read(context, OrdersApi(), "o-1", "o-1")

    assert {"o-1"} == await _receipts(context)


async def test_receipts_without_an_api_says_so(open_context: Any) -> None:
    with pytest.raises(RuntimeError, match="needs the orders API"):
        async with receipts.writing(await open_context("receipts")):
            pass


async def test_shipped_orders_earn_a_point_for_each_full_dollar_and_others_nothing(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database = await open_service_database("loyalty")
    for event in (
        OrderShipped(make_order("o-1"), "s"),
        OrderShipped(make_order("o-1"), "s"),
        OrderCancelled(make_order("o-2"), "no"),
        OrderHeld(make_order("o-3"), "why"),
    ):
        assert () == await handle(database, "loyalty", event)

    async with database.connect() as connection:
        assert 89 == await loyalty.points(connection)
        assert {"o-1", "o-2", "o-3"} == await loyalty.seen_orders(connection)
