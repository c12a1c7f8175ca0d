from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import ConsumerRecord
from sqlalchemy import event

import tracing
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.commands import ChargeCard, PlaceOrder, ReserveInventory, ShipOrder
from demo_pipeline.domain.events import PaymentCharged, PaymentDeclined, StockReserved
from demo_pipeline.domain.topics import TOPIC_OF, key_of
from demo_pipeline.runtime.consuming import record_handler
from demo_pipeline.runtime.publishing import perform
from demo_pipeline.services import SERVICES, inventory, payment, shipping
from demo_pipeline.services.orders import place_order, status_of
from tests.demo_pipeline.conftest import outbox_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo_pipeline.domain.messages import Message


def _sent(headers: list[Any]) -> tuple[Any, ...]:
    return (*headers, ("ce_source", b"/test"))


async def _record_of(message: Message, offset: int = 0) -> ConsumerRecord[Any, Any]:
    value = Codec().encode(message)
    return ConsumerRecord(
        topic=TOPIC_OF[type(message)],
        partition=0,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=key_of(message),
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=len(value),
        headers=_sent(headers_of(message)),
    )


async def _sent_messages(*messages: Message) -> list[tuple[str, bytes, bytes]]:
    codec = Codec()
    return [(TOPIC_OF[type(sent)], key_of(sent), codec.encode(sent)) for sent in messages]


async def _published(context: Any) -> list[tuple[str, bytes, bytes]]:
    return [(topic, key, value) for topic, key, value, _ in await outbox_of(context)]


async def test_the_result_of_a_command_is_published(
    open_context: Any, make_order: Callable[..., Any]
) -> None:
    context = await open_context("inventory")
    handle = record_handler(SERVICES["inventory"], context)
    await handle(await _record_of(ReserveInventory(make_order())))
    expected = StockReserved(make_order(), "reservation-o-1")
    assert await _sent_messages(expected) == await _published(context)


async def test_a_rejection_is_published_and_then_raised(
    open_context: Any, make_order: Callable[..., Any]
) -> None:
    context, order = await open_context("payment"), make_order(quantity=500)
    handle = record_handler(SERVICES["payment"], context)
    with pytest.raises(tracing.Rejected, match="card limit exceeded"):
        await handle(await _record_of(ChargeCard(order)))
    expected = PaymentDeclined(order, "card limit exceeded")
    assert await _sent_messages(expected) == await _published(context)


@pytest.mark.parametrize(
    ("service", "command"),
    [("inventory", ReserveInventory), ("payment", ChargeCard), ("shipping", ShipOrder)],
)
async def test_a_command_has_one_effect_and_one_outcome_however_often_it_is_delivered(
    open_context: Any,
    make_order: Callable[..., Any],
    service: str,
    command: Callable[..., Message],
    caplog: pytest.LogCaptureFixture,
) -> None:
    context, order = await open_context(service), make_order()
    handle = record_handler(SERVICES[service], context)
    with caplog.at_level(logging.INFO):
        for offset in range(3):
            await handle(await _record_of(command(order), offset))
    async with context.database.connect() as connection:
        if service == "inventory":
            assert inventory.FIRST_STOCK - 2 == await inventory.available("kettle", connection)
        elif service == "payment":
            assert 8900 == await payment.charged_cents(connection)
        else:
            assert 1 == await shipping.shipments(connection)
    assert 1 == len(await outbox_of(context))
    assert 2 == caplog.text.count("of order o-1 was already done")


async def test_a_failed_record_has_no_effect_until_the_next_delivery(
    open_context: Any, make_order: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise ConnectionError

    context = await open_context("payment")
    handle = record_handler(SERVICES["payment"], context)
    record = await _record_of(ChargeCard(make_order()))
    with monkeypatch.context() as broken:
        broken.setattr(type(context.outbox), "hand_over_in", fail)
        with pytest.raises(ConnectionError):
            await handle(record)
    async with context.database.connect() as connection:
        assert 0 == await payment.charged_cents(connection)
    await handle(record)
    expected = PaymentCharged(make_order(), "payment-o-1")
    assert await _sent_messages(expected) == await _published(context)


async def test_the_relay_gets_the_records_after_the_commit(
    open_context: Any, make_order: Callable[..., Any]
) -> None:
    context = await open_context("payment")
    seen: list[Any] = []
    pending = dataclasses.replace(context, committed=seen.append)
    handle = record_handler(SERVICES["payment"], pending)
    await handle(await _record_of(ChargeCard(make_order())))
    assert [("payment.events", b"user-07")] == [
        (each.topic, each.key) for added in seen for each in added.records
    ]


async def test_a_service_ignores_messages_without_a_handler(
    open_context: Any, make_order: Callable[..., Any]
) -> None:
    context = await open_context("payment")
    await record_handler(SERVICES["payment"], context)(
        await _record_of(ReserveInventory(make_order()))
    )
    assert [] == await outbox_of(context)


async def test_log_lines_name_the_service_and_the_order(
    open_context: Any, make_order: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    handle = record_handler(SERVICES["shipping"], await open_context("shipping"))
    with caplog.at_level(logging.INFO):
        await handle(await _record_of(ShipOrder(make_order())))
    assert ("demo_pipeline.shipping", logging.INFO, "ShipOrder of order o-1 is done") in (
        caplog.record_tuples
    )


async def test_records_that_wait_for_each_other_are_handled_with_shared_statements(
    open_context: Any, make_order: Callable[..., Any]
) -> None:
    context = await open_context("orders")
    handle = record_handler(SERVICES["orders"], context)
    placed = [make_order(f"o-{number}") for number in range(8)]
    for order in placed:
        await perform(place_order, PlaceOrder(order), context)
    statements: list[str] = []

    def collect(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement.split(maxsplit=1)[0])

    event.listen(context.commits.transactions.engine, "before_cursor_execute", collect)
    records = [
        await _record_of(StockReserved(order, "r"), number) for number, order in enumerate(placed)
    ]
    await asyncio.gather(*(handle(record) for record in records))

    assert ["INSERT", "UPDATE"] == statements
    async with context.database.connect() as connection:
        states = [await status_of(order.order_id, connection) for order in placed]
    assert {"reserved"} == {each.state.value for each in states if each is not None}
