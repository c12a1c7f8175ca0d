"""The examples of the guide, as they stand there."""

from __future__ import annotations

import ast
import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import MetaData, select

import tracing.replay
from tests.docs.pages import ROOT, blocks_of
from tests.tracing.replay.doubles import VIEW, Log, LogSource, Record, decode
from tests.tracing.sql.conftest import sqlite_engine
from tracing import TracedConsumer
from tracing.replay import LogPartition
from tracing.sql import keep_highest
from tracing.testing import InMemoryBroker, InMemoryConsumer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing import Telemetry

GUIDE: Final = ROOT / "docs" / "guides" / "replay.md"


def _examples() -> list[str]:
    return [block.source for block in blocks_of(GUIDE)]


async def _run(code: str, names: dict[str, Any]) -> None:
    compiled = compile(code, GUIDE, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(compiled, names)  # noqa: S307 - our own documentation
    if running is not None:
        await running


async def test_the_examples_make_a_read_model_apply_a_record_and_replay_it(
    telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = MetaData()
    order_view = VIEW.to_metadata(metadata)
    record = Record("orders.events", 0, 0, 1000, b"a=1")
    log = Log({LogPartition("orders.events", 0): [record]})

    async def apply(connection: AsyncConnection, generation: int, events: Sequence[Any]) -> None:
        rows = [{"generation": generation, "key": key, "value": value} for key, value in events]
        await keep_highest(connection, order_view, rows, rank="value")

    @asynccontextmanager
    async def kafka_source(bootstrap_servers: str) -> AsyncIterator[LogSource]:
        yield LogSource(log)

    monkeypatch.setattr(tracing.replay, "kafka_source", kafka_source)
    engine = sqlite_engine(tmp_path / "test.sqlite3")
    names: dict[str, Any] = {
        "metadata": metadata,
        "order_view": order_view,
        "apply": apply,
        "engine": engine,
        "fresh": True,
        "record": record,
        "event": await decode(record),
        "decode": decode,
        "telemetry": telemetry,
        "servers": "localhost:9092",
        "consumer": TracedConsumer(
            InMemoryConsumer("orders.events", broker=InMemoryBroker()), telemetry
        ),
        "asyncio": asyncio,
    }
    live, replayed, measured = _examples()

    async def rows() -> list[tuple[Any, ...]]:
        async with engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(select(order_view))]

    try:
        # The tables exist before the first block of the example that uses them.
        made, _, rest = live.partition("\nasync with ")
        await _run(made, names)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        await _run(f"async with {rest}", names)
        applied = await rows()
        await _run(replayed, names)
        await _run(measured, names)
        await asyncio.sleep(0)
        running = not names["measuring"].done()
        names["measuring"].cancel()
        await asyncio.wait([names["measuring"]])

        assert running
        assert [(1, "a", 1)] == applied
        assert [(2, "a", 1)] == await rows()
    finally:
        await engine.dispose()
