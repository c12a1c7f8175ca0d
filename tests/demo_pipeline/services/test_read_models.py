from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.structs import ConsumerRecord
from sqlalchemy import delete, select

import tracing
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.events import (
    CustomerNotified,
    Order,
    OrderCancelled,
    OrderLine,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    StockRejected,
    StockReserved,
)
from demo_pipeline.domain.order_states import OrderState
from demo_pipeline.domain.topics import TOPIC_OF, key_of
from demo_pipeline.runtime.database import open_database
from demo_pipeline.runtime.projecting import projector
from demo_pipeline.services import SERVICES, analytics
from demo_pipeline.services.read_models import (
    ORDER_VIEW,
    PRODUCT_SALES,
    PROJECTIONS,
    READ_MODELS,
    product_rows,
)
from tracing.replay import Position

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.service_context import ServiceContext

    Record = ConsumerRecord[Any, Any]


@pytest.fixture
async def context(open_context: Callable[[str], Awaitable[ServiceContext]]) -> ServiceContext:
    return await open_context("analytics")


async def _record_of(message: Message, offset: int, value: bytes | None = None) -> Record:
    value = Codec().encode(message) if value is None else value
    return ConsumerRecord(
        topic=TOPIC_OF[type(message)], partition=0, offset=offset, timestamp=1000 + offset,
        timestamp_type=0, key=key_of(message), value=value,
        checksum=None, serialized_key_size=0, serialized_value_size=0,
        headers=cast("Any", (*headers_of(message), ("ce_source", b"/test"))),
    )  # fmt: skip


async def _handle(context: ServiceContext, *records: Record) -> None:
    projections = tuple(PROJECTIONS.values())
    handle = projector("analytics", READ_MODELS, projections, context)
    for record in records:
        await handle(record)


async def _rows(context: ServiceContext, table: Any, *columns: str) -> list[tuple[Any, ...]]:
    chosen = [table.c[name] for name in columns]
    async with context.database.connect() as connection:
        return [tuple(row) for row in await connection.execute(select(*chosen).order_by(*chosen))]


async def test_analytics_counts_orders_and_revenue_whatever_the_order_of_events(
    context: ServiceContext, make_order: Callable[..., Order]
) -> None:
    first, second, third = make_order("o-1"), make_order("o-2"), make_order("o-3")
    events: tuple[Message, ...] = (
        OrderShipped(first, "s"),
        OrderPlaced(first),
        PaymentCharged(second, "p"),
        OrderPlaced(second),
        PaymentCharged(second, "p"),
        OrderPlaced(third),
        OrderCancelled(third, "no"),
        PaymentDeclined(third, "no"),
    )
    await _handle(
        context, *[await _record_of(event, offset) for offset, event in enumerate(events)]
    )
    async with context.database.connect() as connection:
        assert {
            OrderState.SHIPPED: 1,
            OrderState.PAID: 1,
            OrderState.CANCELLED: 1,
        } == await analytics.orders_by_state(connection)
        assert 2 * 8900 == await analytics.revenue_cents(connection)
        assert {
            "o-1": OrderState.SHIPPED,
            "o-3": OrderState.CANCELLED,
        } == await analytics.ended_orders(connection)


def test_the_lines_of_one_product_count_together(make_order: Callable[..., Order]) -> None:
    lines = (OrderLine("cup", 1, 700), OrderLine("pot", 2, 3000), OrderLine("cup", 3, 600))
    order = Order("o-1", "u", lines, 8500, "card", "street")

    assert [("cup", 4, 2500), ("pot", 2, 6000)] == [
        (row["sku"], row["units"], row["revenue_cents"]) for row in product_rows(OrderPlaced(order))
    ]


@pytest.mark.parametrize("seed", range(5))
async def test_the_rows_depend_neither_on_the_order_nor_on_the_grouping_of_events(
    open_context: Any, make_order: Callable[..., Order], seed: int
) -> None:
    context = await open_context("analytics")
    chance = random.Random(seed)
    events: list[Message] = []
    for number in range(20):
        order = make_order(f"o-{number}", sku=chance.choice(("kettle", "cup")))
        story: Sequence[Message] = (
            OrderPlaced(order), StockReserved(order, "r"), PaymentCharged(order, "p"),
            OrderShipped(order, "s"), StockRejected(order, "no"), OrderCancelled(order, "no"),
            CustomerNotified(order, "OrderShipped"),
        )  # fmt: skip
        events += story[: chance.randrange(1, len(story) + 1)]
    expected = None
    for generation in (1, 2, 3):
        shuffled = [*events, *chance.sample(events, 5)]
        chance.shuffle(shuffled)
        async with context.database.begin() as connection:
            for projection in PROJECTIONS.values():
                left = list(shuffled)
                while left:
                    size = chance.choice((1, 3, 50))
                    await projection.apply(connection, generation, left[:size])
                    left = left[size:]
        rows = [
            await _rows(
                context, table, *(each.name for each in table.columns if each.name != "generation")
            )
            for table in (ORDER_VIEW, PRODUCT_SALES)
        ]
        expected = expected or rows
        assert expected == rows
        async with context.database.begin() as connection:
            await connection.execute(delete(ORDER_VIEW))
            await connection.execute(delete(PRODUCT_SALES))


