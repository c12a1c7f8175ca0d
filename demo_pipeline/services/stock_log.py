"""The stock's event store: a stream per product, snapshots of it, and the current stock.

The events are the source of truth. Snapshots and the table `stock` are computed from them, in the
transaction that adds an event, and can be computed again.
"""

from __future__ import annotations

import logging
import os
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import and_, bindparam, func, insert, or_, select, update

from demo_pipeline.domain.stock import (
    FOLD_VERSION,
    BrokenStreamError,
    ProductStock,
    StockChange,
    StockEvent,
    fold,
)
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.errors import DemoError, UsageError
from demo_pipeline.services.stock_history import rebuild, usable_snapshot
from demo_pipeline.services.stock_tables import EVENT_COLUMNS, EVENTS, SNAPSHOTS, STOCK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from demo_pipeline.domain.stock import StockState

SNAPSHOT_EVERY: Final = 20
"""Events between two snapshots: few to read for each order, and few snapshots to write."""

_VARIABLE: Final = "INVENTORY_SNAPSHOT_EVERY"
_DIGITS: Final = 9
_OTHER: Final = SNAPSHOTS.alias()
_NEWEST: Final = (
    select(func.max(_OTHER.c.sequence))
    .where(_OTHER.c.sku == STOCK.c.sku, _OTHER.c.fold_version == FOLD_VERSION)
    .scalar_subquery()
)
_HEAD: Final = (
    select(func.max(EVENTS.c.sequence)).where(EVENTS.c.sku == STOCK.c.sku).scalar_subquery()
)
_IS_NEWEST: Final = and_(
    SNAPSHOTS.c.sku == STOCK.c.sku,
    SNAPSHOTS.c.fold_version == FOLD_VERSION,
    SNAPSHOTS.c.sequence == _NEWEST,
)
# From a product to its newest snapshot: the others are not read.
_SNAPSHOTS: Final = (
    select(SNAPSHOTS.c.sku, SNAPSHOTS.c.sequence, SNAPSHOTS.c.state)
    .select_from(STOCK)
    .join(SNAPSHOTS, _IS_NEWEST)
    .where(STOCK.c.sku.in_(bindparam("skus", expanding=True)))
)
_EVENTS: Final = select(EVENTS.c.sku, *EVENT_COLUMNS).order_by(EVENTS.c.sku, EVENTS.c.sequence)
_LOCK: Final = (
    select(*STOCK.c)
    .where(STOCK.c.sku.in_(bindparam("skus", expanding=True)))
    .order_by(STOCK.c.sku)
    .with_for_update()
)
# Both in one: an order needs its products locked, and their newest snapshots.
_LOCK_WITH_SNAPSHOTS: Final = (
    select(*STOCK.c, SNAPSHOTS.c.sequence, SNAPSHOTS.c.state)
    .select_from(STOCK)
    .outerjoin(SNAPSHOTS, _IS_NEWEST)
    .where(STOCK.c.sku.in_(bindparam("skus", expanding=True)))
    .order_by(STOCK.c.sku)
    .with_for_update(of=STOCK)
)
_ADD: Final = insert(EVENTS)
_CHANGE: Final = (
    update(STOCK).where(STOCK.c.sku == bindparam("of_sku")).values(available=bindparam("pieces"))
)

_logger = logging.getLogger("demo_pipeline.inventory")


def snapshot_every() -> int:
    """Return after how many events of a product a snapshot is made.

    Raises:
        UsageError: `INVENTORY_SNAPSHOT_EVERY` is set, and is no positive number.
    """
    text = os.environ.get(_VARIABLE)
    if not text:
        return SNAPSHOT_EVERY
    if len(text) > _DIGITS or not text.isdecimal() or not int(text):
        raise UsageError(
            f"{_VARIABLE} is {text!r}: use a whole number of events from 1 on, or leave it out "
            f"for {SNAPSHOT_EVERY}"
        )
    return int(text)


def lock(skus: Collection[str], connection: Connection) -> dict[str, int]:
    """Keep other transactions from changing products, until this one ends.

    All lock products in the same sequence, so that two orders never deadlock. SQLite does not lock
    rows: there, the transaction has to begin with a write, which locks the whole database.

    Returns:
        The available pieces of those of the products that exist, as the table `stock` has them.
    """
    rows = connection.execute(_LOCK, {"skus": list(skus)})
    return {row.sku: row.available for row in rows.all()}


def lock_and_load(skus: Collection[str], connection: Connection) -> dict[str, ProductStock]:
    """Do what `lock` and `load` do, with one statement less.

    Raises:
        BrokenStreamError: The events of a product cannot be folded.
    """
    rows: Sequence[Any] = connection.execute(_LOCK_WITH_SNAPSHOTS, {"skus": list(skus)}).all()
    stock = {sku: available for sku, available, _, _ in rows}
    snapshots = [(sku, number, text) for sku, _, number, text in rows if number is not None]
    return _loaded(stock, snapshots, connection)


