"""A database that is new to its consumer group: its read models do not look complete."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from demo_pipeline.app.bootstrap import Cluster, start_service
from demo_pipeline.app.http_server import listen
from demo_pipeline.app.load import Load
from demo_pipeline.app.recording import exporting_providers
from demo_pipeline.app.replay import ReplayCommand, run_replay
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.broker import EmbeddedBroker, create_topics
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.events import OrderPlaced
from demo_pipeline.domain.topics import ORDERS
from demo_pipeline.report import check_traces
from demo_pipeline.runtime.database import database_url
from demo_pipeline.services import ALL_TOPICS, analytics
from tests.demo_pipeline.app.silent import Silent
from tests.demo_pipeline.read_model_rows import query
from tracing.replay import AtOffset, ReplayOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from demo_pipeline.domain.events import Order

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

_LATE = "is new in this database and lacks what analytics handled before"


@asynccontextmanager
async def _analytics(servers: str, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Serve analytics during the block; yields a client of its views."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            start_service(
                analytics.SERVICE,
                Cluster(servers, fetch_max_wait_ms=30, session_timeout_ms=6000),
                exporting_providers("analytics"),
                database_url=database_url("analytics", folder),
                listener=stack.enter_context(listen(0)),
            )
        )
        assert running.url is not None
        client = httpx.AsyncClient(
            base_url=running.url, trust_env=False, timeout=60, headers={"prefer": "wait=30"}
        )
        yield await stack.enter_async_context(client)


async def _place(servers: str, order: Order) -> None:
    event = OrderPlaced(order)
    headers: Any = [
        *headers_of(event), ("ce_source", b"/test"), ("ce_id", order.order_id.encode()),
    ]  # fmt: skip
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(ORDERS, Codec().encode(event), headers=headers)


async def _replay(servers: str, folder: Path, name: str, *options: ReplayOptions) -> None:
    (chosen,) = options or (ReplayOptions(),)
    await run_replay(ReplayCommand(name, servers, folder, chosen), lambda _: None)


def _built(folder: Path) -> list[tuple[str, bool]]:
    rows = query(
        folder / "analytics.sqlite3", "SELECT name, active > 0 FROM projection_models ORDER BY 1"
    )
    return [(name, bool(active)) for name, active in rows]


async def test_views_of_a_lost_database_are_refused_until_a_replay_has_rebuilt_them(
    tmp_path: Path, make_order: Callable[..., Order], caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedBroker() as broker:
        servers = broker.bootstrap_servers
        await create_topics(servers, ALL_TOPICS)
        await _place(servers, make_order("o-1"))
        for folder in ("first", "second"):
            (tmp_path / folder).mkdir()
        for _ in range(2):
            # A restart changes nothing.
            async with _analytics(servers, tmp_path / "first") as views:
                assert 200 == (await views.get("/views/orders/o-1")).status_code
        assert _LATE not in caplog.text

        async with _analytics(servers, tmp_path / "second") as views:
            for path in ("/views/orders", f"/views/orders?position={ORDERS}:0:0"):
                refused = await views.get(path)
                assert 503 == refused.status_code
                assert "demo_pipeline replay --read-model orders" in refused.json()["error"]
            assert 2 == caplog.text.count(_LATE)
            assert "demo_pipeline replay --read-model products" in caplog.text
            await _place(servers, make_order("o-2"))
            await _replay(servers, tmp_path / "second", "orders")
            await _replay(servers, tmp_path / "second", "products")
            await _place(servers, make_order("o-3"))

            for order in ("o-1", "o-2", "o-3"):
                shown = await views.get(f"/views/orders/{order}")
                assert (200, order) == (shown.status_code, shown.json()["order"]["order_id"])
            assert 200 == (await views.get("/views/products")).status_code
    sales = "SELECT order_id FROM product_sales ORDER BY 1"
    assert [("o-1",), ("o-2",), ("o-3",)] == query(tmp_path / "second/analytics.sqlite3", sales)


async def test_a_replay_that_does_not_switch_leaves_the_read_models_of_an_empty_database_unbuilt(
    tmp_path: Path, make_order: Callable[..., Order]
) -> None:
    with closing(sqlite3.connect(tmp_path / "analytics.sqlite3")):
        pass
    async with EmbeddedBroker() as broker:
        await create_topics(broker.bootstrap_servers, ALL_TOPICS)
        await _place(broker.bootstrap_servers, make_order())
        await _replay(broker.bootstrap_servers, tmp_path, "orders", ReplayOptions(end=AtOffset(1)))
        assert [("orders", False), ("products", False)] == _built(tmp_path)
        await _replay(broker.bootstrap_servers, tmp_path, "orders")
        assert [("orders", True), ("products", False)] == _built(tmp_path)


async def test_later_runs_on_a_cluster_end_whether_their_new_databases_are_kept_or_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late = []
    async with EmbeddedBroker() as broker:
        for folder in (tmp_path / "a", None, tmp_path / "b", tmp_path / "a"):
            if folder is not None:
                folder.mkdir(exist_ok=True)
            caplog.clear()
            outcome = await run(
                RunOptions(
                    load=Load(orders=3, rate=20, seed=1), scenario="steady", kafka=False,
                    bootstrap_servers=broker.bootstrap_servers, http_port=0, timeout_s=40,
                    databases=folder,
                ),
                Silent(),
            )  # fmt: skip
            assert () == outcome.problems
            assert () == check_traces(outcome.result)
            late.append(caplog.text.count(_LATE))

    # Views of a run without kept databases show its own orders.
    assert [0, 0, 2, 0] == late
    assert [("orders", True), ("products", True)] == _built(tmp_path / "a")
    assert [("orders", False), ("products", False)] == _built(tmp_path / "b")
