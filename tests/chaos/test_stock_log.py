"""The check of the stock's log accepts what the inventory stores, and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from demo_pipeline.domain.commands import ReleaseInventory, ReserveInventory
from demo_pipeline.runtime.database import open_database
from demo_pipeline.services import SERVICES
from demo_pipeline.services.inventory import release, reserve
from tests.chaos.stock_log import stock_log_problems
from tests.demo_pipeline.services.stock_scene import order_of


async def _sell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVENTORY_SNAPSHOT_EVERY", "3")
    service = SERVICES["inventory"]
    url = f"sqlite+aiosqlite:///{folder / 'inventory.sqlite3'}"
    async with open_database(service, url) as database:
        orders = [order_of(f"o-{number}", kettle=1) for number in range(5)]
        for order in orders:
            async with database.begin() as connection:
                await connection.run_sync(
                    lambda plain, order: reserve(ReserveInventory(order), plain), order
                )
        async with database.begin() as connection:
            await connection.run_sync(lambda plain: release(ReleaseInventory(orders[-1]), plain))


async def test_what_the_inventory_stores_has_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _sell(tmp_path, monkeypatch)

    assert [] == list(stock_log_problems(tmp_path))


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (
            "UPDATE stock SET available = 7 WHERE sku = 'kettle'",
            "kettle has 7 in stock, its events have 999996",
        ),
        (
            "UPDATE stock_snapshots SET state = replace(state, ':2,', ':3,') WHERE sequence = 3",
            "snapshot 3 of kettle differs from its events",
        ),
        (
            "DELETE FROM stock_events WHERE sequence = 3",
            "the stream of kettle is broken: event 4 follows event 2",
        ),
        ("DELETE FROM stock_events WHERE sku = 'kettle'", "products without events: kettle"),
        (
            "UPDATE stock_events SET quantity = 2000000 WHERE order_id = 'o-1'",
            "kettle was sold out and sold",
        ),
        (
            "UPDATE reservations SET state = 'released' WHERE order_id = 'o-1'",
            "1 orders got another answer than their events say",
        ),
    ],
)
async def test_a_contradiction_is_named(
    statement: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _sell(tmp_path, monkeypatch)
    with closing(sqlite3.connect(tmp_path / "inventory.sqlite3")) as database, database:
        database.execute(statement)

    assert problem in list(stock_log_problems(tmp_path))
