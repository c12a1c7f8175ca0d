"""The read models of analytics: tables, and folds over events that need no order between topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Index, Integer, MetaData, String, Table

from demo_pipeline.domain.events import Event
from demo_pipeline.domain.order_states import STAGE, STATE_AFTER
from demo_pipeline.domain.topics import TOPIC_OF
from tracing.sql import Projection, SqlProjections, keep_highest_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from demo_pipeline.domain.messages import Message

TABLES: Final = MetaData()
"""The tables of analytics."""
READ_MODELS: Final = SqlProjections(metadata=TABLES)
"""Which generation of each read model is active, and how far it is."""

ORDER_VIEW: Final = Table(
    "order_view",
    TABLES,
    Column("generation", Integer, primary_key=True),
    Column("order_id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("total_cents", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    # The number of the state: an event that leads to an earlier one changes nothing.
    Column("stage", Integer, nullable=False),
    Index("order_view_user", "generation", "user_id"),
)
PRODUCT_SALES: Final = Table(
    "product_sales",
    TABLES,
    Column("generation", Integer, primary_key=True),
    # A row per order and product, so that an event that comes twice counts once.
    Column("order_id", String(64), primary_key=True),
    Column("sku", String(64), primary_key=True),
    Column("units", Integer, nullable=False),
    Column("revenue_cents", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stage", Integer, nullable=False),
    Index("product_sales_product", "generation", "sku"),
)


def order_rows(event: Event) -> Iterator[Mapping[str, str | int]]:
    """Return what an event says of its order: the whole order, and the state that it leads to."""
    order, state = event.order, STATE_AFTER[type(event)]
    yield {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "total_cents": order.total_cents,
        "state": state.value,
        "stage": STAGE[state],
    }


def product_rows(event: Event) -> Iterator[Mapping[str, str | int]]:
    """Return what an event says of the sales of each product of its order."""
    order, state = event.order, STATE_AFTER[type(event)]
    units: dict[str, int] = {}
    cents: dict[str, int] = {}
    for line in order.lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
        cents[line.sku] = cents.get(line.sku, 0) + line.quantity * line.unit_price_cents
    for sku, number in units.items():
        yield {
            "order_id": order.order_id,
            "sku": sku,
            "units": number,
            "revenue_cents": cents[sku],
            "state": state.value,
            "stage": STAGE[state],
        }


def _fold(
    rows_of: Callable[[Event], Iterator[Mapping[str, str | int]]],
    generation: int,
    events: Sequence[Message],
) -> Iterator[Mapping[str, str | int]]:
    """Return the rows of the events that lead to a state."""
    for event in events:
        if isinstance(event, Event) and type(event) in STATE_AFTER:
            for row in rows_of(event):
                yield {"generation": generation, **row}


def _apply_orders(connection: Connection, generation: int, events: Sequence[Message]) -> None:
    rows = _fold(order_rows, generation, events)
    keep_highest_in(connection, ORDER_VIEW, rows, rank="stage")


def _apply_products(connection: Connection, generation: int, events: Sequence[Message]) -> None:
    rows = _fold(product_rows, generation, events)
    keep_highest_in(connection, PRODUCT_SALES, rows, rank="stage")


_TOPICS: Final = tuple(sorted({TOPIC_OF[event] for event in STATE_AFTER}))
ORDERS: Final = Projection.plain("orders", _TOPICS, (ORDER_VIEW,), _apply_orders)
"""All orders with their states; it serves the orders of a user too."""
PRODUCTS: Final = Projection.plain("products", _TOPICS, (PRODUCT_SALES,), _apply_products)
"""Units and revenue of each product."""
PROJECTIONS: Final[Mapping[str, Projection]] = {each.name: each for each in (ORDERS, PRODUCTS)}
"""The read models by name."""
