"""Measure how the length of a product's log changes the time of an order in the demo's inventory.

`python -m benchmarks.stock_log` stores logs of growing length, with snapshots, in SQLite. It times
reservations, which read the newest snapshot and the events after it, and a rebuild from the first
event.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert

from demo_pipeline.domain.commands import ReserveInventory
from demo_pipeline.domain.events import Order, OrderLine
from demo_pipeline.domain.stock import StockChange
from demo_pipeline.runtime.database import open_database
from demo_pipeline.services import SERVICES
from demo_pipeline.services.inventory import reserve
from demo_pipeline.services.stock_history import rebuild
from demo_pipeline.services.stock_log import SNAPSHOT_EVERY, load, lock, save
from demo_pipeline.services.stock_tables import EVENTS

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.domain.stock import ProductStock

_SKU: Final = "kettle"
_LENGTHS: Final = (100, 10_000, 1_000_000)
_ORDERS: Final = 200
_CHUNK: Final = 1000


async def lengthen(database: AsyncEngine, length: int) -> None:
    """Add events to the log until it is this long, and a snapshot."""
    async with database.begin() as connection:
        product = await connection.run_sync(_product)
        while product.state.sequence < length - 1:
            missing = length - 1 - product.state.sequence
            for number in range(min(_CHUNK, missing)):
                change = StockChange.RELEASED if number % 2 else StockChange.RESERVED
                product.record(change, 1, 0)
            rows = [
                {
                    "sku": _SKU,
                    "sequence": event.sequence,
                    "change": event.change,
                    "quantity": event.quantity,
                    "at_ns": event.at_ns,
                    "order_id": f"o-{event.sequence}",
                }
                for event in product.new
            ]
            await connection.execute(insert(EVENTS), rows)
            product.new.clear()
        product.record(StockChange.RECEIVED, 1, 0)
        await connection.run_sync(lambda plain: save([product], plain))


async def reserving_s(database: AsyncEngine, length: int) -> float:
    """Return how long a reservation takes, in seconds: the median of many."""
    took = []
    for number in range(_ORDERS):
        line = OrderLine(_SKU, 1, 4450)
        order = Order(f"{length}-{number}", "user-07", (line,), 4450, "card-07", "Harbour")
        started = perf_counter()
        async with database.begin() as connection:
            await connection.run_sync(
                lambda plain, command: reserve(command, plain), ReserveInventory(order)
            )
        took.append(perf_counter() - started)
    return statistics.median(took)


async def rebuilding_s(database: AsyncEngine) -> float:
    """Return how long a rebuild from the first event takes, in seconds."""
    started = perf_counter()
    async with database.connect() as connection:
        await connection.run_sync(lambda plain: rebuild(_SKU, plain))
    return perf_counter() - started


async def measure(folder: Path) -> None:
    """Print a line for each length."""
    url = f"sqlite+aiosqlite:///{folder / 'inventory.sqlite3'}"
    print(f"a snapshot after every {SNAPSHOT_EVERY} events; SQLite")
    print(f"{'events':>10}  {'one order, ms':>14}  {'from the first event, ms':>25}")
    async with open_database(SERVICES["inventory"], url) as database:
        for length in _LENGTHS:
            await lengthen(database, length)
            order_ms = 1000 * await reserving_s(database, length)
            print(
                f"{length:>10,}  {order_ms:>14.2f}  {1000 * await rebuilding_s(database):>25,.1f}"
            )


def _product(connection: Connection) -> ProductStock:
    return load(lock([_SKU], connection), connection)[_SKU]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(measure(Path(name)))
