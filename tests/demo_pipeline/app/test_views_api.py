"""The views of analytics over real HTTP: rows of the active generation, and how old they are."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from time import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiokafka.structs import ConsumerRecord
from sqlalchemy import insert, text, update

from demo_pipeline.app.http_server import listen, serving
from demo_pipeline.app.recording import Recording
from demo_pipeline.app.views_api import views_api
from demo_pipeline.domain.codec import headers_of
from demo_pipeline.domain.events import OrderCancelled, OrderPlaced, PaymentCharged
from demo_pipeline.domain.topics import ORDERS, PARTITIONS, PAYMENT, TOPIC_OF
from demo_pipeline.runtime import arrivals
from demo_pipeline.runtime.arrivals import Arrivals
from demo_pipeline.runtime.connection_waits import ConnectionWaits
from demo_pipeline.runtime.database import open_database
from demo_pipeline.runtime.group_commit import group_commit
from demo_pipeline.runtime.projecting import projector
from demo_pipeline.runtime.service_context import ServiceContext
from demo_pipeline.services import analytics
from demo_pipeline.services.read_models import PROJECTIONS, READ_MODELS
from tests.semconv.conformance import metric_violations, span_violations
from tests.tracing.sql.conftest import own_database, postgres_url
from tracing import Telemetry
from tracing.replay import LogEnds, LogPartition
from tracing.sql import SqlInbox, SqlOutbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from demo_pipeline.domain.events import Event, Order

__all__ = ["postgres_url"]

_EVENT_MS = 1_700_000_000_000


class Shop:
    """Analytics with its API, and a log whose end is set by hand."""

    def __init__(
        self, context: ServiceContext, client: httpx.AsyncClient, recording: Recording
    ) -> None:
        self.context = context
        self.client = client
        self.recording = recording
        self._handle = projector("analytics", READ_MODELS, tuple(PROJECTIONS.values()), context)
        self._next: dict[str, int] = {}

    async def happens(self, event: Event) -> LogPartition:
        """Let the service handle an event; returns the partition."""
        topic = TOPIC_OF[type(event)]
        offset = self._next[topic] = self._next.get(topic, -1) + 1
        place = LogPartition(topic, 0)
        self.context.ends.seen(place, offset + 1)
        identity = [("ce_id", f"{topic}-{offset}".encode()), ("ce_source", b"/test")]
        headers: Any = (*headers_of(event), *identity)
        value = self.context.codec.encode(event)
        await self._handle(
            ConsumerRecord(
                topic, 0, offset, _EVENT_MS + offset, 0, b"user-07", value, 0, 0, 0, headers
            )
        )
        return place

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a path."""
        return await self.client.get(path, headers=headers)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Shop]:
    recording = Recording()
    providers = recording.providers("analytics")
    async with AsyncExitStack() as stack:
        stack.callback(providers.shutdown)
        service = analytics.SERVICE
        telemetry = Telemetry("orders", source="/analytics")
        # Whatever it sees was there a minute ago.
        ends = LogEnds(clock=lambda: time() - 60)
        places = [LogPartition(topic, 0) for topic in service.topics]
        ends.expect(places)
        for place in places:
            ends.seen(place, 0)
        database = await stack.enter_async_context(open_database(service, url))
        waits = ConnectionWaits(service.name, providers.meter_provider)
        context = ServiceContext(
            telemetry,
            database,
            await stack.enter_async_context(group_commit(database, waits)),
            SqlInbox(telemetry, group=service.name, metadata=service.tables),
            SqlOutbox(telemetry, service=service.name, metadata=service.tables),
            lambda _added: None,
            ends=ends,
            arrivals=Arrivals(most=3),
        )
        listener = stack.enter_context(listen(0))
        base = await stack.enter_async_context(serving(views_api(context, providers), listener))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=base, trust_env=False, timeout=40)
        )
        yield Shop(context, client, recording)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        url = f"sqlite+aiosqlite:///{tmp_path}/analytics.sqlite3"
        if request.param == "postgresql":
            url = await stack.enter_async_context(
                own_database(request.getfixturevalue("postgres_url"))
            )
        yield await stack.enter_async_context(_opened(url))


@pytest.fixture
async def sqlite_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with _opened(f"sqlite+aiosqlite:///{tmp_path}/analytics.sqlite3") as opened:
        yield opened


