"""Receive traces and metrics over OTLP/HTTP, as a Collector does, and keep what the checks need."""

from __future__ import annotations

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.chaos.saga_metrics import SagaMetrics
from tracing.core import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

_CONVERSATION = "messaging.message.conversation_id"
_SAGA_SPAN = f"{semconv.SAGA_SPAN} "


class Collector:
    """Listen on a free loopback port during the `with` block.

    Args:
        watch: Called with each span, its service and its attributes.

    Attributes:
        traces_of: The trace ids of all spans that name an order, by order id.
        saga_spans: The trace and span ids of the sagas' own spans, by saga and saga id.
        redelivered: Number of records that any service handled more than once.
        metrics: The sagas' metrics.
    """

    def __init__(
        self, watch: Callable[[str, Span, Mapping[str, AnyValue]], None] | None = None
    ) -> None:
        self.traces_of: defaultdict[str, set[str]] = defaultdict(set)
        self.saga_spans: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        self.redelivered = 0
        self.metrics = SagaMetrics()
        self._handled: set[tuple[object, ...]] = set()
        self._watch = watch
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                # The checks read while services still export.
                with collector._lock:
                    if self.path.endswith("/v1/traces"):
                        collector._take_traces(body)
                    elif self.path.endswith("/v1/metrics"):
                        collector._take_metrics(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take_traces(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _service(resource.resource)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._take_span(service, span)

    def _take_metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            service = _service(resource.resource)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.metrics.take(service, metric)

    def _take_span(self, service: str, span: Span) -> None:
        attributes = {item.key: item.value for item in span.attributes}
        if self._watch is not None:
            self._watch(service, span, attributes)
        if span.name.startswith(_SAGA_SPAN):
            saga = attributes[semconv.SAGA].string_value, attributes[semconv.SAGA_ID].string_value
            self.saga_spans[saga].add((span.trace_id.hex(), span.span_id.hex()))
        if _CONVERSATION in attributes:
            self.traces_of[attributes[_CONVERSATION].string_value].add(span.trace_id.hex())
            if span.name.startswith("process "):
                self._count_delivery(service, span.name, attributes)

    def _count_delivery(self, service: str, name: str, attributes: dict[str, AnyValue]) -> None:
        partition = attributes["messaging.destination.partition.id"].string_value
        record = (service, name, partition, attributes["kafka.offset"].int_value)
        self.redelivered += record in self._handled
        self._handled.add(record)


def _service(resource: Resource) -> str:
    names = (item.value.string_value for item in resource.attributes if item.key == "service.name")
    return str(next(names))
