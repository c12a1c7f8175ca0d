from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import ConsumerRecord

import tracing
from demo_pipeline.codec import encode, headers_of
from demo_pipeline.consuming import record_handler
from demo_pipeline.events import (
    Event,
    OrderPlaced,
    PaymentCharged,
    PaymentDeclined,
    StockRejected,
    StockReserved,
)
from demo_pipeline.services import SERVICES
from demo_pipeline.services import payment as payment_service
from demo_pipeline.topics import TOPIC_OF, key_of

if TYPE_CHECKING:
    from collections.abc import Callable


def _sent(headers: list[Any]) -> tuple[Any, ...]:
    return (*headers, ("ce_source", b"/test"))


def _record_of(event: Event) -> ConsumerRecord[Any, Any]:
    value = encode(event)
    return ConsumerRecord(
        topic=TOPIC_OF[type(event)],
        partition=0,
        offset=0,
        timestamp=0,
        timestamp_type=0,
        key=key_of(event),
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=len(value),
        headers=_sent(headers_of(event)),
    )


async def test_a_record_becomes_a_command_whose_outcome_is_published(
    open_service_database: Any, make_order: Callable[..., Any]
) -> None:
    published: list[Event] = []

    async def publish(event: Event) -> None:
        published.append(event)

    database = await open_service_database("inventory")
    handle = record_handler(SERVICES["inventory"], database, publish)
    await handle(_record_of(OrderPlaced(make_order())))
    assert [StockReserved(make_order(), "reservation-o-1")] == published


async def test_a_no_is_published_first_and_then_told_as_rejected(
    open_service_database: Any, make_order: Callable[..., Any]
) -> None:
    published: list[Event] = []

    async def publish(event: Event) -> None:
        published.append(event)

    database, order = await open_service_database("payment"), make_order(quantity=500)
    handle = record_handler(SERVICES["payment"], database, publish)
    with pytest.raises(tracing.Rejected, match="card limit exceeded"):
        await handle(_record_of(StockReserved(order, "r")))
    assert [PaymentDeclined(order, "card limit exceeded")] == published


async def test_what_could_not_be_published_is_published_at_the_next_delivery(
    open_service_database: Any, make_order: Callable[..., Any]
) -> None:
    published: list[Event] = []

    async def publish(event: Event) -> None:
        if not published:
            published.append(event)
            raise ConnectionError
        published.append(event)

    database = await open_service_database("payment")
    handle = record_handler(SERVICES["payment"], database, publish)
    record = _record_of(StockReserved(make_order(), "r"))
    with pytest.raises(ConnectionError):
        await handle(record)
    await handle(record)
    assert published[0] == published[1]
    async with database.connect() as connection:
        assert 8900 == await payment_service.charged_cents(connection)


async def test_events_that_are_none_of_its_business_pass_a_service_by(
    open_service_database: Any, make_order: Callable[..., Any]
) -> None:
    async def publish(event: Event) -> None:
        pytest.fail(f"published {event}")

    handle = record_handler(SERVICES["payment"], await open_service_database("payment"), publish)
    await handle(_record_of(StockRejected(make_order(), "sold out")))


async def test_log_lines_name_the_service_and_the_order(
    open_service_database: Any, make_order: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def publish(event: Event) -> None:
        pass

    handle = record_handler(SERVICES["shipping"], await open_service_database("shipping"), publish)
    with caplog.at_level(logging.INFO):
        await handle(_record_of(PaymentCharged(make_order(), "p")))
    assert ("demo_pipeline.shipping", logging.INFO, "ShipOrder of order o-1 is done") in (
        caplog.record_tuples
    )
