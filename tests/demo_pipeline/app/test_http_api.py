from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry import trace
from sqlalchemy import text

from demo_pipeline.app.http_api import http_api
from demo_pipeline.app.recording import Recording
from tests.demo_pipeline.conftest import outbox_of
from tests.semconv.conformance import metric_violations, span_violations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from demo_pipeline.runtime.service_context import ServiceContext

_BODY: dict[str, Any] = {
    "user_id": "user-07",
    "card_token": "card-07",
    "ship_to": "8 Harbour Street",
    "lines": [{"sku": "kettle", "quantity": 2}],
}


class _Api:
    def __init__(
        self, client: httpx.AsyncClient, context: ServiceContext, recording: Recording
    ) -> None:
        self.client = client
        self.context = context
        self.recording = recording


@pytest.fixture
def api(open_context: Any) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[_Api]:
        recording = Recording()
        providers = recording.providers("orders")
        context = await open_context("orders")
        app = http_api(context, providers)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            yield _Api(client, context, recording)
        providers.shutdown()

    return opened


async def test_an_order_is_accepted_stored_with_its_event_and_shown(api: Any) -> None:
    async with api() as shop:
        answer = await shop.client.post("/orders", json=_BODY)
        shown = await shop.client.get(answer.headers["location"])
        ((topic, key, value, _),) = await outbox_of(shop.context)
    order_id = answer.json()["order_id"]
    assert 202 == answer.status_code
    assert ("orders.events", b"user-07") == (topic, key)
    assert order_id.encode() in value
    assert {
        "order_id": order_id,
        "user_id": "user-07",
        "total_cents": 8900,
        "state": "placed",
        "pending": True,
        "reason": None,
    } == shown.json()


async def test_the_event_is_a_child_of_the_server_span_and_the_answer_names_its_trace(
    api: Any,
) -> None:
    async with api() as shop:
        answer = await shop.client.post("/orders", json=_BODY)
        ((_, _, _, headers),) = await outbox_of(shop.context)
    (span,) = shop.recording.spans
    assert "POST /orders" == span.name
    assert trace.SpanKind.SERVER == span.kind
    assert None is span.parent
    parent = b"%032x-%016x" % (span.context.trace_id, span.context.span_id)
    assert parent in (dict(headers)["traceparent"] or b"")
    assert trace.format_trace_id(span.context.trace_id) == answer.json()["trace_id"]


async def test_span_names_hold_routes_and_never_ids(api: Any) -> None:
    async with api() as shop:
        for path in ("/orders/o-1", "/orders/o-2", "/etc/passwd", "/health"):
            await shop.client.get(path)
    assert ["GET /orders/{order_id}", "GET /orders/{order_id}", "GET"] == [
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
        ({"ship_to": "8 Harbour\0 Street"}, "ship_to"),
        ({"ship_to": "8 Harbour Street\n"}, "ship_to"),
        ({"user_id": "user\x7f"}, "user_id"),
        ({"user_id": "user\x85"}, "user_id"),
        ({"user_id": "\u202eresu"}, "user_id"),
        ({"user_id": "user\u2066"}, "user_id"),
        ({"ship_to": "8 Harbour\u2028 Street"}, "ship_to"),
        ({"ship_to": "8 Harbour\u2029 Street"}, "ship_to"),
        ({"card_token": "card\u200b"}, "card_token"),
        ({"card_token": "\ufeffcard"}, "card_token"),
        ({"user_id": "user\u00ad"}, "user_id"),
        ({"user_id": "\u3164"}, "user_id"),
        ({"user_id": "user\ufe0f"}, "user_id"),
        ({"user_id": "user\U000e0041"}, "user_id"),
        ({"user_id": "\ue000"}, "user_id"),
        ({"user_id": "\uffff"}, "user_id"),
        ({"user_id": "   "}, "user_id"),
        ({"user_id": "user\u00a0"}, "user_id"),
        ({"user_id": "us\u200cer"}, "user_id"),
        ({"user_id": "us\u200der"}, "user_id"),
        ({"user_id": "\u0645\u200d\u0645"}, "user_id"),
        ({"user_id": "\u0645\u200c"}, "user_id"),
        ({"user_id": "\u200c\u0645"}, "user_id"),
        ({"user_id": "\u0301"}, "user_id"),
        ({"ship_to": "\u20dd8 Harbour Street"}, "ship_to"),
        ({"lines": [{"sku": "kettle\u202e", "quantity": 1}]}, "lines[0].sku"),
        ({"lines": [{"sku": "kettle", "quantity": 10**400}]}, "quantity"),
        ({"lines": [{"sku": "kettle", "quantity": 1.5}]}, "quantity"),
        ({"lines": [{"sku": "kettle", "quantity": True}]}, "quantity"),
    ],
)
async def test_an_order_that_does_not_fit_is_refused_and_says_where(
    api: Any, change: dict[str, Any], named: str
) -> None:
    async with api() as shop:
        answer = await shop.client.post("/orders", json={**_BODY, **change})
        assert [] == await outbox_of(shop.context)
    assert 400 == answer.status_code
    assert named in answer.json()["error"]


