"""The check of the conventions notices every kind of fault, and the catalogue has none."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from tests.semconv import model
from tests.semconv.conformance import catalog_violations, metric_violations, span_violations
from tracing.core import semconv
from tracing.metrics import catalog

SEND: dict[str, Any] = {
    "messaging.system.name": "kafka",
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
    "messaging.destination.name": "orders",
    "kafka.offset": 7,
}
GET: dict[str, Any] = {
    "http.request.method": "GET",
    "url.scheme": "http",
    "url.path": "/orders/1",
    "http.route": "/orders/{id}",
}
HTTP_SCOPE = "opentelemetry.instrumentation.asgi"
ASKED: dict[str, Any] = {
    "http.request.method": "GET",
    "server.address": "127.0.0.1",
    "server.port": 80,
    "url.full": "http://127.0.0.1/orders/1",
    "url.template": "/orders/{id}",
}
HTTP_CLIENT_SCOPE = "opentelemetry.instrumentation.httpx"


def span(
    attributes: dict[str, Any],
    name: str = "send orders",
    kind: SpanKind = SpanKind.PRODUCER,
    scope: str = semconv.SCOPE_NAME,
    schema: str = model.SCHEMA_URL,
) -> ReadableSpan:
    provider = TracerProvider(resource=Resource({"service.name": "s"}), shutdown_on_exit=False)
    made = provider.get_tracer(scope, "1", schema).start_span(name, kind=kind)
    made.set_attributes(attributes)
    made.end()
    assert isinstance(made, ReadableSpan)
    return made


def test_the_schema_of_all_signals_is_that_of_the_model() -> None:
    assert model.SCHEMA_URL == semconv.SCHEMA_URL


def test_every_metric_of_the_catalogue_follows_the_conventions() -> None:
    assert [] == catalog_violations(catalog.METRICS)


def test_every_attribute_of_ours_is_in_the_conventions_or_outside_their_namespaces() -> None:
    names = {value for value in vars(semconv).values() if isinstance(value, str) and "." in value}
    theirs = {name for name in names if name.partition(".")[0] in model.NAMESPACES}
    assert set() == theirs - model.ATTRIBUTES.keys()
    assert {"messaging.system.name", "kafka.offset"} <= theirs


def test_conforming_spans_have_no_violations() -> None:
    get = span(GET, "GET /orders/{id}", SpanKind.SERVER, HTTP_SCOPE)
    asked = span(ASKED, "GET /orders/{id}", SpanKind.CLIENT, HTTP_CLIENT_SCOPE)
    saga = span({"pipeline.saga.name": "s"}, "saga s", SpanKind.INTERNAL)

    assert [] == span_violations([span(SEND), get, asked, saga])


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"messaging.system": "kafka"}, "messaging.system is deprecated"),
        ({"messaging.kafka.offset": 7}, "messaging.kafka.offset is deprecated"),
        ({"http.method": "GET"}, "http.method is deprecated"),
        ({"orders.id": 7}, "orders.id is in neither the conventions nor ours"),
        ({"pipeline.unheard_of": 7}, "pipeline.unheard_of is in neither the conventions nor ours"),
        ({"kafka.offset": "7"}, "kafka.offset is a str, not int"),
        ({"kafka.offset": True}, "kafka.offset is a bool, not int"),
        ({"messaging.system.name": "carrier pigeon"},
         "messaging.system.name is carrier pigeon, which is no member"),
        ({"messaging.system.name": 7}, "messaging.system.name is a int"),
        ({"kafka.message.tombstone": False}, "kafka.message.tombstone where it is false"),
        ({"error.type": "E"}, "error.type with the status UNSET"),
        ({"server.port": 9092}, "server.port without server.address"),
        ({"messaging.operation.type": "process"}, "kind PRODUCER for the type process"),
        ({"messaging.operation.type": "process"}, "messaging.consumer.group.name is missing"),
        ({"messaging.operation.type": "receive"}, "messaging.batch.message_count is missing"),
        ({"messaging.destination.name": "payments"}, "the name is not operation and destination"),
    ],
)  # fmt: skip
def test_wrong_attributes_of_a_messaging_span_are_noticed(
    change: dict[str, Any], violation: str
) -> None:
    assert f"send orders: {violation}" in span_violations([span({**SEND, **change})])


@pytest.mark.parametrize(
    "missing", ["messaging.system.name", "messaging.operation.type", "messaging.destination.name"]
)
def test_missing_attributes_of_a_messaging_span_are_noticed(missing: str) -> None:
    rest = {name: value for name, value in SEND.items() if name != missing}

    assert f"send orders: {missing} is missing" in span_violations([span(rest)])


@pytest.mark.parametrize("missing", ["http.request.method", "url.scheme", "url.path"])
def test_missing_attributes_of_a_server_span_are_noticed(missing: str) -> None:
    rest = {name: value for name, value in GET.items() if name != missing}
    made = span(rest, "GET /orders/{id}", SpanKind.SERVER, HTTP_SCOPE)

    assert f"GET /orders/{{id}}: {missing} is missing" in span_violations([made])


@pytest.mark.parametrize(
    "missing", ["http.request.method", "server.address", "server.port", "url.full"]
)
def test_missing_attributes_of_a_client_span_are_noticed(missing: str) -> None:
    rest = {name: value for name, value in ASKED.items() if name != missing}
    made = span(rest, "GET /orders/{id}", SpanKind.CLIENT, HTTP_CLIENT_SCOPE)

    assert f"GET /orders/{{id}}: {missing} is missing" in span_violations([made])


def test_other_faults_of_a_client_span_are_noticed() -> None:
    made = span(ASKED, "GET /orders/1", SpanKind.INTERNAL, HTTP_CLIENT_SCOPE)

    assert [
        "GET /orders/1: kind INTERNAL",
        "GET /orders/1: the name is not method and template",
    ] == span_violations([made])


def test_other_faults_of_spans_are_noticed() -> None:
    server = span(GET, "GET /orders/1", SpanKind.INTERNAL, HTTP_SCOPE, "https://old/1.11.0")
    stranger = span({}, "work", SpanKind.CLIENT, "someone.elses")
    stray = span({"kafka.offset": 1}, "saga s", SpanKind.INTERNAL)
    failed = TracerProvider(resource=Resource({"process.pid": 1}), shutdown_on_exit=False)
    without_type = failed.get_tracer(semconv.SCOPE_NAME, "1", "https://old/1.44.0")
    failure = without_type.start_span("saga s")
    failure.add_event("thought", {"messaging.kafka.offset": 1})
    failure.set_status(StatusCode.ERROR)
    failure.end()
    assert isinstance(failure, ReadableSpan)

    assert [
        "GET /orders/1: kind INTERNAL",
        "GET /orders/1: schema https://old/1.11.0",
        "GET /orders/1: the name is not method and route",
        "saga s: attributes of messages on a span of no messaging operation",
        "saga s: error.type with the status ERROR",
        "saga s: event thought is not ours",
        "saga s: messaging.kafka.offset is deprecated",
        "saga s: process.pid is in neither the conventions nor ours",
        "saga s: schema https://old/1.44.0",
        "work: kind CLIENT without an operation",
        "work: scope someone.elses",
    ] == span_violations([server, stranger, stray, failure])


def test_faults_of_metrics_are_noticed() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter(semconv.SCOPE_NAME, "1", model.SCHEMA_URL)
    duration = meter.create_histogram("messaging.process.duration", unit="ms")
    duration.record(1, {"messaging.system": "kafka", "messaging.operation.name": "process"})
    meter.create_counter("http.server.duration", unit="ms").add(1, {"url.scheme": "http"})
    meter.create_counter("pipeline.retries", unit="{attempt}").add(1, {"order": 1})
    data = reader.get_metrics_data()
    assert data is not None
    provider.shutdown()

    assert [
        "http.server.duration: http.request.method is missing",
        "http.server.duration: no such metric",
        "messaging.process.duration: a histogram in ms, not a histogram in s",
        "messaging.process.duration: messaging.system is deprecated",
        "messaging.process.duration: messaging.system.name is missing",
        "pipeline.retries: order is in neither the conventions nor ours",
    ] == metric_violations([data])


def test_faults_of_the_catalogue_are_noticed() -> None:
    wrong = dataclasses.replace(
        catalog.SENT_MESSAGES, unit="1", labels=("messaging.system", "colour")
    )

    assert [
        "messaging.client.sent.messages: a counter in 1, not a counter in {message}",
        "messaging.client.sent.messages: colour is in neither the conventions nor ours",
        "messaging.client.sent.messages: messaging.system is deprecated",
    ] == catalog_violations([wrong])
