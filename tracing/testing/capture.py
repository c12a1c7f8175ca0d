"""Telemetry kept in memory: providers to inject, and the recorded signals to assert on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tracing.testing.metric_values import minus, plus, points_of
from tracing.testing.span_trees import span_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.util.types import AttributeValue

    from tracing.testing.metric_values import HistogramValue, MetricValue


class Capture:
    """A tracer, a meter and a logger provider that keep everything in memory.

    No global is touched: pass the providers to the code under test. Use it as a context
    manager, or call `shutdown`.

    Args:
        service_name: The `service.name` of everything recorded.
        sampler: Decides which spans are kept; by default the SDK's.
    """

    def __init__(self, service_name: str = "test", *, sampler: Sampler | None = None) -> None:
        resource = Resource({"service.name": service_name})
        self._span_exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(
            sampler=sampler, resource=resource, shutdown_on_exit=False
        )
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._span_exporter))
        self._metric_reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider(
            [self._metric_reader], resource=resource, shutdown_on_exit=False
        )
        self._log_exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK
        self.logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._log_exporter))
        self._cleared: dict[tuple[str, frozenset[tuple[str, AttributeValue]]], MetricValue] = {}

    def spans(self) -> tuple[ReadableSpan, ...]:
        """Return the finished spans, in the order in which they ended."""
        return tuple(self._span_exporter.get_finished_spans())

    def tree(
        self, *, attributes: Sequence[str] = (), links: bool = False, types: bool = False
    ) -> str:
        """Draw the finished spans, as `span_tree` does.

        Args:
            attributes: The attributes to show, in this order.
            links: Whether to show the names of linked spans.
            types: Whether to show the type of the message after the name.
        """
        return span_tree(self.spans(), attributes=attributes, links=links, types=types)

    def metric(
        self, name: str, attributes: Mapping[str, AttributeValue] | None = None
    ) -> int | float | HistogramValue | None:
        """Sum an instrument's points since the start or the last `clear`.

        Args:
            name: The instrument's name.
            attributes: Count only points that carry all of these; `None` counts every point.

        Returns:
            The sum, or a histogram's count and sum; `None` when no point matches.
        """
        required = set((attributes or {}).items())
        total: MetricValue | None = None
        for point in points_of(self._metric_reader.get_metrics_data()):
            if point.name != name or not required <= point.attributes:
                continue
            before = self._cleared.get((point.name, point.attributes))
            value = point.value if before is None else minus(point.value, before)
            total = value if total is None else plus(total, value)
        return total

    def log_records(self) -> tuple[ReadableLogRecord, ...]:
        """Return the log records, in the order in which they were emitted."""
        return tuple(self._log_exporter.get_finished_logs())

    def clear(self) -> None:
        """Drop everything recorded so far; instruments count on from zero."""
        self._span_exporter.clear()
        self._log_exporter.clear()
        self._cleared = {
            (point.name, point.attributes): point.value
            for point in points_of(self._metric_reader.get_metrics_data())
            if point.adds_up
        }

    def shutdown(self) -> None:
        """Shut the providers down; recorded spans and logs stay readable, metrics do not."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
        self.logger_provider.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()
