"""Analytics: read models of all orders and of what is sold, built from events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from demo_pipeline.domain.order_states import END_STATES, PAID_STATES, OrderState
from demo_pipeline.runtime.projecting import projecting
from demo_pipeline.runtime.service import Service
from demo_pipeline.services.read_models import ORDER_VIEW, ORDERS, PROJECTIONS, READ_MODELS, TABLES
from tracing.sql import inbox_table

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

_ACTIVE: Final = ORDER_VIEW.c.generation == READ_MODELS.active(ORDERS.name)


def declare_read_models(connection: Connection) -> None:
    """Make the read models known to the database.

    In a new database of a new consumer group they are active at once. One that is added to a
    database with history has to be built from the log first, by a replay.
    """
    inbox = inbox_table(TABLES)
    fresh = (
        READ_MODELS.is_empty_in(connection)
        and connection.scalar(select(inbox.c.id).limit(1)) is None
    )
    READ_MODELS.declare_in(connection, PROJECTIONS, fresh=fresh)


def declare_unbuilt_read_models(connection: Connection) -> None:
    """Make the read models known to the database; new ones have to be built by a replay first.

    That is so too in an empty database, if the consumer group has passed records: the database is
    not the one that was filled with them.
    """
    READ_MODELS.declare_in(connection, PROJECTIONS, fresh=False)


async def orders_by_state(connection: AsyncConnection) -> dict[OrderState, int]:
    """Count the orders in each state."""
    counted = await connection.execute(
        select(ORDER_VIEW.c.state, func.count()).where(_ACTIVE).group_by(ORDER_VIEW.c.state)
    )
    return {OrderState(state): number for state, number in counted}


async def revenue_cents(connection: AsyncConnection) -> int:
    """Return the total of all paid orders, in cents."""
    paid = select(func.sum(ORDER_VIEW.c.total_cents)).where(
        _ACTIVE, ORDER_VIEW.c.state.in_(PAID_STATES)
    )
    return await connection.scalar(paid) or 0


async def ended_orders(connection: AsyncConnection) -> dict[str, OrderState] | None:
    """Return all orders that have ended, with their states; `None` if nothing shows them.

    The read model shows none until it is built.
    """
    if await READ_MODELS.active_generation(connection, ORDERS.name) is None:
        return None
    ended = await connection.execute(
        select(ORDER_VIEW.c.order_id, ORDER_VIEW.c.state).where(
            _ACTIVE, ORDER_VIEW.c.state.in_(END_STATES)
        )
    )
    return {order_id: OrderState(state) for order_id, state in ended}


SERVICE: Final = Service(
    name="analytics",
    tables=TABLES,
    fill=declare_read_models,
    fill_late=declare_unbuilt_read_models,
    at_work=projecting("analytics", READ_MODELS, tuple(PROJECTIONS.values())),
    other_topics=ORDERS.topics,
    # No order waits for it.
    commits_per_s=4.0,
)
