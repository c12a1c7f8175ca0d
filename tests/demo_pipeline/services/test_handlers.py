from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from demo_pipeline.domain.commands import (
    CancelOrder,
    CancelShipment,
    ChargeCard,
    HoldOrder,
    PlaceOrder,
    RefundCard,
    ReleaseInventory,
    ReserveInventory,
    ShipOrder,
)
from demo_pipeline.domain.events import (
    CardRefunded,
    CustomerNotified,
    OrderCancelled,
    OrderHeld,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    ShipmentCancelled,
    ShippingRefused,
    StockRejected,
    StockReleased,
    StockReserved,
)
from demo_pipeline.domain.order_states import OrderState
from demo_pipeline.services import inventory, orders, payment, shipping

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_placed_order_is_published_and_can_be_looked_up(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("orders"), make_order()
    (placed,) = await handle(database, "orders", PlaceOrder(order))
    assert OrderPlaced(order, promised_on=placed.promised_on) == placed
    assert placed.promised_on > datetime.now(UTC).date()
    async with database.connect() as connection:
        status = await orders.status_of("o-1", connection)
        assert None is await orders.status_of("o-2", connection)
    assert orders.OrderStatus("o-1", "user-07", 8900, OrderState.PLACED, pending=True) == status


async def test_an_order_follows_its_events_and_never_goes_back(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("orders"), make_order()
    await handle(database, "orders", PlaceOrder(order))
    for event in (OrderShipped(order, "s"), PaymentCharged(order, "p"), StockReserved(order, "r")):
        assert () == await handle(database, "orders", event)
    async with database.connect() as connection:
        status = await orders.status_of("o-1", connection)
        assert frozenset({"o-1"}) == await orders.ended_orders(connection)
    assert status is not None
    assert OrderState.SHIPPED == status.state


async def test_events_of_orders_of_another_shop_are_ignored_by_orders(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database = await open_service_database("orders")
    await handle(database, "orders", OrderShipped(make_order("stranger"), "s"))
    async with database.connect() as connection:
        assert frozenset() == await orders.ended_orders(connection)


async def test_stock_is_reserved(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("inventory"), make_order(quantity=3)
    expected = (StockReserved(order, "reservation-o-1"),)
    assert expected == await handle(database, "inventory", ReserveInventory(order))
    async with database.connect() as connection:
        assert inventory.FIRST_STOCK - 3 == await inventory.available("kettle", connection)


async def test_an_order_beyond_the_stock_is_rejected_as_a_whole(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database = await open_service_database("inventory")
    order = make_order(quantity=inventory.FIRST_STOCK + 1)
    expected = (StockRejected(order, "sold out: kettle"),)
    assert expected == await handle(database, "inventory", ReserveInventory(order))
    async with database.connect() as connection:
        assert inventory.FIRST_STOCK == await inventory.available("kettle", connection)


async def test_a_restart_keeps_the_stock(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database = await open_service_database("inventory")
    await handle(database, "inventory", ReserveInventory(make_order(quantity=5)))
    again = await open_service_database("inventory")
    async with again.connect() as connection:
        assert inventory.FIRST_STOCK - 5 == await inventory.available("kettle", connection)


@pytest.mark.parametrize(
    ("wanted", "available", "expected"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": 2, "b": 1}, {"a": 1, "b": 0}, "sold out: a, b"),
        ({"a": 1}, {}, "sold out: a"),
    ],
)
def test_sold_out_products_are_named(
    wanted: dict[str, int], available: dict[str, int], expected: str | None
) -> None:
    assert expected == inventory.sold_out(wanted, available)


async def test_a_card_is_charged(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("payment"), make_order()
    expected = (PaymentCharged(order, "payment-o-1"),)
    assert expected == await handle(database, "payment", ChargeCard(order))
    async with database.connect() as connection:
        assert 8900 == await payment.charged_cents(connection)


async def test_a_card_over_its_limit_is_declined_and_not_charged(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("payment"), make_order(quantity=500)
    expected = (PaymentDeclined(order, "card limit exceeded"),)
    assert expected == await handle(database, "payment", ChargeCard(order))
    async with database.connect() as connection:
        assert 0 == await payment.charged_cents(connection)


async def test_an_order_is_shipped(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("shipping"), make_order()
    expected = (OrderShipped(order, "shipment-o-1"),)
    assert expected == await handle(database, "shipping", ShipOrder(order))
    async with database.connect() as connection:
        assert 1 == await shipping.shipments(connection)


async def test_reserved_stock_is_released_once(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("inventory"), make_order(quantity=3)
    await handle(database, "inventory", ReserveInventory(order))
    for attempt in (1, 2):
        released = await handle(database, "inventory", ReleaseInventory(order, attempt))
        assert (StockReleased(order),) == released
    async with database.connect() as connection:
        assert inventory.FIRST_STOCK == await inventory.available("kettle", connection)


async def test_a_card_is_refunded_once(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("payment"), make_order()
    await handle(database, "payment", ChargeCard(order))
    for attempt in (1, 2):
        assert (CardRefunded(order),) == await handle(
            database, "payment", RefundCard(order, attempt)
        )
    async with database.connect() as connection:
        assert 0 == await payment.charged_cents(connection)


async def test_a_parcel_is_recalled(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("shipping"), make_order()
    await handle(database, "shipping", ShipOrder(order))
    assert (ShipmentCancelled(order),) == await handle(database, "shipping", CancelShipment(order))
    async with database.connect() as connection:
        assert 0 == await shipping.shipments(connection)


@pytest.mark.parametrize(
    ("service", "command"),
    [("inventory", ReserveInventory), ("payment", ChargeCard), ("shipping", ShipOrder)],
)
async def test_a_repeated_command_gets_the_same_answer_and_has_one_effect(
    open_service_database: Any,
    make_order: Callable[..., Any],
    handle: Any,
    service: str,
    command: Any,
) -> None:
    database, order = await open_service_database(service), make_order()
    first = await handle(database, service, command(order))
    assert first == await handle(database, service, command(order, 2))
    async with database.connect() as connection:
        if service == "inventory":
            assert inventory.FIRST_STOCK - 2 == await inventory.available("kettle", connection)
        elif service == "payment":
            assert 8900 == await payment.charged_cents(connection)
        else:
            assert 1 == await shipping.shipments(connection)


async def test_a_command_that_arrives_after_its_compensation_is_refused(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    order, because = make_order(), "the order was cancelled"
    for service, undo, do, refused in (
        ("inventory", ReleaseInventory, ReserveInventory, StockRejected),
        ("payment", RefundCard, ChargeCard, PaymentDeclined),
        ("shipping", CancelShipment, ShipOrder, ShippingRefused),
    ):
        database = await open_service_database(service)
        await handle(database, service, undo(order))
        assert (refused(order, because),) == await handle(database, service, do(order))


@pytest.mark.parametrize(
    ("command", "event", "state"),
    [
        (CancelOrder, OrderCancelled, OrderState.CANCELLED),
        (HoldOrder, OrderHeld, OrderState.ON_HOLD),
    ],
)
async def test_a_cancelled_order_has_a_reason(
    open_service_database: Any,
    make_order: Callable[..., Any],
    handle: Any,
    command: Any,
    event: Any,
    state: OrderState,
) -> None:
    database, order = await open_service_database("orders"), make_order()
    await handle(database, "orders", PlaceOrder(order))
    assert (event(order, "no"),) == await handle(database, "orders", command(order, "no"))
    async with database.connect() as connection:
        status = await orders.status_of("o-1", connection)
    assert status is not None
    assert (state, state is OrderState.ON_HOLD, "no") == (
        status.state,
        status.pending,
        status.reason,
    )


async def test_a_customer_is_notified_once_of_each_outcome(
    open_service_database: Any, make_order: Callable[..., Any], handle: Any
) -> None:
    database, order = await open_service_database("notification"), make_order()
    for event in (OrderShipped(order, "s"), OrderCancelled(order, "late")):
        assert (CustomerNotified(order, type(event).__name__),) == await handle(
            database, "notification", event
        )
