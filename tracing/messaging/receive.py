"""Polls: one span for each poll that brought records, linked to them and from them."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current
from opentelemetry.trace import SpanKind

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.core.otel_context import SUPPRESSED
from tracing.headers import cloudevents
from tracing.headers.codec import last_value, latest
from tracing.headers.w3c import TRACEPARENT, TRACESTATE, is_version_00
from tracing.messaging.fan_in import MAX_LINKS, link_to
from tracing.messaging.flat.engine import engine_of
from tracing.messaging.message_type import described, type_of
from tracing.metrics import catalog
from tracing.metrics.series import OperationSeries
from tracing.spans.message_links import LinkPlan, MessageLinks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import Span, SpanContext

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.transport import ClientInfo
    from tracing.metrics.instruments import Count
    from tracing.metrics.message_types import ByType
    from tracing.telemetry import Telemetry

# Records of a few polls may wait while the next ones arrive; older ones lose only their link.
_REMEMBERED = 8
_TYPE = semconv.OPERATION_TYPES[semconv.POLL]


class Polling:
    """The polls of one consumer: spans, durations, and counts of delivered records."""

    def __init__(self, telemetry: Telemetry, info: ClientInfo) -> None:
        self._telemetry = telemetry
        self._group: dict[str, str | int] = {}
        if info.group is not None:
            self._group[semconv.GROUP] = info.group
        self._info = info
        self._transport = info.transport
        self._delivered = BoundedDict(self._new_counts)
        self._series = BoundedDict(self._new_series)
        # What links on the flat path share, by partition and type.
        self._link_plans = BoundedDict(_new_link_plan)
        self._flat = info.transport.system == semconv.SYSTEM_KAFKA and (
            engine_of(telemetry) is not None
        )
        self.remembered: dict[Any, deque[tuple[int, int, SpanContext]]] = {}
        """The last recorded polls by partition: first offset, last offset, and the span."""

    def delivered(self, topic: str, record: Any, present: Mapping[str, object]) -> None:
        """Count a record handed to the application.

        Args:
            topic: Its topic.
            record: The record.
            present: `latest(record.headers)`.
        """
        message_type = present.get(cloudevents.TYPE)
        if message_type.__class__ is not bytes or self._telemetry.message_type is not None:
            message_type = type_of(self._telemetry, record, present)
        self._delivered[topic][message_type].value += 1

    def received(self, topic: str, record: Any) -> None:
        """Count a record handed to the application, whose headers were not looked at before.

        Args:
            topic: Its topic.
            record: The record.
        """
        message_type = last_value(record.headers, cloudevents.TYPE)
        if type(message_type) is bytes and self._telemetry.message_type is None:
            self._delivered[topic][message_type].value += 1
        else:
            self.delivered(topic, record, latest(record.headers))

    def count(self, topic: str, message_type: bytes | None) -> Count:
        """Return the counter of a topic's delivered records of a type."""
        return self._delivered[topic][message_type]

    def polled(
        self,
        records: Mapping[Any, Sequence[Any]],
        started: float,
        started_ns: int,
    ) -> None:
        """Report a poll that brought records. Never raises."""
        try:
            self._polled(records, started, started_ns)
        except Exception as fault:
            self._telemetry.diagnostics.failed("poll", fault)

    def poll_of(self, record: Any, tp: Any) -> SpanContext | None:
        """Find the poll span that brought a record, if it was one of the last few."""
        recent = self.remembered.get(tp)
        if recent is None:
            return None
        offset = record.offset
        first, last, context = recent[-1]
        if first <= offset <= last:
            return context
        # The newest first: after a seek back, several polls have brought a record.
        for first, last, context in reversed(recent):
            if first <= offset <= last:
                return context
        return None

    def forget(self, partitions: Sequence[Any]) -> None:
        """Forget revoked partitions."""
        for tp in partitions:
            self.remembered.pop(tp, None)

    def _polled(
        self,
        records: Mapping[Any, Sequence[Any]],
        started: float,
        started_ns: int,
    ) -> None:
        counts: dict[str, int] = {}
        for tp, batch in records.items():
            counts[tp.topic] = counts.get(tp.topic, 0) + len(batch)
        total = sum(counts.values())
        if not total:
            return
        for tp, batch in records.items():
            self._count(tp.topic, batch)
        topic = next(iter(counts)) if len(counts) == 1 else ""
        self._series[topic].succeeded.record(perf_counter() - started)
        context = get_current()
        if context.get(SUPPRESSED):
            return
        attributes: dict[str, AttributeValue] = {
            **self._operation(topic),
            **self._info.attributes(),
            semconv.OPERATION_TYPE: _TYPE,
            semconv.BATCH_COUNT: total,
        }
        telemetry = self._telemetry
        # The first record decides on sampling. To look for a sampled one would take longer the
        # fewer there are, and nothing breaks off without the poll: only recorded polls are linked.
        tp, record = next((tp, batch[0]) for tp, batch in records.items() if batch)
        first = telemetry.propagation.creation(record.headers, latest(record.headers), tp.topic)
        span = telemetry.spans.start(
            semconv.span_name(semconv.POLL, topic),
            context,
            SpanKind.CLIENT,
            attributes,
            start_ns=started_ns,
            follows=None if first is None else first.get_span_context(),
        )
        if span.is_recording():
            telemetry.spans.link(span, self._links(records, first))
            if total > MAX_LINKS:
                telemetry.diagnostics.dropped("links", total - MAX_LINKS)
                telemetry.spans.enrich(span, {semconv.LINKS_DROPPED: total - MAX_LINKS})
            for tp, batch in records.items():
                if batch:
                    recent = self.remembered.setdefault(tp, deque(maxlen=_REMEMBERED))
                    recent.append((batch[0].offset, batch[-1].offset, span.get_span_context()))
        span.end()

    def _count(self, topic: str, batch: Sequence[Any]) -> None:
        """Count the records of one partition."""
        counts, telemetry = self._delivered[topic], self._telemetry
        if not telemetry.labels_types:
            counts[None].value += len(batch)
            return
        asks = telemetry.message_type is not None
        last: bytes | None = None
        number = 0
        for record in batch:
            message_type = last_value(getattr(record, "headers", ()), cloudevents.TYPE)
            if asks or message_type.__class__ is not bytes:
                message_type = type_of(telemetry, record)
            # Most records are of the same type as the one before.
            if message_type != last:
                if number:
                    counts[last].value += number
                last, number = message_type, 0
            number += 1
        if number:
            counts[last].value += number

    def _links(self, records: Mapping[Any, Sequence[Any]], first: Span | None) -> MessageLinks:
        """Link to the spans that created the records; `first` is the first record's."""
        links = MessageLinks()
        propagation = self._telemetry.propagation
        looked_at = 0
        for tp, batch in records.items():
            flat = self._flat and not propagation.has_boundary(tp.topic)
            for record in batch[: MAX_LINKS - looked_at]:
                present = latest(record.headers)
                looked_at += 1
                if flat and (traceparent := _plain(present)) is not None:
                    plan = self._link_plans[record.partition, present.get(cloudevents.TYPE)]
                    links.add(traceparent, plan, record.offset)
                    continue
                creation = first
                if looked_at > 1:
                    creation = propagation.creation(record.headers, present, tp.topic)
                if creation is not None:
                    message_type = type_of(self._telemetry, record, present)
                    message = {**self._transport.placement(record), **described(message_type)}
                    links.append(link_to(creation, message))
        return links

    def _new_counts(self, topic: str) -> ByType[Count]:
        telemetry, operation = self._telemetry, self._operation(topic)
        kind = telemetry.kind(topic)
        if kind is not None:
            operation[semconv.KIND_LABEL] = kind
        return telemetry.by_type(
            lambda label: telemetry.metrics.count(
                catalog.CONSUMED_MESSAGES, {**operation, **telemetry.type_labels(label)}
            ),
            count_invalid=False,
        )

    def _new_series(self, topic: str) -> OperationSeries:
        return OperationSeries(
            self._telemetry.metrics,
            {**self._operation(topic), semconv.OPERATION_TYPE: _TYPE},
            durations=catalog.OPERATION_DURATION,
        )

    def _operation(self, topic: str) -> dict[str, str | int]:
        operation = {
            semconv.SYSTEM: self._transport.system,
            semconv.OPERATION_NAME: semconv.POLL,
            **self._group,
        }
        if topic:
            operation[semconv.DESTINATION] = topic
        return operation


def _plain(present: Mapping[str, object]) -> bytes | None:
    """Return the `traceparent` of a record that is linked as most are; else `None`."""
    traceparent = present.get(TRACEPARENT)
    if (
        isinstance(traceparent, bytes)
        and is_version_00(traceparent)
        and TRACESTATE not in present
        and isinstance(present.get(cloudevents.TYPE, b""), bytes)
    ):
        return traceparent
    return None


def _new_link_plan(placed: tuple[int, object]) -> LinkPlan:
    partition, message_type = placed
    named = described(message_type if isinstance(message_type, bytes) else None)
    return LinkPlan({semconv.PARTITION: str(partition)}, semconv.OFFSET, named)