async def test_orders_come_in_pages_and_by_state(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    for number in range(5):
        await shop.happens(OrderPlaced(make_order(f"o-{number}")))
    await shop.happens(OrderCancelled(make_order("o-3"), "sold out"))

    seen, path = [], "/views/orders?state=placed&limit=3"
    while path:
        page = (await shop.get(path)).json()
        seen.append([order["order_id"] for order in page["orders"]])
        path = page["next"]

    assert [["o-0", "o-1", "o-2"], ["o-4"]] == seen
    cancelled = (await shop.get("/views/orders?state=cancelled")).json()
    assert [
        {"order_id": "o-3", "user_id": "user-07", "total_cents": 8900, "state": "cancelled"}
    ] == cancelled["orders"]
    assert 5 == len((await shop.get("/views/orders")).json()["orders"])


async def test_an_order_a_user_and_products_are_shown(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    await shop.happens(OrderPlaced(make_order("o-1")))
    await shop.happens(PaymentCharged(make_order("o-1"), "p-1"))
    await shop.happens(OrderPlaced(make_order("o-2", sku="lamp")))

    order = (await shop.get("/views/orders/o-1")).json()["order"]
    user = (await shop.get("/views/users/user-07?limit=1")).json()
    rest = (await shop.get(user["next"])).json()
    products = (await shop.get("/views/products")).json()["products"]

    assert ("o-1", "paid") == (order["order_id"], order["state"])
    assert (["o-1"], ["o-2"], None) == (
        [each["order_id"] for each in user["orders"]],
        [each["order_id"] for each in rest["orders"]],
        rest["next"],
    )
    assert [{"sku": "kettle", "orders": 1, "units": 2, "revenue_cents": 8900}] == products


async def test_body_and_headers_say_how_far_the_view_is_behind(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    place = await shop.happens(OrderPlaced(make_order()))
    fresh = await shop.get("/views/orders")
    shop.context.ends.seen(place, 3)
    stale = await shop.get("/views/products")
    later = await shop.get("/views/products")

    assert {"seconds": 0.0, "records": 0} == fresh.json()["behind_by"]
    assert "2023-11-14T22:13:20.000Z" == fresh.json()["as_of"] == fresh.headers["view-as-of"]
    assert "seconds=0.000, records=0" == fresh.headers["view-behind-by"]
    assert "no-cache" == fresh.headers["cache-control"]
    assert 2 == stale.json()["behind_by"]["records"] == later.json()["behind_by"]["records"]
    assert 60 <= stale.json()["behind_by"]["seconds"] <= later.json()["behind_by"]["seconds"]
    assert stale.headers["view-behind-by"].endswith("records=2")


async def test_what_is_not_known_yet_is_null_and_its_header_is_missing(sqlite_shop: Shop) -> None:
    sqlite_shop.context.ends.expect([LogPartition(ORDERS, each) for each in range(4)])

    answer = await sqlite_shop.get("/views/orders")

    assert {"orders": [], "next": None, "as_of": None, "behind_by": None} == answer.json()
    assert not {"view-as-of", "view-behind-by"} & set(answer.headers)


async def test_only_the_active_generation_is_served(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    await shop.happens(OrderPlaced(make_order("o-1")))
    models, positions = READ_MODELS.tables.models, READ_MODELS.tables.positions
    async with shop.context.database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO order_view (generation, order_id, user_id, total_cents, state, stage)"
                " VALUES (2, 'o-9', 'u', 1, 'placed', 0)"
            )
        )
        await connection.execute(
            insert(positions).values(
                name="orders", generation=2, topic=ORDERS, partition=0, next_offset=1, event_ms=1
            )
        )
    before = (await shop.get("/views/orders")).json()
    async with shop.context.database.begin() as connection:
        await connection.execute(update(models).where(models.c.name == "orders").values(active=2))
    after = (await shop.get("/views/orders")).json()

    assert ["o-1"] == [each["order_id"] for each in before["orders"]]
    assert ["o-9"] == [each["order_id"] for each in after["orders"]]
    assert "1970-01-01T00:00:00.001Z" == after["as_of"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/views/orders?state=lost", "placed, reserved, paid, shipped, cancelling, cancelled"),
        ("/views/orders?state=", "placed"),
        ("/views/orders?limit=0", "1 to 500"),
        ("/views/orders?limit=501", "1 to 500"),
        ("/views/orders?limit=-1", "1 to 500"),
        ("/views/orders?limit=٣", "1 to 500"),
        ("/views/orders?limit=1e1", "1 to 500"),
        ("/views/orders?cursor=!", "next"),
        ("/views/orders?cursor=%00", "next"),
        ("/views/users/u?cursor=Jw", "next"),
        ("/views/orders?position=orders.events", "TOPIC:PARTITION:OFFSET"),
        ("/views/products?position=elsewhere:0:1", "orders.events"),
    ],
)
async def test_a_wrong_query_is_refused_with_what_is_right(
    sqlite_shop: Shop, path: str, named: str
) -> None:
    answer = await sqlite_shop.get(path)

    assert 400 == answer.status_code
    assert named in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    ["/views/orders/o-1", "/views/orders/%00", "/views/users/user-99", "/views/users/%00",
     "/views/users/%ED%A0%80", "/views/users/" + "x" * 70],
)  # fmt: skip
async def test_what_a_view_does_not_have_is_not_found(shop: Shop, path: str) -> None:
    answer = await shop.get(path)

    assert 404 == answer.status_code
    assert {"error", "as_of", "behind_by"} == set(answer.json())


