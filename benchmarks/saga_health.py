"""Measure the cost of reading the health of sagas in a metric collection.

`python -m benchmarks.saga_health` fills a store with many ended and some active sagas, on SQLite or
on the database of `--database-url`, which must be empty. It times collections of all saga metrics
in the collecting thread. Memory is the growth of the process's high-water mark, so another process
fills the store.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter, time_ns

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import MetaData, insert
from sqlalchemy.ext.asyncio import create_async_engine

from tracing import SagaTracker, Telemetry
from tracing.sql import SqlSagas

_CHUNK = 5000
_HOUR_NS = 3_600_000_000_000
_STATES = ("reserve-inventory", "charge-card", "ship-order", "release-inventory")
_OUTCOMES = ("completed", "completed", "completed", "compensated", "failed")


def row(number: int, *, ended: bool, now_ns: int) -> dict[str, object]:
    """Return the row of a made-up saga."""
    started_ns = now_ns - (number % 1000 + 1) * 60_000_000_000
    outcome = _OUTCOMES[number % len(_OUTCOMES)] if ended else None
    return {
        "saga": "place-order",
        "saga_id": f"{'ended' if ended else 'active'}-{number:08}",
        "state": outcome or _STATES[number % len(_STATES)],
        "context": '[1,"x",1,[["traceparent","00-' + "1" * 32 + "-" + "2" * 16 + '-01"]]]',
        "started_ns": started_ns,
        "deadline_ns": started_ns + _HOUR_NS,
        "moved_ns": started_ns,
        "ended_ns": started_ns + 1_000_000 if ended else None,
        "outcome": outcome,
        "reason": None,
    }


async def fill(url: str, ended: int, active: int) -> None:
    """Store sagas and their totals."""
    now_ns = time_ns()
    metadata = MetaData()
    tables = SqlSagas(metadata=metadata).tables
    engine = create_async_engine(url)
    totals = [("started", "", ended + active)]
    totals += [("ended", outcome, ended // 5 * count) for outcome, count in
               (("completed", 3), ("compensated", 1), ("failed", 1))]  # fmt: skip
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        for is_ended, number in ((True, ended), (False, active)):
            for first in range(0, number, _CHUNK):
                numbers = range(first, min(first + _CHUNK, number))
                rows = [row(each, ended=is_ended, now_ns=now_ns) for each in numbers]
                await connection.execute(insert(tables.sagas), rows)
        rows = [
            {"saga": "place-order", "figure": figure, "label": label, "slot": slot, "number": n}
            for figure, label, total in totals
            for slot, n in enumerate([total // 16] * 16)
        ]
        await connection.execute(insert(tables.totals), rows)
    await engine.dispose()


def fill_elsewhere(url: str, ended: int, active: int) -> None:
    """Fill the store, in another process."""
    asyncio.run(fill(url, ended, active))


async def measure(url: str, *, rounds: int) -> tuple[list[float], float]:
    """Collect `rounds` times; return the milliseconds of each, and the MB of all together."""
    engine = create_async_engine(url, pool_size=1, max_overflow=0)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    try:
        telemetry = Telemetry("orders", meter_provider=provider)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tracker = SagaTracker("place-order", telemetry, health=SqlSagas().on(engine))

        def collect() -> float:
            started = perf_counter()
            reader.get_metrics_data()
            return (perf_counter() - started) * 1000

        taken = [await asyncio.to_thread(collect) for _ in range(rounds)]
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await tracker.aclose()
        # Kilobytes on Linux, bytes on macOS.
        unit = 1024 * 1024 if sys.platform == "darwin" else 1024
        return taken, (after - before) / unit
    finally:
        provider.shutdown()
        await engine.dispose()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ended", type=int, default=100_000, help="sagas that have ended")
    parser.add_argument("--active", type=int, default=1000, help="sagas that have not")
    parser.add_argument("--rounds", type=int, default=20, help="collections to time")
    parser.add_argument("--database-url", help="an empty database, as for SQLAlchemy")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.database_url or f"sqlite+aiosqlite:///{Path(folder) / 'sagas.sqlite3'}"
        filling = multiprocessing.get_context("spawn").Process(
            target=fill_elsewhere, args=(url, options.ended, options.active)
        )
        filling.start()
        filling.join()
        taken, memory = asyncio.run(measure(url, rounds=options.rounds))
    print(
        f"{options.ended:,} ended and {options.active:,} active sagas: a collection takes "
        f"{statistics.median(taken):.1f} ms (first {taken[0]:.1f}, worst {max(taken):.1f}); "
        f"{len(taken)} collections took {memory:.1f} MB"
    )


if __name__ == "__main__":
    main()
