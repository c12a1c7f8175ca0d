"""Commits: always timed; spans only with `Telemetry(commit_spans=True)`."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.trace import SpanKind, Status, StatusCode

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.metrics import catalog
from tracing.metrics.series import OperationSeries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.trace import Span

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.transport import ClientInfo
    from tracing.telemetry import Telemetry


class Committing:
    """The commits of one consumer."""

    def __init__(self, telemetry: Telemetry, info: ClientInfo) -> None:
        self._telemetry = telemetry
        self._operation: dict[str, str | int] = {
            semconv.SYSTEM: info.transport.system,
            semconv.OPERATION_NAME: semconv.COMMIT,
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[semconv.COMMIT],
        }
        if info.group is not None:
            self._operation[semconv.GROUP] = info.group
        self._info = info
        self._series = BoundedDict(self._new_series)

    @contextmanager
    def commit(self, offsets: Mapping[Any, Any] | None) -> Iterator[None]:
        """Measure one commit; errors pass through."""
        topic = _only_topic(offsets)
        span = self._begin(topic)
        started = perf_counter()
        try:
            yield
        except BaseException as error:
            self._end(topic, span, perf_counter() - started, error)
            raise
        self._end(topic, span, perf_counter() - started, None)

    def _begin(self, topic: str) -> Span | None:
        if not self._telemetry.commit_spans:
            return None
        try:
            attributes = self._attributes()
            if topic:
                attributes[semconv.DESTINATION] = topic
            return self._telemetry.spans.start(
                semconv.span_name(semconv.COMMIT, topic), get_current(), SpanKind.CLIENT, attributes
            )
        except Exception as fault:
            self._telemetry.diagnostics.failed("commit", fault)
            return None

    def _end(
        self, topic: str, span: Span | None, duration: float, error: BaseException | None
    ) -> None:
        try:
            series = self._series[topic]
            if isinstance(error, Exception):
                kind = semconv.error_type(error)
                series.failed(kind).record(duration)
                context = get_current()
                if span is not None:
                    span.set_attribute(semconv.ERROR_TYPE, kind)
                    span.set_status(Status(StatusCode.ERROR))
                    context = trace.set_span_in_context(span, context)
                self._telemetry.record_exception(semconv.COMMIT, error, self._attributes(), context)
            elif error is None:
                series.succeeded.record(duration)
            if span is not None:
                span.end()
        except Exception as fault:
            self._telemetry.diagnostics.failed("commit", fault)

    def _attributes(self) -> dict[str, AttributeValue]:
        return {**self._operation, **self._info.attributes()}

    def _new_series(self, topic: str) -> OperationSeries:
        labels = dict(self._operation)
        if topic:
            labels[semconv.DESTINATION] = topic
        return OperationSeries(
            self._telemetry.metrics, labels, durations=catalog.OPERATION_DURATION
        )


def _only_topic(offsets: Mapping[Any, Any] | None) -> str:
    try:
        topics = {partition.topic for partition in offsets or ()}
    except Exception:
        # The consumer itself refuses offsets that cannot be committed.
        return ""
    return topics.pop() if len(topics) == 1 else ""
