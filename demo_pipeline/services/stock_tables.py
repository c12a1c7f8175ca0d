"""The tables of the stock: events, snapshots and the current stock."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

TABLES: Final = MetaData()
STOCK: Final = Table(
    "stock",
    TABLES,
    Column("sku", String(64), primary_key=True),
    Column("available", Integer, nullable=False),
)
EVENTS: Final = Table(
    "stock_events",
    TABLES,
    # Two writers that miss each other's event cannot both store one: the second fails.
    Column("sku", String(64), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("change", String(16), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("order_id", String(64)),
)
SNAPSHOTS: Final = Table(
    "stock_snapshots",
    TABLES,
    Column("sku", String(64), primary_key=True),
    Column("fold_version", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)
EVENT_COLUMNS: Final = tuple(
    EVENTS.c[name] for name in ("sequence", "change", "quantity", "at_ns", "order_id")
)
"""The columns of a `StockEvent`, in the order of its fields."""
