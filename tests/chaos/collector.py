"""Takes traces by OTLP/HTTP, as a Collector does, and remembers what the checks ask for."""

from __future__ import annotations

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from types import TracebackType

_CONVERSATION = "messaging.message.conversation_id"


class Collector:
    """Listens on a free loopback port while the `with` block lasts.

    Attributes:
        traces_of: The trace ids of all spans that name an order, by order id.
        services_of: The services that handled an order, by order id.
        redelivered: How many records were handled more than once, by all services.
    """

    def __init__(self) -> None:
        self.traces_of: defaultdict[str, set[str]] = defaultdict(set)
        self.services_of: defaultdict[str, set[str]] = defaultdict(set)
        self._handled: set[tuple[object, ...]] = set()
        self.redelivered = 0
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path.endswith("/v1/traces"):
                    collector._take(body)
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

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            for resource in request.resource_spans:
                service = next(
                    attribute.value.string_value
                    for attribute in resource.resource.attributes
                    if attribute.key == "service.name"
                )
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        found = {item.key: item.value for item in span.attributes}
                        if _CONVERSATION not in found:
                            continue
                        order_id = found[_CONVERSATION].string_value
                        self.traces_of[order_id].add(span.trace_id.hex())
                        self.services_of[order_id].add(service)
                        if span.name.startswith("process "):
                            record = (
                                service,
                                span.name,
                                found["messaging.destination.partition.id"].string_value,
                                found["messaging.kafka.offset"].int_value,
                            )
                            self.redelivered += record in self._handled
                            self._handled.add(record)
