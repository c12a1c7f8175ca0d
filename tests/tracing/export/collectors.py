"""Misbehaving collectors: raw HTTP on a loopback port, one thread per request."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Answer = Callable[[socket.socket, str], None]

TRACES, METRICS, LOGS = "/v1/traces", "/v1/metrics", "/v1/logs"
REQUESTS: dict[str, Any] = {
    TRACES: ExportTraceServiceRequest,
    METRICS: ExportMetricsServiceRequest,
    LOGS: ExportLogsServiceRequest,
}


def reply(status: str = "200 OK", body: bytes = b"", **headers: str) -> Answer:
    """Answer with this and keep the connection."""

    def answer(connection: socket.socket, _path: str) -> None:
        head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    return answer


class Collector:
    """Takes what OTLP exporters send while the `with` block lasts.

    Attributes:
        answer: How requests are answered; it may raise `OSError` to end the connection.
        bodies: What came, by path.
        closing: Set when the block is left: answers that take long stop then.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or reply()
        self.bodies: defaultdict[str, list[bytes]] = defaultdict(list)
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.closing.set()
        for opened in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def resources(self, path: str) -> list[dict[str, str]]:
        """The resource attributes of everything that came, in order, as texts."""
        field = {TRACES: "resource_spans", METRICS: "resource_metrics", LOGS: "resource_logs"}[path]
        return [
            {item.key: item.value.string_value for item in each.resource.attributes}
            for body in list(self.bodies[path])
            for each in getattr(REQUESTS[path].FromString(body), field)
        ]

    def spans(self) -> list[tuple[str, str]]:
        """The names of all spans that came, each with its service instance."""
        return [
            (
                span.name,
                next(
                    item.value.string_value
                    for item in resource.resource.attributes
                    if item.key == "service.instance.id"
                ),
            )
            for body in list(self.bodies[TRACES])
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as stream:
            while True:
                path = stream.readline().split(b" ")[1].decode() if stream.peek(1) else None
                if path is None:
                    break
                length = 0
                while (line := stream.readline().strip()) != b"":
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                self.bodies[path].append(stream.read(length))
                self.answer(connection, path)
        connection.close()


def hanging(collector: Collector) -> Answer:
    """Never answer, until the block is left."""

    def answer(_connection: socket.socket, _path: str) -> None:
        collector.closing.wait()
        raise OSError

    return answer
