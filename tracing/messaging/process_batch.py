"""Handling several records at once: one span that is linked to all of them, and the oldest flow."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, Status, StatusCode

from tracing.core import semconv
from tracing.core.otel_context import PROCESSING_KEY, SPAN_KEY, SUPPRESSED
from tracing.headers.flow import flow_attributes, in_flow
from tracing.headers.identity import EventIdentity
from tracing.messaging.body_size import record_sizes
from tracing.messaging.fan_in import MAX_LINKS, FanIn
from tracing.messaging.flat.batch import FlatFanIn
from tracing.messaging.flat.engine import engine_of
from tracing.messaging.handling import Handling, running_task
from tracing.messaging.outcome import ERROR, OK, Rejected, decisive
from tracing.messaging.resource_waits import ResourceWaits
from tracing.metrics import catalog
from tracing.metrics.series import OperationSeries

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping, Sequence
    from contextvars import Token

    from opentelemetry.trace import Span, SpanContext

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.fan_in import Arrived
    from tracing.messaging.outcome import Outcome
    from tracing.messaging.receive import Polling
    from tracing.messaging.subscription import SubscribedLane
    from tracing.messaging.transport import ClientInfo, Message
    from tracing.metrics.instruments import Durations
    from tracing.telemetry import Telemetry

# More would crowd out other events: the SDK keeps 128 of a span.
_MAX_FAULTS: Final = 16


class BatchProcessing(Handling):
    """The handling of several records at once; made by `TracedConsumer.process_batch`.

    Its span is no child of any of them, but linked to the first 128. If it begins a trace, that
    trace is sampled if a linked one is. What is sent inside belongs to the flow of the record whose
    origin is the oldest, so that the lag of what comes out is that of the slowest thing that went
    in; other baggage goes along where all records agree on it.

    Enter it, as a context manager, in the task that handles the records. It belongs to that task.
    It may be entered again once it is left, to try again: that is another span.

    Attributes:
        records: The records that are handled.
        span: The process span; invalid before the handling starts.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        handled: Sequence[tuple[Message, SubscribedLane]],
        polled: SpanContext | None,
        series: OperationSeries,
        flat: FlatFanIn | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._handled = handled
        self._flat = flat
        self._polled = polled
        self.records: tuple[Any, ...] = tuple(record for record, _ in handled)
        self.span: Span = INVALID_SPAN
        topic = one_topic(handled)
        operation = _operation(info)
        self._group = {semconv.GROUP: info.group} if info.group is not None else {}
        if topic is not None:
            operation[semconv.DESTINATION] = topic
        self._topic = topic
        self._name = semconv.span_name(semconv.PROCESS, topic)
        kind = None if topic is None else telemetry.kind(topic)
        if kind is not None:
            operation[semconv.MESSAGE_KIND] = kind
        self._attributes: dict[str, AttributeValue] = {
            **operation,
            **info.attributes(),
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[semconv.PROCESS],
        }
        self._series = series
        self._token: Token[Context] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._context: Context | None = None
        self._started = 0.0
        self._outcome: Outcome = OK
        self._reason: str | None = None
        self._waits: dict[str, float] = {}
        self._arrived: Sequence[Arrived] = ()
        self._duplicates: set[EventIdentity] = set()
        self._sized = not telemetry.body_sizes

    def duplicate(self, identity: EventIdentity) -> None:
        """Note a duplicate in the batch: the event is not counted in its flow's lag."""
        self._duplicates.add(identity)

    def waited(self, resource: str, seconds: float) -> None:
        """Record that the handler waited until now; see `tracing.waited_for`. Never raises."""
        if self._token is None:
            return
        waits = self._handled[0][1].waits
        if self._topic is None:
            # As its duration, it names no destination.
            waits = ResourceWaits(self._telemetry, self._group)
        waits.note(resource, seconds, started=self._started, noted=self._waits, span=self.span)

    def start(self) -> None:
        """Start the span and make it current in the running task. Never raises."""
        try:
            self._start()
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def end(self, error: BaseException | None = None) -> None:
        """End the span with the handler's outcome. Never raises."""
        duration = perf_counter() - self._started
        token, self._token = self._token, None
        if token is None:
            return
        # Whatever was started in here refers to this, and may outlive the task.
        own, self._task = self._task, None
        # Detaching in another task would fail, and that task's context is not ours to change.
        if own is running_task():
            detach(token)
        try:
            self._end(error, duration)
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def _start(self) -> None:
        ambient = get_current()
        if self._token is not None or not self._handled or ambient.get(SUPPRESSED):
            return
        self._started = perf_counter()
        self._outcome, self._reason = OK, None
        self._waits = {}
        self._duplicates.clear()
        telemetry, now_ns = self._telemetry, time_ns()
        read = self._read(now_ns // 1_000_000)
        self._arrived = read.arrived
        flow = read.flow
        attributes: dict[str, AttributeValue] = {
            **self._attributes,
            **flow_attributes(flow),
            **read.marks,
            semconv.BATCH_COUNT: len(self.records),
        }
        # What differs among the records is on their links.
        lanes = set(read.lanes)
        if len({lane.series for lane in lanes}) == 1:
            (lane, *_) = lanes
            self._series = lane.series
            message_type = lane.attributes.get(semconv.EVENT_TYPE)
            # Types that share the series are different ones all the same.
            if message_type is not None and all(
                each.attributes.get(semconv.EVENT_TYPE) == message_type for each in lanes
            ):
                attributes[semconv.EVENT_TYPE] = message_type
        if read.arrived:
            longest_ms = max(wait_ms for _, wait_ms, _, _ in read.arrived)
            attributes[semconv.WAIT] = max(0, longest_ms) / 1000
        if read.unlinked:
            telemetry.diagnostics.dropped("links", read.unlinked)
            attributes[semconv.LINKS_DROPPED] = read.unlinked
        self.span = telemetry.spans.start(
            self._name,
            ambient,
            SpanKind.CONSUMER,
            attributes,
            read.links if self._polled is None else read.links.followed_by(Link(self._polled)),
            now_ns,
            follows=read.links.deciding(),
        )
        for fault in read.faults[:_MAX_FAULTS]:
            self.span.add_event(semconv.OUT_OF_ORDER, fault)
        for durations, group in groupby(read.arrived, _durations):
            waits_ms = [wait_ms for _, wait_ms, _, _ in group]
            telemetry.diagnostics.clock_skew.value += _record(durations.wait, waits_ms, self.span)
        if not self._sized:
            # Once: another attempt reads the same bytes.
            self._sized = True
            record_sizes(zip(self.records, read.lanes, strict=True), self.span)
        self._context = Context(
            {**ambient, **in_flow(flow), SPAN_KEY: self.span, PROCESSING_KEY: self}
        )
        self._task = running_task()
        self._token = attach(self._context)

    def _read(self, now_ms: int) -> FanIn:
        max_links = MAX_LINKS if self._polled is None else MAX_LINKS - 1
        if self._flat is not None:
            return self._flat.read(self._handled, now_ms, max_links)
        read = FanIn(self._telemetry, now_ms, max_links)
        for record, lane in self._handled:
            read.add(record, lane)
        return read

    def _end(self, error: BaseException | None, duration: float) -> None:
        span, ended_ns = self.span, time_ns()
        try:
            self._tell(error, duration, ended_ns // 1_000_000)
        finally:
            span.end(ended_ns)

    def _tell(self, error: BaseException | None, duration: float, now_ms: int) -> None:
        spans, span = self._telemetry.spans, self.span
        error = None if error is None else decisive(error)
        if isinstance(error, Rejected):
            self.reject(error.reason)
            error = None
        # A request to stop is neither a failure nor an outcome: the records come again later.
        if error is None or isinstance(error, Exception):
            if error is None:
                self._series.succeeded.record(duration, span)
                self._tell_end_to_end(now_ms)
            else:
                self._outcome = ERROR
                self._failed(error, duration)
            spans.enrich(span, {semconv.OUTCOME: self._outcome})
        if self._reason is not None:
            spans.enrich(span, {semconv.REJECTION_REASON: self._reason})

    def _failed(self, error: Exception, duration: float) -> None:
        error_type = semconv.error_type(error)
        self._series.failed(error_type).record(duration, self.span)
        if self._context is not None:
            self._telemetry.record_exception(
                semconv.PROCESS, error, self._attributes, self._context
            )
        self.span.set_attribute(semconv.ERROR_TYPE, error_type)
        self.span.set_status(Status(StatusCode.ERROR))

    def _tell_end_to_end(self, now_ms: int) -> None:
        """Record the time from the origins of the flows until now."""
        longest_ms = -1
        duplicates = self._duplicates
        for durations, group in groupby(self._arrived, _durations):
            lags_ms = [
                now_ms - origin_ms
                for record, _, origin_ms, _ in group
                if origin_ms is not None
                and not (duplicates and EventIdentity.of(record) in duplicates)
            ]
            if lags_ms:
                skews = self._telemetry.diagnostics.origin_skew
                skews.value += _record(durations.end_to_end, lags_ms, self.span)
                longest_ms = max(longest_ms, 0, *lags_ms)
        if longest_ms >= 0:
            self._telemetry.spans.enrich(self.span, {semconv.END_TO_END: longest_ms / 1000})


class Batches:
    """Makes the handling of the batches of one consumer. For one event loop.

    Args:
        telemetry: What the service's clients share.
        info: The consumer.
        lanes: Its lanes, by topic and partition.
        polling: Its polls.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        lanes: Mapping[tuple[str, int], SubscribedLane],
        polling: Polling,
    ) -> None:
        self._telemetry = telemetry
        self._info = info
        self._lanes = lanes
        self._polling = polling
        self._mixed: OperationSeries | None = None
        engine = engine_of(telemetry)
        self._flat = None if engine is None else FlatFanIn(engine, telemetry)

    def of(self, records: Iterable[Any]) -> BatchProcessing:
        """Return the handling of several records, not started."""
        handled: list[tuple[Any, SubscribedLane]] = []
        topic = partition = lane = None
        for record in records:
            # Most records are of the same lane as the one before.
            if lane is None or record.partition != partition or record.topic != topic:
                topic, partition = record.topic, record.partition
                lane = self._lanes[topic, partition]
            handled.append((record, lane))
        polled = None
        if handled and self._polling.remembered:
            first = handled[0][0]
            polled = self._polling.poll_of(first, (first.topic, first.partition))
        series = self._mixed if one_topic(handled) is None else handled[0][1].series
        if series is None:
            # It names no destination.
            series = self._mixed = OperationSeries(
                self._telemetry.metrics, _operation(self._info), durations=catalog.PROCESS_DURATION
            )
        return BatchProcessing(self._telemetry, self._info, handled, polled, series, self._flat)


def one_topic(handled: Sequence[tuple[Message, SubscribedLane]]) -> str | None:
    """Return the topic of records; `None` where they have several, or there are none."""
    topic: str | None = None
    for record, _ in handled:
        if topic is None:
            topic = record.topic
        elif record.topic != topic:
            return None
    return topic


_durations: Final = itemgetter(3)


def _record(series: Durations, values_ms: list[int], span: Span) -> int:
    """Record values that are 0 where clocks disagree; return how many of them there are."""
    if min(values_ms) >= 0:
        series.record_all([value / 1000 for value in values_ms], span)
        return 0
    series.record_all([max(0, value) / 1000 for value in values_ms], span)
    return sum(value < 0 for value in values_ms)


def _operation(info: ClientInfo) -> dict[str, str | int]:
    operation: dict[str, str | int] = {
        semconv.SYSTEM: info.transport.system,
        semconv.OPERATION_NAME: semconv.PROCESS,
    }
    if info.group is not None:
        operation[semconv.GROUP] = info.group
    return operation