def load(stock: Mapping[str, int], connection: Connection) -> dict[str, ProductStock]:
    """Load products: the newest usable snapshot of each, and the events after it.

    Args:
        stock: The products, with their available pieces as the table `stock` has them. A product
            without events was stored by a version without a log; its log opens with these pieces.
        connection: The transaction in which they are locked, if they are to change.

    Raises:
        BrokenStreamError: The events of a product cannot be folded.
    """
    if not stock:
        return {}
    snapshots = connection.execute(_SNAPSHOTS, {"skus": list(stock)}).all()
    return _loaded(stock, snapshots, connection)


def _loaded(
    stock: Mapping[str, int], snapshots: Iterable[Sequence[Any]], connection: Connection
) -> dict[str, ProductStock]:
    """Complete products: the state in the snapshot of each, and the events after it."""
    if not stock:
        return {}
    products = {sku: ProductStock(sku) for sku in stock}
    for sku, sequence, text in snapshots:
        state = usable_snapshot(sku, sequence, text)
        if state is None:
            state = rebuild(sku, connection, until=sequence)
        products[sku] = ProductStock(sku, state, state.sequence)
    # A statement of its own: in a join, PostgreSQL does not know that few events are left, and
    # reads them all.
    events = connection.execute(_EVENTS.where(or_(*map(_after_snapshot, products.values()))))
    for sku, *values in events.all():
        product = products[sku]
        product.state = fold((StockEvent(*values),), product.state)
    for sku, product in products.items():
        if not product.state.sequence:
            product.record(StockChange.OPENED, stock[sku], time_ns())
        elif product.state.available != stock[sku]:
            _logger.warning(
                "the current stock of %r is %d, but its events have %d, and the next one corrects "
                "it: does an older version of the inventory run on this database?",
                sku,
                stock[sku],
                product.state.available,
            )
    return products


def save(products: Iterable[ProductStock], connection: Connection) -> None:
    """Store the new events of locked products, the snapshots that are due and the current stock.

    Raises:
        sqlalchemy.exc.IntegrityError: Another transaction has stored an event in the same place.
    """
    changed = sorted((product for product in products if product.new), key=lambda each: each.sku)
    if not changed:
        return
    connection.execute(_ADD, [_row(each.sku, event) for each in changed for event in each.new])
    connection.execute(
        _CHANGE, [{"of_sku": each.sku, "pieces": each.state.available} for each in changed]
    )
    every = snapshot_every()
    for product in changed:
        product.new.clear()
        if product.state.sequence - product.snapshot >= every:
            take_snapshot(product, connection)


def take_snapshot(product: ProductStock, connection: Connection) -> None:
    """Store a snapshot of a locked product, unless there is one of the same event."""
    insert_once(
        connection,
        SNAPSHOTS,
        sku=product.sku,
        fold_version=FOLD_VERSION,
        sequence=product.state.sequence,
        at_ns=product.state.at_ns,
        state=msgspec.json.encode(product.state).decode(),
    )
    product.snapshot = product.state.sequence


def set_up(first: Mapping[str, int], connection: Connection) -> None:
    """Prepare the log: begin the streams that are missing, and make snapshots that are missing.

    The stock of a database without a log is kept: its streams open with the pieces that are there.

    Args:
        first: The pieces of products that do not exist yet.
        connection: The transaction; instances that start together take turns.

    Raises:
        UsageError: `INVENTORY_SNAPSHOT_EVERY` is no positive number.
        DemoError: The events of a product cannot be folded.
    """
    every = snapshot_every()
    products = []
    for sku, pieces in first.items():
        if insert_once(connection, STOCK, sku=sku, available=pieces):
            products.append(ProductStock(sku))
            products[-1].record(StockChange.RECEIVED, pieces, time_ns())
    save(products, connection)
    products.clear()
    existing = connection.scalars(select(STOCK.c.sku))
    stock = lock(existing.all(), connection)
    for sku, (head, snapshot) in _ends(stock, connection).items():
        if not head:
            products.append(ProductStock(sku))
            products[-1].record(StockChange.OPENED, stock[sku], time_ns())
        elif head - snapshot >= every:
            # The fold has changed: an order must not have to wait for the whole stream.
            take_snapshot(ProductStock(sku, _rebuilt(sku, connection)), connection)
    save(products, connection)


def _rebuilt(sku: str, connection: Connection) -> StockState:
    try:
        return rebuild(sku, connection)
    except BrokenStreamError as error:
        raise DemoError(f"the stock of {sku} cannot be rebuilt: {error}") from error


def _ends(skus: Collection[str], connection: Connection) -> dict[str, tuple[int, int]]:
    """Return the last event and the newest snapshot of products, 0 where there is none."""
    rows = connection.execute(select(STOCK.c.sku, _HEAD, _NEWEST).where(STOCK.c.sku.in_(skus)))
    return {sku: (last or 0, snapshot or 0) for sku, last, snapshot in rows.all()}


def _after_snapshot(product: ProductStock) -> ColumnElement[bool]:
    return and_(EVENTS.c.sku == product.sku, EVENTS.c.sequence > product.snapshot)


def _row(sku: str, event: StockEvent) -> dict[str, object]:
    values = (event.sequence, event.change, event.quantity, event.at_ns, event.order_id)
    return {
        "sku": sku,
        **{column.name: value for column, value in zip(EVENT_COLUMNS, values, strict=True)},
    }
