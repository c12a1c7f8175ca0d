"""Reading spans and metrics tolerantly: the one place that knows their attributes."""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final

from opentelemetry.sdk.metrics.export import MetricsData, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from demo_pipeline.report.model import EventFacts, Role, SagaFacts, SpanFacts

_OPERATION: Final = "messaging.operation.name"
_TOPIC: Final = "messaging.destination.name"
_GROUP: Final = "messaging.consumer.group.name"
_CONVERSATION: Final = "messaging.message.conversation_id"
_MESSAGE_TYPE: Final = "cloudevents.event_type"
_WAIT_S: Final = "pipeline.wait.duration"
_PUBLISH_S: Final = "pipeline.publish.duration"
_CONNECTION_S: Final = "pipeline.resource.wait.database"
_BACKOFF_S: Final = "pipeline.retry.backoff"
_END_TO_END_S: Final = "pipeline.end_to_end.duration"
_ATTEMPTS: Final = "pipeline.attempts"
_OUTCOME: Final = "pipeline.outcome"
_ERROR_TYPE: Final = "error.type"
_DUPLICATE_EVENT: Final = "pipeline.duplicate"
_ORDER_EVENT: Final = "pipeline.out_of_order"
_CATCH_UP: Final = "pipeline.catch_up"
_SERVICE: Final = "service.name"
_SAGA_NAME: Final = "pipeline.saga.name"
_SAGA_ID: Final = "pipeline.saga.id"
_SAGA_STEP: Final = "pipeline.saga.step"
_SAGA_OUTCOME: Final = "pipeline.saga.outcome"
_SAGA_COMPENSATION: Final = "pipeline.saga.compensation"
_SAGA_OVERDUE: Final = "pipeline.saga.overdue"
_ROLES: Final = {role.value: role for role in Role if role is not Role.OTHER}
_OF_SAGAS: Final = frozenset({Role.SAGA, Role.SAGA_STEP})
_NS: Final = 1_000_000_000
# The largest duration that an OTLP timestamp can hold; anything longer is a wrong value.
_LONGEST_S: Final = 2**63 // _NS


def read_spans(spans: Iterable[ReadableSpan]) -> tuple[SpanFacts, ...]:
    """Read spans in the order of their starts, each once even if it was exported twice."""
    unique: dict[tuple[int, int], SpanFacts] = {}
    for span in spans:
        facts = read_span(span)
        unique.setdefault((facts.trace_id, facts.span_id), facts)
    return tuple(sorted(unique.values(), key=lambda span: (span.start_ns, span.span_id)))


def read_span(span: ReadableSpan) -> SpanFacts:
    """Read a span; never raise, whatever its attributes are."""
    attributes: Mapping[str, object] = span.attributes or {}
    context = span.get_span_context()
    start = span.start_time or 0
    outcome = _text(attributes, _OUTCOME)
    role = _role(span.name, attributes)
    return SpanFacts(
        trace_id=context.trace_id if context else 0,
        span_id=context.span_id if context else 0,
        parent_id=span.parent.span_id if span.parent else None,
        name=span.name,
        message_type=_text(attributes, _MESSAGE_TYPE),
        service=_text(span.resource.attributes, _SERVICE) or "unknown",
        kind=span.kind.name,
        role=role,
        topic=_text(attributes, _TOPIC),
        group=_text(attributes, _GROUP),
        conversation_id=_text(attributes, _CONVERSATION),
        start_ns=start,
        # A clock that was set back, or a span that never ended, counts as a duration of 0.
        end_ns=max(start, span.end_time or start),
        wait_ns=_duration_ns(attributes.get(_WAIT_S)),
        publish_ns=_duration_ns(attributes.get(_PUBLISH_S)),
        connection_ns=_duration_ns(attributes.get(_CONNECTION_S)),
        backoff_ns=_duration_ns(attributes.get(_BACKOFF_S)),
        end_to_end_ns=_duration_ns(attributes.get(_END_TO_END_S)),
        attempts=_count(attributes.get(_ATTEMPTS)),
        outcome=outcome,
        error_type=_text(attributes, _ERROR_TYPE),
        failed=outcome == "error" or span.status.status_code is StatusCode.ERROR,
        duplicate=any(event.name == _DUPLICATE_EVENT for event in span.events),
        out_of_order=any(event.name == _ORDER_EVENT for event in span.events),
        catch_up=attributes.get(_CATCH_UP) is True,
        saga=_read_saga(attributes) if role in _OF_SAGAS else None,
        attributes={**attributes, **_status(span)},
        events=_events(span),
    )


def number_points(
    metrics: Iterable[MetricsData], names: Container[str]
) -> Iterator[tuple[str, str, NumberDataPoint]]:
    """Yield the points of counters and gauges of these names, with service and metric name."""
    for data in metrics:
        for resource in data.resource_metrics:
            service = str(resource.resource.attributes.get(_SERVICE) or "unknown")
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name in names:
                        for point in metric.data.data_points:
                            if isinstance(point, NumberDataPoint):
                                yield service, metric.name, point


def _read_saga(attributes: Mapping[str, object]) -> SagaFacts:
    """Read the attributes of a saga's or a step's span; never raise, whatever they are."""

    def text(key: str) -> str:
        return str(attributes.get(key, ""))

    return SagaFacts(
        name=text(_SAGA_NAME) or "unknown",
        saga_id=text(_SAGA_ID),
        step=text(_SAGA_STEP),
        outcome=text(_SAGA_OUTCOME),
        compensation=attributes.get(_SAGA_COMPENSATION) is True,
        overdue=attributes.get(_SAGA_OVERDUE) is True,
    )


def _role(name: str, attributes: Mapping[str, object]) -> Role:
    operation = _text(attributes, _OPERATION) or name.partition(" ")[0]
    return _ROLES.get(operation, Role.OTHER)


def _text(attributes: Mapping[str, object], key: str) -> str:
    value = attributes.get(key)
    return "" if value is None else str(value)


def _duration_ns(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared first: arithmetic would let NaN through, and fail on huge numbers.
    if not abs(value) <= _LONGEST_S:
        return None
    return max(0, round(value * _NS))


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 1 else 1


def _status(span: ReadableSpan) -> dict[str, object]:
    """Return the status description of a span as an attribute, if it has one."""
    return {"status": span.status.description} if span.status.description else {}


def _events(span: ReadableSpan) -> tuple[EventFacts, ...]:
    return tuple(
        EventFacts(event.name, event.timestamp, event.attributes or {}) for event in span.events
    )