def _with(field: bytes) -> bytes:
    return json.dumps(_BODY).encode()[:-1] + b", " + field + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 30_000,
        b"[" * 30_000 + b"]" * 30_000,
        b'{"user_id":' * 5_000 + b"1" + b"}" * 5_000,
        _with(b'"extra": ' + b"[" * 30_000 + b"]" * 30_000),
        _with(b'"extra": ' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000),
        _with(b'"extra": NaN'),
        _with(b'"extra": ' + b"9" * 50_000),
        _with(b'"user_id": "another"'),
        _with(b'"extra": {"a": 1, "a": 2}'),
        _with(b'"extra": "\xff"'),
        b"\xef\xbb\xbf" + json.dumps(_BODY).encode(),
        json.dumps(_BODY).encode("utf-16"),
        json.dumps(_BODY).replace("user-07", "\\ud800").encode(),
        json.dumps(_BODY).replace("2", "1e999").encode(),
        json.dumps(_BODY).replace("2", "NaN").encode(),
        json.dumps(_BODY).encode() * 2,
    ],
    ids=range(20),
)
async def test_a_body_that_is_no_order_is_refused(api: Any, body: bytes) -> None:
    async with api() as shop:
        answer = await shop.client.post("/orders", content=body)
    assert 400 == answer.status_code
    assert answer.json()["error"]


async def test_a_body_without_end_is_refused_before_it_is_read(api: Any) -> None:
    async with api() as shop:
        answer = await shop.client.post("/orders", content=b" " * 70_000)
    assert 413 == answer.status_code


async def test_an_order_whose_event_cannot_be_stored_is_not_accepted(api: Any) -> None:
    async with api() as shop:
        async with shop.context.database.begin() as connection:
            await connection.execute(text("DROP TABLE outbox"))
        answer = await shop.client.post("/orders", json=_BODY)
        async with shop.context.database.connect() as connection:
            stored = await connection.scalar(text("SELECT count(*) FROM orders"))
    assert (503, 0) == (answer.status_code, stored)


async def test_a_number_with_too_many_digits_is_refused_with_a_clear_message(api: Any) -> None:
    async with api() as shop:
        answer = await shop.client.post("/orders", content=_with(b'"extra": ' + b"9" * 5000))
    assert (400, {"error": "the JSON has a number of more than 400 digits"}) == (
        answer.status_code,
        answer.json(),
    )


async def test_an_unknown_order_is_not_found(api: Any) -> None:
    async with api() as shop:
        answer = await shop.client.get("/orders/o-1")
    assert (404, {"error": "there is no such order"}) == (answer.status_code, answer.json())


