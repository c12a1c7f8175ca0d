from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiokafka.errors import KafkaTimeoutError
from opentelemetry import trace

from demo_pipeline.events import Event, OrderPlaced
from demo_pipeline.http_api import http_api
from demo_pipeline.recording import Recording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from demo_pipeline.publishing import Publish

_BODY: dict[str, Any] = {
    "user_id": "user-07",
    "card_token": "card-07",
    "ship_to": "8 Harbour Street",
    "lines": [{"sku": "kettle", "quantity": 2}],
}


class _Api:
    def __init__(self, client: httpx.AsyncClient, recording: Recording) -> None:
        self.client = client
        self.recording = recording


@pytest.fixture
def api(open_service_database: Any) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened(publish: Publish) -> AsyncIterator[_Api]:
        recording = Recording()
        providers = recording.providers("orders")
        app = http_api(await open_service_database("orders"), publish, providers)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            yield _Api(client, recording)
        providers.shutdown()

    return opened


async def _ignore(event: Event) -> None:
    pass


async def test_an_order_is_accepted_published_and_shown(api: Any) -> None:
    published: list[Event] = []

    async def publish(event: Event) -> None:
        published.append(event)

    async with api(publish) as shop:
        answer = await shop.client.post("/orders", json=_BODY)
        shown = await shop.client.get(answer.headers["location"])
    order_id = answer.json()["order_id"]
    (event,) = published
    assert 202 == answer.status_code
    assert isinstance(event, OrderPlaced)
    assert (order_id, "user-07", 8900) == (
        event.order.order_id,
        event.order.user_id,
        event.order.total_cents,
    )
    assert {
        "order_id": order_id,
        "user_id": "user-07",
        "total_cents": 8900,
        "state": "placed",
    } == shown.json()


async def test_the_event_is_sent_inside_the_server_span_and_the_answer_names_its_trace(
    api: Any,
) -> None:
    current: list[trace.SpanContext] = []

    async def publish(_event: Event) -> None:
        current.append(trace.get_current_span().get_span_context())

    async with api(publish) as shop:
        answer = await shop.client.post("/orders", json=_BODY)
    (span,) = shop.recording.spans
    assert "POST /orders" == span.name
    assert trace.SpanKind.SERVER == span.kind
    assert None is span.parent
    assert [span.context] == current
    assert trace.format_trace_id(span.context.trace_id) == answer.json()["trace_id"]


async def test_span_names_hold_routes_and_never_ids(api: Any) -> None:
    async with api(_ignore) as shop:
        for path in ("/orders/o-1", "/orders/o-2", "/etc/passwd", "/health"):
            await shop.client.get(path)
    assert ["GET /orders/{order_id}", "GET /orders/{order_id}", "HTTP"] == [
        span.name for span in shop.recording.spans
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [{"sku": "kettle", "quantity": 0}]}, "quantity"),
        ({"lines": [{"sku": "kettle", "quantity": "two"}]}, "quantity"),
        ({"lines": [{"sku": "yacht", "quantity": 1}]}, "yacht"),
        ({"user_id": ""}, "user_id"),
        ({"ship_to": "x" * 201}, "ship_to"),
    ],
)
async def test_an_order_that_does_not_fit_is_refused_and_says_where(
    api: Any, change: dict[str, Any], named: str
) -> None:
    async def publish(event: Event) -> None:
        pytest.fail(f"published {event}")

    async with api(publish) as shop:
        answer = await shop.client.post("/orders", json={**_BODY, **change})
    assert 400 == answer.status_code
    assert named in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_order_is_refused(api: Any, body: bytes) -> None:
    async with api(_ignore) as shop:
        answer = await shop.client.post("/orders", content=body)
    assert 400 == answer.status_code
    assert answer.json()["error"]


async def test_a_body_without_end_is_refused_before_it_is_read(api: Any) -> None:
    async with api(_ignore) as shop:
        answer = await shop.client.post("/orders", content=b" " * 70_000)
    assert 413 == answer.status_code


async def test_an_order_that_cannot_be_announced_is_not_accepted(api: Any) -> None:
    async def publish(_event: Event) -> None:
        raise KafkaTimeoutError

    async with api(publish) as shop:
        answer = await shop.client.post("/orders", json=_BODY)
    assert 503 == answer.status_code


async def test_what_is_not_there_is_not_found(api: Any) -> None:
    async with api(_ignore) as shop:
        answer = await shop.client.get("/orders/o-1")
    assert (404, {"error": "there is no such order"}) == (answer.status_code, answer.json())
