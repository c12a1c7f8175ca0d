"""Check the log of the stock: rebuild every product from its events, and compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import case, func, or_, select

from demo_pipeline.app.stock_status import one_moment, products
from demo_pipeline.domain.stock import EMPTY, FOLD_VERSION, BrokenStreamError, StockChange, fold
from demo_pipeline.report.wording import counted
from demo_pipeline.services.inventory import RESERVATIONS, RESERVED
from demo_pipeline.services.stock_history import decoded_snapshot, history
from demo_pipeline.services.stock_log import load
from demo_pipeline.services.stock_tables import EVENTS, SNAPSHOTS, STOCK

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.domain.stock import StockState

_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductCheck:
    """What a product's stream says, and what contradicts it.

    Attributes:
        sku: The product.
        events: The number of its events.
        snapshots: The number of its snapshots of this version of the fold.
        available: The pieces that can be reserved, from all events.
        problems: What differs or is impossible, one line each.
    """

    sku: str
    events: int
    snapshots: int
    available: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StockCheck:
    """The result of a check.

    Attributes:
        products: All products, by name.
        problems: What is wrong with orders, one line each.
    """

    products: tuple[ProductCheck, ...]
    problems: tuple[str, ...]

    @property
    def all_problems(self) -> tuple[str, ...]:
        """All problems, those of products with the product's name."""
        named = [f"{each.sku}: {line}" for each in self.products for line in each.problems]
        return (*named, *self.problems)


async def verified(database: AsyncEngine) -> StockCheck:
    """Rebuild every product from its first event; compare with snapshots, stock and orders.

    All is read as it is at one moment, so services may go on.

    Raises:
        DemoError: The database has no log of the stock.
    """
    async with one_moment(database) as connection:
        return await connection.run_sync(_checked)


def _checked(connection: Connection) -> StockCheck:
    return StockCheck(
        products=tuple(_product(sku, connection) for sku in products(connection)),
        problems=tuple(_orders(connection)),
    )


def _product(sku: str, connection: Connection) -> ProductCheck:
    problems: list[str] = []
    snapshots = _snapshots(sku, connection)
    number, state = len(snapshots), EMPTY
    try:
        for event in history(sku, connection):
            before, state = state, fold((event,), state)
            problems += _impossible(before, state)
            if state.sequence in snapshots:
                problems += _compared(
                    f"snapshot {state.sequence}", snapshots.pop(state.sequence), state
                )
    except BrokenStreamError as error:
        problems.append(str(error))
    else:
        problems += [f"snapshot {sequence} is of no event" for sequence in snapshots]
        problems += _live(sku, state, connection)
    return ProductCheck(
        sku=sku,
        events=state.sequence,
        snapshots=number,
        available=state.available,
        problems=tuple(problems),
    )


def _snapshots(sku: str, connection: Connection) -> dict[int, StockState | None]:
    """Return the states in a product's snapshots, by event; `None` if one is damaged."""
    rows = connection.execute(
        select(SNAPSHOTS.c.sequence, SNAPSHOTS.c.state)
        .where(SNAPSHOTS.c.sku == sku, SNAPSHOTS.c.fold_version == FOLD_VERSION)
        .order_by(SNAPSHOTS.c.sequence)
    )
    return {sequence: decoded_snapshot(sequence, text) for sequence, text in rows.all()}


def _impossible(before: StockState, state: StockState) -> list[str]:
    """Return what cannot have happened between two states."""
    problems = []
    if state.available < 0 <= before.available:
        problems.append(f"event {state.sequence} sells more than there is: {state.available} left")
    if state.at_ns < before.at_ns:
        problems.append(f"event {state.sequence} is older than event {before.sequence}")
    return problems


def _compared(what: str, other: StockState | None, state: StockState) -> list[str]:
    if other == state:
        return []
    if other is None:
        return [f"{what} is damaged"]
    return [f"{what} has {other.available} available, its events have {state.available}"]


def _live(sku: str, state: StockState, connection: Connection) -> list[str]:
    """Compare with the state that the service loads, and with the table of the current stock."""
    row = connection.execute(select(STOCK.c.available).where(STOCK.c.sku == sku))
    available = row.scalar_one_or_none()
    if available is None:
        return ["has events and is missing in the current stock"]
    if not state.sequence:
        return ["has stock and no events"]
    loaded = load({sku: state.available}, connection)[sku].state
    problems = _compared("the service", loaded, state)
    if available != state.available:
        problems.append(
            f"the current stock has {available} available, its events have {state.available}"
        )
    return problems


def _orders(connection: Connection) -> list[str]:
    """Compare what the events hold for each order with the answer that the order got."""
    held = (
        select(
            EVENTS.c.order_id,
            func.sum(
                case(
                    (EVENTS.c.change == StockChange.RESERVED, EVENTS.c.quantity),
                    (EVENTS.c.change == StockChange.RELEASED, -EVENTS.c.quantity),
                    else_=0,
                )
            ).label("pieces"),
        )
        .where(EVENTS.c.order_id.is_not(None))
        .group_by(EVENTS.c.order_id)
        .subquery()
    )
    state = func.coalesce(RESERVATIONS.c.state, "unknown")
    rows = connection.execute(
        select(held.c.order_id)
        .select_from(held)
        .outerjoin(RESERVATIONS, RESERVATIONS.c.order_id == held.c.order_id)
        .where(
            or_(
                (held.c.pieces > 0) & (state != RESERVED),
                # Orders that are older than the log have a release without a reservation.
                (held.c.pieces <= 0) & (state == RESERVED),
            )
        )
        .order_by(held.c.order_id)
    )
    orders = rows.scalars().all()
    if not orders:
        return []
    named = ", ".join(orders[:_NAMED]) + (", ..." if len(orders) > _NAMED else "")
    return [f"{counted(len(orders), 'order')} got another answer than the events say: {named}"]