async def test_a_read_model_that_is_not_built_says_how_to_build_it(sqlite_shop: Shop) -> None:
    models = READ_MODELS.tables.models
    async with sqlite_shop.context.database.begin() as connection:
        await connection.execute(update(models).where(models.c.name == "products").values(active=0))

    refused = await sqlite_shop.get("/views/products", prefer="wait=20")

    assert 503 == refused.status_code
    assert "python -m demo_pipeline replay --read-model products" in refused.json()["error"]
    assert 200 == (await sqlite_shop.get("/views/orders")).status_code


async def test_a_database_that_fails_is_answered_503(sqlite_shop: Shop) -> None:
    async with sqlite_shop.context.database.begin() as connection:
        await connection.execute(text("DROP TABLE order_view"))

    answer = await sqlite_shop.get("/views/orders")

    assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
    assert 200 == (await sqlite_shop.get("/health")).status_code


async def _waits(shop: Shop, number: int) -> None:
    async with asyncio.timeout(10):
        while len(shop.context.arrivals) < number:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


async def test_a_query_waits_until_the_view_has_the_order_and_holds_no_connection(
    shop: Shop, make_order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_RECHECK_S", 60.0)
    asking = asyncio.create_task(shop.get("/views/orders/o-1", prefer="respond-async, wait=20"))
    await _waits(shop, 1)
    await shop.happens(OrderPlaced(make_order("o-1")))
    async with asyncio.timeout(15):
        answer = await asking

    assert (200, "wait=20") == (answer.status_code, answer.headers["preference-applied"])
    assert "o-1" == answer.json()["order"]["order_id"]
    assert 0 == len(shop.context.arrivals)


async def test_a_query_waits_until_the_view_has_applied_a_position(
    shop: Shop, make_order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_RECHECK_S", 60.0)
    path = f"/views/users/user-07?position={PAYMENT}:0:0"
    await shop.happens(OrderPlaced(make_order("o-1")))
    asking = asyncio.create_task(shop.get(path, prefer="wait=20"))
    await _waits(shop, 1)
    await shop.happens(PaymentCharged(make_order("o-1"), "p-1"))
    async with asyncio.timeout(15):
        answer = await asking
    early = await shop.get(f"/views/products?position={PAYMENT}:0:1", prefer="wait=0")

    assert ["paid"] == [order["state"] for order in answer.json()["orders"]]
    assert (503, "1") == (early.status_code, early.headers["retry-after"])
    assert "payment.events[0]@1" in early.json()["error"]
    assert "preference-applied" not in early.headers


async def test_waiting_ends_after_the_time_that_the_client_prefers(sqlite_shop: Shop) -> None:
    answer = await sqlite_shop.get("/views/orders/o-1", prefer="wait=1")

    assert (404, "wait=1") == (answer.status_code, answer.headers["preference-applied"])


async def test_what_another_replica_has_applied_is_noticed_without_being_woken(
    sqlite_shop: Shop, make_order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_shop.context.arrivals, "announce", lambda *_keys: None)
    asking = asyncio.create_task(sqlite_shop.get("/views/orders/o-1", prefer="wait=20"))
    await _waits(sqlite_shop, 1)
    await sqlite_shop.happens(OrderPlaced(make_order("o-1")))

    async with asyncio.timeout(10):
        assert 200 == (await asking).status_code


async def test_further_waiters_are_answered_at_once(
    sqlite_shop: Shop, make_order: Callable[..., Order]
) -> None:
    asking = [
        asyncio.create_task(sqlite_shop.get("/views/orders/o-1", prefer="wait=20"))
        for _ in range(3)
    ]
    await _waits(sqlite_shop, 3)
    refused = await sqlite_shop.get("/views/orders/o-1", prefer="wait=20")
    await sqlite_shop.happens(OrderPlaced(make_order("o-1")))

    assert 404 == refused.status_code
    assert "preference-applied" not in refused.headers
    assert [200] * 3 == [(await each).status_code for each in asking]


async def test_spans_follow_the_conventions_and_name_no_user(
    sqlite_shop: Shop, make_order: Callable[..., Order]
) -> None:
    await sqlite_shop.happens(OrderPlaced(make_order("o-1")))
    for path in (
        "/views/orders?state=placed", "/views/orders/o-1", "/views/users/user-07",
        "/views/products", "/views/orders?state=lost", "/elsewhere", "/health",
    ):  # fmt: skip
        await sqlite_shop.get(path)

    spans = sqlite_shop.recording.spans
    assert [
        "GET /views/orders", "GET /views/orders/{order_id}", "GET /views/users/{user_id}",
        "GET /views/products", "GET /views/orders", "GET",
    ] == [span.name for span in spans]  # fmt: skip
    assert "user-07" not in "".join(span.to_json() for span in spans)
    assert [] == span_violations(spans)
    assert [] == metric_violations(sqlite_shop.recording.metrics)


def test_every_topic_of_the_views_has_partitions() -> None:
    assert set(analytics.SERVICE.topics) <= set(PARTITIONS)