async def test_every_record_moves_the_positions_and_only_events_of_interest_change_rows(
    context: ServiceContext, make_order: Callable[..., Order]
) -> None:
    order = make_order()
    unknown = await _record_of(OrderPlaced(order), 7, b"?")
    unknown = ConsumerRecord(
        **{
            **{name: getattr(unknown, name) for name in unknown.__dataclass_fields__},
            "headers": (),
        }
    )
    # The second one is a duplicate.
    await _handle(
        context,
        await _record_of(OrderPlaced(order), 5),
        await _record_of(OrderPlaced(order), 6),
        unknown,
    )

    async with context.database.connect() as connection:
        positions = await READ_MODELS.positions(connection, "orders")
        assert {("orders.events", 0): Position(8, 1007)} == positions
        assert positions == await READ_MODELS.positions(connection, "products")
    assert [("o-1", "placed")] == await _rows(context, ORDER_VIEW, "order_id", "state")


async def test_an_undecodable_record_changes_neither_rows_nor_positions(
    context: ServiceContext, make_order: Callable[..., Order]
) -> None:
    with pytest.raises(tracing.UndecodableRecord):
        await _handle(context, await _record_of(OrderPlaced(make_order()), 0, b"\0"))

    async with context.database.connect() as connection:
        assert {} == await READ_MODELS.positions(connection, "orders")


async def test_a_read_model_that_is_added_to_a_database_with_history_stays_empty_until_it_is_built(
    context: ServiceContext, make_order: Callable[..., Order], caplog: pytest.LogCaptureFixture
) -> None:
    await _handle(context, await _record_of(OrderPlaced(make_order("o-1")), 0))
    models = READ_MODELS.tables.models
    async with context.database.begin() as connection:
        await connection.execute(delete(models).where(models.c.name == "products"))
        await connection.execute(delete(PRODUCT_SALES))
    # As at the next start.
    fill, at_work = SERVICES["analytics"].fill, SERVICES["analytics"].at_work
    assert fill is not None
    assert at_work is not None
    async with context.database.begin() as connection:
        await connection.run_sync(fill)
    async with at_work(context):
        await _handle(context, await _record_of(OrderPlaced(make_order("o-2")), 1))
    unbuilt = [each.message for each in caplog.records if "is new in this" in each.message]
    (line,) = unbuilt
    assert line.startswith("the read model products is new in this database and lacks")
    assert line.endswith("python -m demo_pipeline replay --read-model products")

    async with context.database.connect() as connection:
        assert 1 == await READ_MODELS.active_generation(connection, "orders")
        assert None is await READ_MODELS.active_generation(connection, "products")
        # What it passed is known, so that a replay knows how far it has to come.
        assert {("orders.events", 0): Position(2, 1001)} == await READ_MODELS.positions(
            connection, "products"
        )
    assert [("o-1",), ("o-2",)] == await _rows(context, ORDER_VIEW, "order_id")
    assert [] == await _rows(context, PRODUCT_SALES, "order_id")


async def test_a_database_from_before_the_read_models_has_to_be_built_from_history(
    context: ServiceContext, make_order: Callable[..., Order]
) -> None:
    await _handle(context, await _record_of(OrderPlaced(make_order()), 0))
    fill = SERVICES["analytics"].fill
    assert fill is not None
    async with context.database.begin() as connection:
        await connection.execute(delete(READ_MODELS.tables.models))
        await connection.run_sync(fill)

    async with context.database.connect() as connection:
        assert None is await READ_MODELS.active_generation(connection, "orders")
        assert None is await analytics.ended_orders(connection)


@pytest.mark.parametrize(("late", "active"), [(False, 1), (True, None)])
async def test_read_models_of_an_empty_database_are_active_unless_the_group_came_before_it(
    tmp_path: Path, *, late: bool, active: int | None
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/new.sqlite3"
    async with open_database(SERVICES["analytics"], url, late=late):
        pass
    # At a restart, the group has committed; that changes nothing any more.
    async with (
        open_database(SERVICES["analytics"], url, late=True) as database,
        database.connect() as connection,
    ):
        assert active == await READ_MODELS.active_generation(connection, "orders")
