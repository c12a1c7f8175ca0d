from __future__ import annotations

from pathlib import Path

from tests.demo_pipeline.services.stock_rush import check_a_rush


async def test_instances_that_share_a_file_never_sell_more_than_there_is(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'inventory.sqlite3'}"
    await check_a_rush(url, instances=3, orders=40)
