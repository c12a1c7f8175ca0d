"""The rows of read models in a form that the same rows always have, for comparison."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

TABLES: Final = {"orders": "order_view", "products": "product_sales"}
"""The table of each read model."""


def query(file: Path, statement: str) -> list[Any]:
    """Query a database."""
    with closing(sqlite3.connect(file, timeout=30)) as database:
        return database.execute(statement).fetchall()


def canonical(file: Path, read_model: str) -> bytes:
    """Return the active rows of a read model, sorted, without the number of their generation."""
    table = TABLES[read_model]
    columns = [row[1] for row in query(file, f"PRAGMA table_info({table})")]
    rows = query(
        file,
        f"SELECT {', '.join(columns[1:])} FROM {table} WHERE generation ="  # noqa: S608 - our own names
        f" (SELECT active FROM projection_models WHERE name = '{read_model}') ORDER BY 1, 2, 3",
    )
    return b"\n".join(json.dumps(row).encode() for row in rows)
