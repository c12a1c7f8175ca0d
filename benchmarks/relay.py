"""Measure inbox, outbox and relay: what a transaction and a relayed message cost.

`python -m benchmarks.relay` works on SQLite files with a write-ahead log and `synchronous=NORMAL`,
as a service with SQLite should use them. It compares the asyncio driver, on which every statement
goes to a thread and back, with `tracing.sql.Transactions` on a plain engine. The variants run in
turns in one process.

- Transactions accept a record and add one to the outbox.
- The relay sends a full outbox to a producer in memory, whose sends are done at once: it shows the
  relay's own limit, not that of a broker. `--traced` puts a `TracedProducer` in between.

CPU time is that of the whole process, threads included. A hop is a call from a thread to the event
loop, which costs two switches of threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Self, TypeVarTuple, Unpack

from aiokafka.structs import ConsumerRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import MetaData, create_engine, event, insert
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.machine import describe
from tracing import Telemetry, TracedProducer, cloudevent
from tracing.sql import OutboxRelay, SqlInbox, SqlOutbox, Transactions
from tracing.sql.outbox_rows import pack
from tracing.testing import InMemoryBroker, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextvars import Context

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

Arguments = TypeVarTuple("Arguments")

VARIANTS = ("asyncio engine", "one hop")


def headers() -> bytes:
    """Return the headers of a record as an outbox stores them."""
    now = datetime.now(UTC)
    return pack([
        *cloudevent(type="OrderPlaced", source="/orders", id="1" * 32, subject="o-1", time=now),
        ("traceparent", b"00-%s-%s-01" % (b"1" * 32, b"2" * 16)),
        ("baggage", b"pipeline.name=orders,pipeline.origin=%d" % (now.timestamp() * 1000)),
    ])  # fmt: skip


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts calls from other threads."""

    hops = 0

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Count a call."""
        self.hops += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


class DoneProducer:
    """A producer whose sends are done at once."""

    def __init__(self) -> None:
        self.sent = 0

    async def send_and_wait(self, *_args: Any, **_options: Any) -> None:
        """Count a record."""
        self.sent += 1


@dataclass(slots=True)
class Figures:
    """The cost of one transaction or message, in one round."""

    per_s: float
    cpu_us: float
    statements: float
    commits: float
    hops: float


class Database:
    """A file with an inbox and an outbox, and the engines on it."""

    def __init__(self, folder: Path, name: str, telemetry: Telemetry) -> None:
        self.metadata = MetaData()
        self.inbox = SqlInbox(telemetry, group="payment", metadata=self.metadata)
        self.outbox = SqlOutbox(telemetry, service="payment", metadata=self.metadata)
        file = folder / f"{name}.sqlite3"
        self.plain = create_engine(f"sqlite:///{file}")
        self.asyncio = create_async_engine(
            f"sqlite+aiosqlite:///{file}", pool_size=1, max_overflow=0
        )
        self.statements = self.commits = 0
        for engine in (self.plain, self.asyncio.sync_engine):
            event.listen(engine, "connect", _write_ahead)
            event.listen(engine, "before_cursor_execute", self._executed)
            event.listen(engine, "commit", self._committed)
        self.metadata.create_all(self.plain)

    def _executed(self, *_: Any) -> None:
        self.statements += 1

    def _committed(self, *_: Any) -> None:
        self.commits += 1

    def fill(self, messages: int, keys: int) -> None:
        """Put messages into the outbox."""
        packed = headers()
        rows = [
            {
                "topic": "orders", "key": b"user-%d" % (number % keys), "value": b"v" * 200,
                "partition": None, "headers": packed, "created_at": 1,
            }
            for number in range(messages)
        ]  # fmt: skip
        with self.plain.begin() as connection:
            connection.execute(insert(self.outbox.table), rows)

    async def close(self) -> None:
        """Close all connections."""
        await self.asyncio.dispose()
        self.plain.dispose()


def _write_ahead(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


class Meter:
    """Measures a block."""

    def __init__(self, database: Database, number: int) -> None:
        self._database, self._number = database, number

    def __enter__(self) -> Self:
        """Begin."""
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        wall, cpu, *counts = (
            after - before for before, after in zip(self._before, self._now(), strict=True)
        )
        number = self._number
        self.figures = Figures(
            number / wall, cpu / number * 1e6, *(count / number for count in counts)
        )

    def _now(self) -> tuple[float, ...]:
        loop = asyncio.get_running_loop()
        hops = loop.hops if isinstance(loop, CountingLoop) else 0
        database = self._database
        return perf_counter(), process_time(), database.statements, database.commits, hops


def records(number: int) -> Iterator[ConsumerRecord[Any, Any]]:
    """Make records of different events."""
    for offset in range(number):
        yield ConsumerRecord(
            topic="orders", partition=0, offset=offset, timestamp=0, timestamp_type=0, key=b"k",
            value=b"v", checksum=None, serialized_key_size=1, serialized_value_size=1,
            headers=(("ce_source", b"/orders"), ("ce_id", b"%d" % offset)),
        )  # fmt: skip


async def transact(database: Database, variant: str, number: int) -> Figures:
    """Accept records and add as many, each in a transaction of its own."""
    inbox, outbox = database.inbox, database.outbox

    def apply(connection: Connection, record: ConsumerRecord[Any, Any]) -> None:
        if inbox.accept_in(connection, record):
            outbox.add_in(connection, "payments", b"v" * 200, key=b"k")

    async with Transactions(database.plain) as transactions:
        with Meter(database, number) as meter:
            for record in records(number):
                if variant == "one hop":
                    await transactions.run(apply, record)
                    continue
                async with database.asyncio.begin() as connection:
                    if await inbox.accept(connection, record):
                        await outbox.add(connection, "payments", b"v" * 200, key=b"k")
    return meter.figures


async def relay(database: Database, variant: str, options: argparse.Namespace) -> Figures:
    """Relay a full outbox until it is empty."""
    database.fill(options.messages, options.keys)
    done: Any = DoneProducer()
    producer = done
    if options.traced:
        inner = InMemoryProducer(InMemoryBroker())
        inner.send_and_wait = done.send_and_wait  # type: ignore[method-assign]  # no broker
        producer = TracedProducer(inner, database.outbox.telemetry)
    async with Transactions(database.plain) as transactions:
        engine: AsyncEngine | Transactions = (
            transactions if variant == "one hop" else database.asyncio
        )
        relay = OutboxRelay(database.outbox, engine, producer, batch=options.batch)
        stop = asyncio.Event()
        with Meter(database, options.messages) as meter:
            running = asyncio.create_task(relay.run(stop))
            emptied = await relay.drain(600)
        stop.set()
        await running
    if not emptied or done.sent != options.messages:
        raise RuntimeError(f"{done.sent} of {options.messages} messages were sent")
    return meter.figures


async def measure(options: argparse.Namespace) -> dict[str, dict[str, list[Figures]]]:
    """Run all rounds, the variants in turns."""
    telemetry = Telemetry(
        "orders", tracer_provider=TracerProvider(), meter_provider=MeterProvider(), source="/orders"
    )
    measured: dict[str, dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds + 1):
            for variant in VARIANTS:
                database = Database(Path(folder), f"{variant}-{number}", telemetry)
                transaction = await transact(database, variant, options.transactions)
                with database.plain.begin() as connection:
                    connection.execute(database.outbox.table.delete())
                message = await relay(database, variant, options)
                await database.close()
                if number:  # the first round warms up
                    measured["transaction"][variant].append(transaction)
                    measured["relayed message"][variant].append(message)
    return measured


def report(measured: dict[str, dict[str, list[Figures]]]) -> Iterator[str]:
    """Yield the lines of the tables: medians, and the range of the rates."""
    for what, variants in measured.items():
        yield f"per {what:<16} per s (least-most)    CPU µs (least) statements  commits     hops"
        for variant, rounds in variants.items():
            rates, cpu = ([getattr(each, name) for each in rounds] for name in ("per_s", "cpu_us"))
            counts = [
                statistics.median(getattr(each, name) for each in rounds)
                for name in ("statements", "commits", "hops")
            ]
            yield (
                f"  {variant:<16} {statistics.median(rates):9,.0f} ({min(rates):,.0f}-"
                f"{max(rates):,.0f})   {statistics.median(cpu):7.1f} ({min(cpu):.1f})"
                + "".join(f"{count:10.4f}" for count in counts)
            )
        ratios = [
            one.cpu_us / other.cpu_us
            for one, other in zip(variants[VARIANTS[1]], variants[VARIANTS[0]], strict=True)
        ]
        yield (
            f"  CPU, {VARIANTS[1]} / {VARIANTS[0]}: {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f})"
        )


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=20_000, help="per round (%(default)s)")
    parser.add_argument("--transactions", type=int, default=500, help="per round (%(default)s)")
    parser.add_argument("--keys", type=int, default=1_000, help="different keys (%(default)s)")
    parser.add_argument("--batch", type=int, default=200, help="the relay's (%(default)s)")
    parser.add_argument("--traced", action="store_true", help="send with a TracedProducer")
    parser.add_argument("--json", type=Path, help="a file for the figures of all rounds")
    options = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        measured = runner.run(measure(options))
    print("\n".join(report(measured)))
    if options.json:
        figures = {
            what: {
                variant: [
                    {name: getattr(each, name) for name in Figures.__slots__} for each in rounds
                ]
                for variant, rounds in variants.items()
            }
            for what, variants in measured.items()
        }
        options.json.write_text(json.dumps({"machine": describe(), "figures": figures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
