"""Orders: accepts orders and tracks their states."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, insert, select, update

from demo_pipeline.domain.commands import CancelOrder, HoldOrder, PlaceOrder
from demo_pipeline.domain.events import (
    CardRefunded,
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
from demo_pipeline.domain.messages import Together
from demo_pipeline.domain.notices import OrderLink, OrderPlacedNotice
from demo_pipeline.domain.order_states import (
    END_STATES,
    PENDING_STATES,
    STAGE,
    STATE_AFTER,
    OrderState,
)
from demo_pipeline.runtime.consuming import record_handler
from demo_pipeline.runtime.service import Service, Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiokafka.structs import ConsumerRecord
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event
    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.service_context import ServiceContext

_MAX_REASON: Final = 400
_DELIVERY: Final = timedelta(days=3)
_BETWEEN_LOOKS_S: Final = 1.0

_TABLES = MetaData()
_ORDERS = Table(
    "orders",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("total_cents", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("reason", String(_MAX_REASON)),
)


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """The status of an order, as the customer sees it.

    Attributes:
        order_id: Its id.
        user_id: The customer.
        total_cents: Its total, in cents.
        state: Its state.
        pending: Whether its outcome is still open.
        reason: Why it was cancelled or is on hold.
    """

    order_id: str
    user_id: str
    total_cents: int
    state: OrderState
    pending: bool
    reason: str | None = None


_ADD: Final = insert(_ORDERS)
_MOVE: Final = (
    update(_ORDERS)
    .where(_ORDERS.c.order_id == bindparam("of_order"), _ORDERS.c.stage < bindparam("to_stage"))
    .values(state=bindparam("to_state"), stage=bindparam("to_stage"))
)
_MOVE_BECAUSE: Final = _MOVE.values(reason=bindparam("because"))


def place_order(command: PlaceOrder, connection: Connection) -> tuple[Event, ...]:
    """Accept an order."""
    order = command.order
    values = {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "total_cents": order.total_cents,
        "state": OrderState.PLACED,
        "stage": STAGE[OrderState.PLACED],
    }
    connection.execute(_ADD, values)
    promised_on = datetime.now(UTC).date() + _DELIVERY
    return (OrderPlaced(order, promised_on=promised_on),)


def place_order_with_notice(command: PlaceOrder, connection: Connection) -> tuple[Message, ...]:
    """Accept an order; publish a notice of it beside the event."""
    placed = place_order(command, connection)
    return (*placed, OrderPlacedNotice(OrderLink(command.order.order_id, "/orders")))


def cancel(command: CancelOrder, connection: Connection) -> tuple[Event, ...]:
    """Mark an order as cancelled."""
    order, reason = command.order, command.reason
    _move(order.order_id, OrderState.CANCELLED, connection, reason)
    return (OrderCancelled(order, reason),)


def hold(command: HoldOrder, connection: Connection) -> tuple[Event, ...]:
    """Put an order on hold until a human looks at it, unless it is cancelled already."""
    order, reason = command.order, command.reason
    held = _move(order.order_id, OrderState.ON_HOLD, connection, reason)
    return (OrderHeld(order, reason),) if held else ()


def follow(events: Sequence[Event], connection: Connection) -> list[tuple[Message, ...]]:
    """Move orders to the states that events lead to; ignore unknown orders."""
    connection.execute(
        _MOVE, [_moving(each.order.order_id, STATE_AFTER[type(each)]) for each in events]
    )
    return [()] * len(events)


async def status_of(order_id: str, connection: AsyncConnection) -> OrderStatus | None:
    """Return the status of an order; `None` if there is no order of this id."""
    columns = _ORDERS.c
    rows = await connection.execute(
        select(
            columns.order_id, columns.user_id, columns.total_cents, columns.state, columns.reason
        ).where(columns.order_id == order_id)
    )
    row = rows.one_or_none()
    if row is None:
        return None
    state = OrderState(row.state)
    return OrderStatus(
        row.order_id, row.user_id, row.total_cents, state, state in PENDING_STATES, row.reason
    )


async def ended_orders(connection: AsyncConnection) -> frozenset[str]:
    """Return the ids of all orders that have ended."""
    ended = await connection.scalars(
        select(_ORDERS.c.order_id).where(_ORDERS.c.state.in_(END_STATES))
    )
    return frozenset(ended)


def _move(
    order_id: str, state: OrderState, connection: Connection, reason: str | None = None
) -> bool:
    """Move an order to a later state; return whether it moved."""
    values = _moving(order_id, state)
    if reason is None:
        moved = connection.execute(_MOVE, values)
    else:
        moved = connection.execute(_MOVE_BECAUSE, {**values, "because": reason[:_MAX_REASON]})
    return bool(moved.rowcount)


def _moving(order_id: str, state: OrderState) -> dict[str, object]:
    return {"of_order": order_id, "to_state": state, "to_stage": STAGE[state]}


@asynccontextmanager
async def at_work(context: ServiceContext) -> AsyncIterator[Work]:
    """Follow the orders during the block; note how long their states take, for customers."""
    follow_on = record_handler(SERVICE, context, partial(_noted, context))

    async def handle(record: ConsumerRecord[Any, Any]) -> None:
        context.ends.received(record)
        await follow_on(record)
        context.ends.handled(record)

    looking = asyncio.create_task(_look(context))
    try:
        yield Work(handle)
    finally:
        looking.cancel()
        await asyncio.wait({looking})


async def _look(context: ServiceContext) -> None:
    while True:
        await context.ends.update()
        await asyncio.sleep(_BETWEEN_LOOKS_S)


def _noted(context: ServiceContext, message: Message, at_ms: int) -> None:
    """Note the state that a message led to, and wake those who wait for it."""
    order_id, kind = message.order.order_id, type(message)
    state = _STATES.get(kind)
    if state is not None:
        context.durations.moved(order_id, state, at_ms / 1000)
    context.arrivals.announce(order_id)


_STATES: Final[dict[type, OrderState]] = {
    **STATE_AFTER,
    CancelOrder: OrderState.CANCELLED,
    HoldOrder: OrderState.ON_HOLD,
}
_FOLLOWED: Final = (
    StockReserved, StockRejected, StockReleased, PaymentCharged, PaymentDeclined, CardRefunded,
    OrderShipped, ShippingRefused, ShipmentCancelled,
)  # fmt: skip

SERVICE: Final = Service(
    name="orders",
    tables=_TABLES,
    handlers={
        PlaceOrder: place_order,
        CancelOrder: cancel,
        HoldOrder: hold,
        **dict.fromkeys(_FOLLOWED, Together(follow)),
    },
    at_work=at_work,
    # A new order waits for nothing, and takes along what its customer may see a moment later.
    commits_per_s=10.0,
)