async def test_names_in_all_languages_are_accepted(api: Any) -> None:
    persian, sinhala, hindi = (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",
        "\u0915\u094d\u200c\u0937",
    )
    plain = ("Zoë Müller", "Ολγα", "山田 太郎", "محمد", "שרה", "नीता", "O'Neil-Smith 🙂")
    async with api() as shop:
        for name in (*plain, persian, sinhala, hindi):
            answer = await shop.client.post("/orders", json={**_BODY, "user_id": name})
            assert 202 == answer.status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 202),
        ({"content-type": "application/json; charset=UTF-8"}, 202),
        ({}, 202),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
        ({"content-encoding": "gzip"}, 415),
    ],
)
async def test_an_order_must_be_json_by_its_content_type(
    api: Any, headers: dict[str, str], status: int
) -> None:
    async with api() as shop:
        body = json.dumps(_BODY).encode()
        answer = await shop.client.post("/orders", content=body, headers=headers)
    assert status == answer.status_code


@pytest.mark.parametrize("order_id", ["%00", "%FF", "o%0A1", "x" * 5000, "%E2%80%AE"])
async def test_an_id_that_no_order_can_have_is_not_found(api: Any, order_id: str) -> None:
    async with api() as shop:
        answer = await shop.client.get(f"/orders/{order_id}")
    assert 404 == answer.status_code


@pytest.mark.parametrize("method", ["PUT", "DELETE", "BREW", "OPTIONS", "TRACE"])
async def test_a_method_that_is_unknown_is_refused(api: Any, method: str) -> None:
    async with api() as shop:
        answer = await shop.client.request(method, "/orders", json=_BODY)
    assert 405 == answer.status_code


async def test_an_unreadable_database_is_answered_503(api: Any) -> None:
    async with api() as shop:
        async with shop.context.database.begin() as connection:
            await connection.execute(text("DROP TABLE orders"))
        answer = await shop.client.get("/orders/o-1")
    assert 503 == answer.status_code


async def test_answers_of_all_kinds_follow_the_http_conventions(api: Any) -> None:
    async with api() as shop:
        await shop.client.post("/orders", json=_BODY)
        await shop.client.post("/orders", content=b"{")
        await shop.client.get("/orders/o-1?colour=red")
        await shop.client.get("/elsewhere")
        await shop.client.delete("/orders")
        await shop.client.request("BREW", "/orders")
        async with shop.context.database.begin() as connection:
            await connection.execute(text("DROP TABLE orders"))
        await shop.client.get("/orders/o-1")

    shown = ("http.request.method", "http.response.status_code", "error.type")
    assert [
        ("POST /orders", "POST", 202, None),
        ("POST /orders", "POST", 400, None),
        ("GET /orders/{order_id}", "GET", 404, None),
        ("GET", "GET", 404, None),
        ("DELETE", "DELETE", 405, None),
        ("HTTP", "_OTHER", 405, None),
        ("GET /orders/{order_id}", "GET", 503, "503"),
    ] == [(span.name, *map((span.attributes or {}).get, shown)) for span in shop.recording.spans]
    assert [] == span_violations(shop.recording.spans)
    assert shop.recording.metrics
    assert [] == metric_violations(shop.recording.metrics)


async def test_no_caller_names_a_flow_or_switches_tracing_off(api: Any) -> None:
    caller = {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "baggage": "pipeline.name=EVIL,pipeline.origin=1000000000000",
    }
    async with api() as shop:
        await shop.client.post("/orders", json=_BODY, headers=caller)
        ((_, _, _, headers),) = await outbox_of(shop.context)
    (span,) = shop.recording.spans
    assert None is span.parent
    assert [0x4BF92F3577B34DA6A3CE929D0E0E4736] == [link.context.trace_id for link in span.links]
    stored = dict(headers)["baggage"] or b""
    assert b"pipeline.name=EVIL" not in stored
    assert b"1000000000000" not in stored
