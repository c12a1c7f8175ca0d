"""What waits for a database shares a transaction, and fails alone."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from sqlalchemy import event, insert, select
from sqlalchemy.exc import OperationalError

from demo_pipeline.runtime import database_outage
from demo_pipeline.runtime.connection_waits import WAIT, ConnectionWaits
from demo_pipeline.runtime.database import open_database
from demo_pipeline.runtime.group_commit import GroupCommit, group_commit
from demo_pipeline.services import SERVICES
from tracing import Retry, Telemetry, TracedConsumer, TracedProducer
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.runtime.group_commit import Piece

SERVICE = SERVICES["shipping"]
SHIPMENTS = SERVICE.tables.tables["shipments"]


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("shipping") as capture:
        yield capture


class Shop:
    """A service's database, whose first transaction waits to be let go."""

    def __init__(self, engine: AsyncEngine, commits: GroupCommit) -> None:
        self.engine = engine
        self.commits = commits
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.together: list[list[str]] = []
        self.spans: dict[str, Any] = {}

    def ship(self, connection: Connection, pieces: Sequence[Piece[str]]) -> list[str]:
        """Store orders; refuse the one that is called bad."""
        self.together.append([piece.work for piece in pieces])
        for piece in pieces:
            connection.execute(insert(SHIPMENTS), {"order_id": piece.work, "state": "shipped"})
            self.spans[piece.work] = piece.context.run(trace.get_current_span)
        self.entered.set()
        assert self.go_on.wait(30)
        if "bad" in self.together[-1]:
            raise ValueError("this one is bad")
        return [piece.work.upper() for piece in pieces]

    async def several(self, *orders: str) -> list[Any]:
        """Ship orders, of which all but the first one are asked for while that one is under way."""
        first = asyncio.create_task(self.commits.run(self.ship, orders[0], patient=False))
        assert await eventually(self.entered.is_set)
        others = [
            asyncio.create_task(self.commits.run(self.ship, each, patient=False))
            for each in orders[1:]
        ]
        await asyncio.sleep(0)
        self.go_on.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    async def stored(self) -> set[str]:
        """Return the orders that are stored."""
        async with self.engine.connect() as connection:
            return set(await connection.scalars(select(SHIPMENTS.c.order_id)))


@pytest.fixture
def open_shop(tmp_path: Any, capture: Capture) -> Callable[[], Any]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Shop]:
        url = f"sqlite+aiosqlite:///{tmp_path / 'shipping.sqlite3'}"
        waits = ConnectionWaits("shipping", capture.meter_provider)
        async with (
            open_database(SERVICE, url) as engine,
            group_commit(engine, waits) as commits,
        ):
            yield Shop(engine, commits)

    return opened


async def test_what_waits_meanwhile_shares_the_next_transaction(
    open_shop: Callable[[], Any],
) -> None:
    async with open_shop() as shop:
        assert ["A", "B", "C", "D"] == await shop.several("a", "b", "c", "d")
        assert [["a"], ["b", "c", "d"]] == shop.together
        assert {"a", "b", "c", "d"} == await shop.stored()


async def test_a_transaction_of_several_is_one_commit(open_shop: Callable[[], Any]) -> None:
    async with open_shop() as shop:
        commits: list[object] = []
        event.listen(shop.commits.transactions.engine, "commit", commits.append)
        await shop.several("a", "b", "c", "d")
        assert 2 == len(commits)


async def test_a_piece_that_fails_takes_no_other_with_it(open_shop: Callable[[], Any]) -> None:
    async with open_shop() as shop:
        first, second, bad, last = await shop.several("a", "b", "bad", "c")
        assert ("A", "B", "C") == (first, second, last)
        assert isinstance(bad, ValueError)
        assert {"a", "b", "c"} == await shop.stored()
        assert ["b", "bad", "c"] == shop.together[1]


async def test_a_piece_whose_task_was_cancelled_is_left_out(open_shop: Callable[[], Any]) -> None:
    async with open_shop() as shop:
        first = asyncio.create_task(shop.commits.run(shop.ship, "a", patient=False))
        assert await eventually(shop.entered.is_set)
        cancelled = asyncio.create_task(shop.commits.run(shop.ship, "b", patient=False))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        shop.go_on.set()
        await first
    assert [["a"]] == shop.together


async def test_an_outage_of_the_database_is_waited_out_by_the_patient_alone(
    open_shop: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_outage, "_DELAYS", Retry(delay_s=0.01))
    away = [True, True]

    def ship(connection: Connection, pieces: Sequence[Piece[str]]) -> list[str]:
        if away:
            away.pop()
            raise OperationalError("insert", {}, ConnectionResetError())
        shipped: list[str] = shop.ship(connection, pieces)
        return shipped

    async with open_shop() as shop:
        shop.go_on.set()
        with pytest.raises(OperationalError):
            await shop.commits.run(ship, "a", patient=False)
        assert "B" == await shop.commits.run(ship, "b", patient=True)
        assert {"b"} == await shop.stored()


async def test_each_piece_keeps_the_context_of_its_task(
    open_shop: Callable[[], Any], capture: Capture
) -> None:
    tracer = capture.tracer_provider.get_tracer("test")
    begun: dict[str, Any] = {}

    async def ship(shop: Shop, order: str) -> None:
        with tracer.start_as_current_span(order) as span:
            begun[order] = span
            await shop.commits.run(shop.ship, order, patient=False)

    async with open_shop() as shop:
        shop.go_on.set()
        await asyncio.gather(*(ship(shop, order) for order in ("a", "b", "c")))
    assert begun == shop.spans


async def test_the_wait_for_the_database_is_reported_apart_from_the_work(
    open_shop: Callable[[], Any], capture: Capture
) -> None:
    async with open_shop() as shop:
        await shop.several("a", "b", "bad")
    labels = {"db.client.connection.pool.name": "shipping"}
    measured: Any = await asyncio.to_thread(capture.metric, WAIT, labels)
    assert 3 == measured.count
    assert measured.sum > 0


async def test_a_handlers_wait_for_its_transaction_is_apart_from_its_processing(
    open_shop: Callable[[], Any], capture: Capture
) -> None:
    telemetry = Telemetry(
        "orders", tracer_provider=capture.tracer_provider, meter_provider=capture.meter_provider
    )
    broker = InMemoryBroker()
    bare = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
    async with (
        open_shop() as shop,
        TracedProducer(InMemoryProducer(broker), telemetry) as producer,
        TracedConsumer(bare, telemetry, group="g") as consumer,
    ):
        shop.go_on.set()
        await producer.send_and_wait("orders", b"a")
        async with consumer.process(await consumer.getone()) as processing:
            await shop.commits.run(shop.ship, "a", patient=False)

    waited: Any = capture.metric(
        "pipeline.resource.wait.duration",
        {"messaging.destination.name": "orders", "resource": "database"},
    )
    took: Any = capture.metric("messaging.process.duration")
    assert 1 == waited.count
    assert 0 < waited.sum < took.sum
    span: Any = processing.span
    assert waited.sum == span.attributes["pipeline.resource.wait.database"]
