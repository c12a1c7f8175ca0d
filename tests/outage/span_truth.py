"""What the spans say about each hop, for comparison with metrics, which are counted apart."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from demo_pipeline.domain.topics import PIPELINE as ORDERS
from tracing.core import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

_RESOURCE_WAIT = f"{semconv.RESOURCE_WAIT}."
_SENDS = frozenset({semconv.SEND, semconv.DEAD_LETTER})


class Hop(NamedTuple):
    """Messages of one type and pipeline on their way from a topic to a service."""

    service: str
    group: str
    topic: str
    type: str
    pipeline: str


class Send(NamedTuple):
    """Sends of one kind: an operation of a service, its topic, and its error, if it failed."""

    service: str
    topic: str
    operation: str
    error: str


class Attempt(NamedTuple):
    """One attempt at a record: what it took, in seconds, and how it failed, if it did."""

    took_s: float
    error: str


class _Retry(NamedTuple):
    """A further attempt: its times in unix ns, its wait before, and the error before."""

    start_ns: int
    end_ns: int
    backoff_s: float
    cause: str


class Values(defaultdict[Hop, "array[float]"]):
    """Values by hop, in little memory."""

    def __init__(self) -> None:
        super().__init__(lambda: array("d"))

    def by(self, *fields: str) -> dict[tuple[str, ...], list[float]]:
        """Return the values by some fields of their hops."""
        pooled: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        for hop, values in self.items():
            pooled[tuple(getattr(hop, field) for field in fields)].extend(values)
        return dict(pooled)


class SpanTruth:
    """Adds up spans as they arrive.

    Attributes:
        took: Seconds of each attempt at a record.
        failed: Number of failed attempts, by hop and error.
        waited: Seconds from each record's timestamp to its handling.
        published: Seconds from each event's creation to its record.
        ages: Seconds from the start of each flow to the end of the handling.
        sizes: Bytes of each value.
        resource_waits: By resource, the seconds that each attempt waited for it.
        retries: Number of further attempts, by hop and the error before.
        retried_s: Seconds from the first to the last attempt, where there were several.
        attempts: Number of attempts, where there were several.
        handled_s: Seconds of the first and the last attempt together, where the last succeeded.
        made_good_s: As `retried_s`, where the last attempt succeeded.
        sent_s: Seconds of each send, by service, topic, operation and error, if it failed.
        polled_s: Seconds of each poll that brought records, by service.
        dropped_links: Number of links that had no place on a span, by service.
        events: Number of span events, by name, group and topic.
        schemas: Number of values with a schema, by subject, version and whether written or read.
    """

    def __init__(self) -> None:
        self.took = Values()
        self.failed: Counter[tuple[Hop, str]] = Counter()
        self.waited = Values()
        self.published = Values()
        self.ages = Values()
        self.sizes = Values()
        self.resource_waits: defaultdict[str, Values] = defaultdict(Values)
        self.retries: Counter[tuple[Hop, str]] = Counter()
        self.retried_s = Values()
        self.attempts = Values()
        self.handled_s = Values()
        self.made_good_s = Values()
        self.sent_s: defaultdict[Send, array[float]] = defaultdict(lambda: array("d"))
        self.polled_s: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        self.dropped_links: Counter[str] = Counter()
        self.events: Counter[tuple[str, str, str]] = Counter()
        self.schemas: Counter[tuple[str, str, str]] = Counter()
        # Of records that are still handled, by the id of their process span.
        self._retries: defaultdict[bytes, list[_Retry]] = defaultdict(list)

    def take(self, service: str, span: Span, attributes: Mapping[str, AnyValue]) -> None:
        """Take a span of a service."""
        operation = _text(attributes, semconv.OPERATION_NAME)
        if semconv.LINKS_DROPPED in attributes:
            self.dropped_links[service] += attributes[semconv.LINKS_DROPPED].int_value
        if operation == semconv.PROCESS:
            self._take_record(_hop(service, attributes), span, attributes)
        elif operation == semconv.RETRY:
            self._take_waits(_hop(service, attributes), attributes)
            backoff_s = attributes[semconv.BACKOFF].double_value
            cause = _text(attributes, semconv.RETRY_CAUSE)
            self._retries[span.parent_span_id].append(
                _Retry(span.start_time_unix_nano, span.end_time_unix_nano, backoff_s, cause)
            )
        elif operation in _SENDS:
            self._take_send(service, operation, span, attributes)
        elif operation == semconv.POLL:
            self.polled_s[service].append(_seconds(span))

    def _take_record(self, hop: Hop, span: Span, attributes: Mapping[str, AnyValue]) -> None:
        retries = sorted(self._retries.pop(span.span_id, ()))
        for name, values in (
            (semconv.WAIT, self.waited),
            (semconv.PUBLISH, self.published),
            (semconv.END_TO_END, self.ages),
        ):
            if name in attributes:
                values[hop].append(attributes[name].double_value)
        # Without an outcome the process was asked to stop, and the record is delivered again.
        if semconv.OUTCOME not in attributes:
            return
        self._take_waits(hop, attributes)
        if semconv.BODY_SIZE in attributes:
            self.sizes[hop].append(attributes[semconv.BODY_SIZE].int_value)
        if semconv.SCHEMA_SUBJECT in attributes:
            self._take_schema("read", attributes)
        for event in span.events:
            self.events[event.name, hop.group, hop.topic] += 1
        times = span.start_time_unix_nano, span.end_time_unix_nano
        self._take_attempts(hop, times, retries, _text(attributes, semconv.ERROR_TYPE))

    def _take_attempts(
        self, hop: Hop, times_ns: tuple[int, int], retries: list[_Retry], last_error: str
    ) -> None:
        every = attempts_of(times_ns, retries, last_error)
        if not last_error:
            first_s = every[0].took_s if retries else 0.0
            self.handled_s[hop].append(first_s + every[-1].took_s)
            if retries:
                self.made_good_s[hop].append(retried_s(retries))
        for attempt in every:
            self.took[hop].append(attempt.took_s)
            if attempt.error:
                self.failed[hop, attempt.error] += 1
        if retries:
            self.attempts[hop].append(len(retries) + 1)
            self.retried_s[hop].append(retried_s(retries))
        for retry in retries:
            self.retries[hop, retry.cause] += 1

    def _take_waits(self, hop: Hop, attributes: Mapping[str, AnyValue]) -> None:
        for name, value in attributes.items():
            if name.startswith(_RESOURCE_WAIT):
                resource = name.removeprefix(_RESOURCE_WAIT)
                self.resource_waits[resource][hop].append(value.double_value)

    def _take_send(
        self, service: str, operation: str, span: Span, attributes: Mapping[str, AnyValue]
    ) -> None:
        error = _text(attributes, semconv.ERROR_TYPE)
        topic = _text(attributes, semconv.DESTINATION)
        self.sent_s[Send(service, topic, operation, error)].append(_seconds(span))
        if semconv.SCHEMA_SUBJECT in attributes and not error:
            self._take_schema("written", attributes)

    def _take_schema(self, outcome: str, attributes: Mapping[str, AnyValue]) -> None:
        subject = _text(attributes, semconv.SCHEMA_SUBJECT)
        self.schemas[subject, str(attributes[semconv.SCHEMA_VERSION].int_value), outcome] += 1


def attempts_of(
    times_ns: tuple[int, int], retries: Sequence[_Retry], last_error: str
) -> list[Attempt]:
    """Return the attempts at a record.

    Args:
        times_ns: The start and the end of its process span, which holds all of them.
        retries: The further attempts, in their order.
        last_error: The error of the last one, if it failed.
    """
    start_ns, end_ns = times_ns
    if not retries:
        return [Attempt((end_ns - start_ns) / 1e9, last_error)]
    causes = [*(retry.cause for retry in retries), last_error]
    first_s = (retries[0].start_ns - start_ns) / 1e9 - retries[0].backoff_s
    took_s = [first_s, *((retry.end_ns - retry.start_ns) / 1e9 for retry in retries)]
    return [Attempt(seconds, error) for seconds, error in zip(took_s, causes, strict=True)]


def retried_s(retries: Sequence[_Retry]) -> float:
    """Return the seconds from the end of the first attempt to the start of the last one."""
    first, last = retries[0], retries[-1]
    return (last.start_ns - first.start_ns) / 1e9 + first.backoff_s


def _hop(service: str, attributes: Mapping[str, AnyValue]) -> Hop:
    return Hop(
        service,
        _text(attributes, semconv.GROUP),
        _text(attributes, semconv.DESTINATION),
        _text(attributes, semconv.EVENT_TYPE),
        # A record without a flow counts in the pipeline of its service.
        _text(attributes, semconv.PIPELINE) or ORDERS,
    )


def _seconds(span: Span) -> float:
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9


def _text(attributes: Mapping[str, AnyValue], name: str) -> str:
    return attributes[name].string_value if name in attributes else ""
