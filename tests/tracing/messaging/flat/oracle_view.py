"""What came out of a run, as lines of text without anything that is random."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanContext

from tracing.core import semconv
from tracing.metrics.catch_up_metrics import CATCH_UP_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from tracing.metrics.histograms import Aggregator
    from tracing.testing import InMemoryBroker

_RECORD: Final = "pipeline-tracing-record"
_ID: Final = re.compile(r"(?<![0-9a-fA-F])(?:[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-fA-F])")


class Ids:
    """Replaces random ids by numbers, in the order in which they appear.

    Args:
        given: The ids of the scenario, which stay as they are.
    """

    def __init__(self, given: Iterable[str]) -> None:
        self._labels = {each: each for each in given}
        self._lowest = {each[16:]: each for each in self._labels if len(each) == 32}

    def without(self, line: str) -> str:
        return _ID.sub(self._label, line)

    def _label(self, found: re.Match[str]) -> str:
        digits = found[0]
        label = self._labels.get(digits)
        if label is None:
            label = f"<{len(digits)}:{len(self._labels)}>"
            if len(digits) == 32:
                # A linked trace has the lowest 64 bits of the other one.
                akin = self._lowest.setdefault(digits[16:], label)
                if akin != label:
                    label += f"~{akin}"
            self._labels[digits] = label
        return label


def shown(value: object) -> str:
    """Return any value as text, with its type where two of one text differ."""
    if isinstance(value, SpanContext):
        state = list(value.trace_state.items())
        return (
            f"{value.trace_id:032x}/{value.span_id:016x} remote={value.is_remote} "
            f"flags={int(value.trace_flags):02x} {state or ''}"
        )
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, float):
        # A difference of clocks can be off in the last digit.
        return f"{value:.9f}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {shown(each)}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "[" + ", ".join(map(shown, value)) + "]"
    return repr(value)


def keys_of(context: Mapping[str, object]) -> list[str]:
    """Return what is in a context; the flat path's own entry is for itself alone."""
    return sorted(str(key) for key in context if key != _RECORD)


def span_lines(span: ReadableSpan) -> list[str]:
    """Describe a span in everything that exporters can read."""
    scope, status = span.instrumentation_scope, span.status
    assert scope is not None
    lines = [
        f"{span.name} {span.kind.name} {shown(span.get_span_context())}",
        f"  parent {shown(span.parent)}",
        f"  times {span.start_time} {span.end_time}",
        f"  status {status.status_code.name} {status.description!r}",
        f"  from {scope.name} {scope.version} {scope.schema_url} {shown(span.resource.attributes)}",
        f"  dropped {span.dropped_attributes} {span.dropped_events} {span.dropped_links}",
    ]
    lines += [f"  {name} = {shown(value)}" for name, value in (span.attributes or {}).items()]
    for event in span.events:
        attributes = {
            name: _frames(value) if name == semconv.EXCEPTION_STACKTRACE else value
            for name, value in (event.attributes or {}).items()
        }
        lines.append(f"  ! {event.name} {event.timestamp} {shown(attributes)}")
    for link in span.links:
        dropped = getattr(link, "dropped_attributes", 0)
        lines.append(f"  ~> {shown(link.context)} {shown(link.attributes or {})} {dropped}")
    return lines


def encoded_lines(encoded: bytes, spans: Sequence[ReadableSpan]) -> list[str]:
    """Describe encoded spans; also holds them to what the SDK's encoder makes of the same spans."""
    ours = _by_id(ExportTraceServiceRequest.FromString(encoded))
    stock = _by_id(ExportTraceServiceRequest.FromString(encode_spans(spans).SerializeToString()))
    assert stock == ours
    # In the order of the spans: those that the SDK has to encode come last in a request.
    ids = [id_of(span).to_bytes(8, "big") for span in spans]
    return [f"otlp {_readable(ours[each])}".replace("\n", " ") for each in ids]


def id_of(span: ReadableSpan) -> int:
    """Return a span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def _by_id(request: ExportTraceServiceRequest) -> dict[bytes, Any]:
    return {
        span.span_id: (span, str(resource.resource), str(scope.scope), scope.schema_url)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def _readable(found: tuple[Any, ...]) -> str:
    span = found[0]
    ids = " ".join(each.hex() for each in (span.trace_id, span.span_id, span.parent_span_id))
    links = " ".join(f"{link.trace_id.hex()} {link.span_id.hex()}" for link in span.links)
    copy = type(span)()
    copy.CopyFrom(span)
    for part in (copy, *copy.links):
        part.ClearField("trace_id")
        part.ClearField("span_id")
    copy.ClearField("parent_span_id")
    for event in copy.events:
        for attribute in tuple(event.attributes):
            if attribute.key == semconv.EXCEPTION_STACKTRACE:
                attribute.value.string_value = _frames(attribute.value.string_value)
    return f"{ids} {links} {copy}"


def record_lines(broker: InMemoryBroker) -> list[str]:
    """Describe all records."""
    return [
        f"{record.topic}/{record.partition}/{record.offset} at {record.timestamp} "
        f"{record.key!r} {record.value!r} {shown(record.headers)}"
        for topic in broker.partitions()
        for record in broker.records(topic)
    ]


def metric_lines(data: MetricsData | None, aggregator: Aggregator | None) -> list[str]:
    """Describe all series with their values."""
    lines = [
        _point_line(metric.name, point)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        # It is read by the event loop's clock.
        if metric.name != CATCH_UP_RATE.name
        for point in metric.data.data_points
    ]
    for measured, series in (aggregator.totals() if aggregator else {}).items():
        for labels, totals in series.items():
            examples = [
                f"{bucket}: {each.value:.9f} at {each.time_ns} "
                f"{each.trace_id:032x} {each.span_id:016x}"
                for bucket, each in sorted(totals.exemplars.items())
            ]
            values = [totals.counts, totals.sum, totals.min, totals.max]
            lines.append(f"{measured.name} {sorted(labels)} {shown(values)} {examples}")
    return sorted(lines)


def _point_line(name: str, point: Any) -> str:
    parts = ("value", "count", "sum", "min", "max", "bucket_counts")
    values = [getattr(point, part, None) for part in parts]
    # In the order of their buckets: ids, which are random, would give another one in each run.
    examples = [
        f"{each.value:.9f} {each.trace_id or 0:032x} {each.span_id or 0:016x}"
        for each in point.exemplars or ()
    ]
    return f"{name} {sorted((point.attributes or {}).items())} {shown(values)} {examples}"


def log_lines(records: Iterable[ReadableLogRecord]) -> list[str]:
    """Describe log events."""
    lines = []
    for each in records:
        record = each.log_record
        attributes = dict(record.attributes or {})
        stack = str(attributes.pop(semconv.EXCEPTION_STACKTRACE, ""))
        lines.append(
            f"{record.event_name} {record.severity_text} {record.trace_id or 0:032x} "
            f"{record.span_id or 0:016x} {int(record.trace_flags or 0)} {shown(attributes)} "
            f"{_frames(stack)}"
        )
    return lines


def _frames(stack: object) -> str:
    # Those of the library differ: the same call takes another way.
    return " ".join(re.findall(r'tests/\S+", line \d+', str(stack)))
