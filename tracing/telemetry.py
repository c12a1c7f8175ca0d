"""The root object: options resolved once, and what all wrapped clients of a service share."""

import math
import re
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Literal, TypeVar

from opentelemetry import metrics as metrics_api
from opentelemetry import propagate
from opentelemetry import trace as trace_api
from opentelemetry._logs import LoggerProvider, LogRecord, SeverityNumber, get_logger
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import TracerProvider

from tracing.core import semconv
from tracing.core.callables import discard, require_sync
from tracing.core.environment import fast_paths, order_topics, service_name, type_label
from tracing.core.log import warn_once
from tracing.core.otel_context import without_record
from tracing.core.semconv import AttributeValue
from tracing.core.text import MAX_NAME, is_name, plain_text
from tracing.headers import cloudevents
from tracing.headers.boundary import Boundary
from tracing.headers.context import Propagation
from tracing.headers.flow import DEFAULT_MAX_AGE_S, OriginWindow
from tracing.metrics.cardinality import DEFAULT_MAX_SERIES, LEAST_MAX_SERIES
from tracing.metrics.diagnostics import Diagnostics
from tracing.metrics.histograms import Aggregator
from tracing.metrics.instruments import metrics_on
from tracing.metrics.message_types import ByType
from tracing.metrics.series import PipelineNames
from tracing.spans.choose import span_starter

Relation = Literal["parent", "link", "both"]
"""How a process span relates to the context in which its message was created."""
MessageKind = Literal["event", "command"]
"""An event is a fact for any number of readers; a command is an instruction to one receiver."""

_MAX_MESSAGE = 1024

Value = TypeVar("Value")


class Telemetry:
    """What the wrapped clients of one service share. Make one per service.

    Args:
        pipeline: The business flow that the service's root events begin, for example `orders`.
            It travels with every event and becomes a metric label: use few, fixed names.
        tracer_provider: By default the global one.
        meter_provider: By default the global one.
        logger_provider: Where failures are recorded as log events; by default the global one.
        propagator: What writes and reads context headers; by default the global one.
        aggregator: Aggregates durations locally; comes with `tracing.otlp.configure`.
        source: The `ce_source` of events that do not name one; by default the service name.
        relation: How process spans relate to their message's creation context: `parent` puts
            both in one trace, `link` keeps traces apart, `both` does both. One for all topics,
            or by topic (others: `parent`). A linked trace keeps the sampling decision of the
            message's trace: the sampler decides as for a child.
        link_after_s: Messages older than this, in seconds, are always linked, never a parent.
        boundaries: What context may cross a topic, by topic; by default everything.
        max_flow_age_s: How much older than a record its flow's origin, and its event's time, may
            be, in seconds. What is older, or in the future by more than 5 minutes, is counted as
            invalid and treated as absent: one wrong origin would otherwise make years of lag. By
            default 30 days, longer than topics usually keep records (7 days) and people keep
            sagas waiting.
        cloudevents: Whether to complete the CloudEvents headers of what is sent.
        create_spans: Whether each message of a batch gets a `create` span of its own. Without,
            the messages carry the context that is current when they are appended.
        commit_spans: Whether commits are spans too; they are timed in any case.
        message_keys: Whether keys that are text may appear on spans. Keys can be personal data.
        body_sizes: Whether the size of serialized values, in bytes, appears on process spans and
            in the histogram `pipeline.message.body.size`. It costs about 1 µs per record.
        message_type: Names the type of messages that carry none, because their sender writes no
            CloudEvents: a plain function of the message (`topic`, `headers`, `key`, `value`,
            `timestamp`) that returns a fixed name of at most 128 characters, or `None`. What is
            sent with such a type carries it as `ce_type`. It may be called more than once for a
            message, so keep it cheap. If it fails, the message has no type.
        message_kinds: Which topics hold events and which hold commands, by name or by a regular
            expression for whole names, such as `{".*[.]commands": "command"}`. A topic's own name
            comes first, then the first expression that matches. The kind is an attribute of spans
            and the label `message.kind` of sent and consumed messages.
        message_type_label: Whether metrics have the label `message.type`. It takes the first 64
            types of this process; further ones share `_OTHER`. By default as
            `PIPELINE_TRACING_MESSAGE_TYPE_LABEL` says, which is on. Spans have types either way.
        max_series: How many series a metric may have in this process, at least 100. Further ones
            share one, with the label `otel.metric.overflow`, and are counted. The first telemetry
            on a meter provider decides.
        order_check: Whether consumers check that the records of a key are handled in order, and
            count faults in `pipeline.out_of_order`: of all topics, or of those that are named
            here. It costs 1 to 4 µs of CPU time per record. By default as
            `PIPELINE_TRACING_ORDER_CHECK` says, which is off.
        order_tolerance_s: How much older than the last one an event may be, in seconds, before it
            is out of order. It covers the difference between the clocks of a source's replicas.
        redact: Applied to exception messages before they are in log events and dead letters;
            return `""` to drop them. Ordinary log lines have no messages without it.
        fast: Whether fast paths may stand in for the SDK's own spans and histograms and for the
            W3C propagator; by default as `PIPELINE_TRACING_FAST` says, which is on. The telemetry
            is the same either way, but malformed context headers are counted by the fast path
            alone. The first telemetry on a meter provider decides for histograms.

    Raises:
        TypeError: An option is of the wrong type; the message says which and why.
        ValueError: An option is not usable; the message says which and why.

    Thread and task safety: any number of tasks may share it. Counters are kept per thread of
    the client that writes them.
    """

    def __init__(
        self,
        pipeline: str,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        aggregator: Aggregator | None = None,
        source: str | None = None,
        relation: Relation | Mapping[str, Relation] = "parent",
        link_after_s: float = 3600.0,
        boundaries: Mapping[str, Boundary] | None = None,
        max_flow_age_s: float = DEFAULT_MAX_AGE_S,
        cloudevents: bool = True,
        create_spans: bool = True,
        commit_spans: bool = False,
        message_keys: bool = False,
        body_sizes: bool = False,
        message_type: Callable[[Any], str | bytes | None] | None = None,
        message_kinds: Mapping[str, MessageKind] | None = None,
        message_type_label: bool | None = None,
        max_series: int = DEFAULT_MAX_SERIES,
        order_check: bool | Collection[str] | None = None,
        order_tolerance_s: float = 1.0,
        redact: Callable[[str], str] | None = None,
        fast: bool | None = None,
    ) -> None:
        pipeline = plain_text(pipeline, "pipeline")
        if source is not None:
            source = plain_text(source, "source")
        if not is_name(pipeline):
            raise ValueError(
                f"pipeline must be 1 to {MAX_NAME} printable characters, not {pipeline!r}"
            )
        if max_series < LEAST_MAX_SERIES:
            raise ValueError(f"max_series must be at least {LEAST_MAX_SERIES}, not {max_series!r}")
        if not link_after_s > 0:
            raise ValueError(f"link_after_s must be positive seconds, not {link_after_s!r}")
        if redact is not None:
            require_sync(redact, "redact", arguments=1)
        if message_type is not None:
            require_sync(message_type, "message_type", arguments=1)
        if not 0 < max_flow_age_s < math.inf:
            raise ValueError(f"max_flow_age_s must be positive seconds, not {max_flow_age_s!r}")
        if not 0 <= order_tolerance_s < math.inf:
            raise ValueError(
                f"order_tolerance_s must be 0 or more seconds, not {order_tolerance_s!r}"
            )
        self._default_relation, self._relations = _relations(relation)
        self._checked_topics = order_topics(order_check=order_check)
        provider = tracer_provider or trace_api.get_tracer_provider()
        self.pipeline = pipeline
        self.pipelines = PipelineNames(pipeline)
        self.window = OriginWindow(max_age_ms=int(max_flow_age_s * 1000))
        self.link_after_ms = int(link_after_s * 1000)
        self.order_tolerance_ms = order_tolerance_s * 1000
        self.cloudevents = cloudevents
        self.create_spans = create_spans
        self.commit_spans = commit_spans
        self.message_keys = message_keys
        self.body_sizes = body_sizes
        self.message_type = message_type
        self._kinds = _kinds(message_kinds or {})
        self.labels_types = type_label(message_type_label=message_type_label)
        self.source = (source or _service_name(provider) or pipeline).encode()
        self.fast = fast_paths(fast=fast)
        self.spans = span_starter(provider, fast=self.fast)
        self.metrics = metrics_on(
            meter_provider or metrics_api.get_meter_provider(),
            aggregator if self.fast else None,
            max_series,
        )
        self.diagnostics = Diagnostics(self.metrics)
        self.propagation = Propagation(
            propagator or propagate.get_global_textmap(),
            pipeline=pipeline,
            boundaries=boundaries or {},
            window=self.window,
            diagnostics=self.diagnostics,
            fast=self.fast,
        )
        # Describes the schema of what is sent (topic, value, headers); `Schemas` sets it.
        self.describe_schema: (
            Callable[[str, object, object], Mapping[str, AttributeValue]] | None
        ) = None
        self._redact = redact
        self._logger = get_logger(
            semconv.SCOPE_NAME,
            semconv.SCOPE_VERSION,
            logger_provider=logger_provider,
            schema_url=semconv.SCHEMA_URL,
        )

    def relation(self, topic: str) -> Relation:
        """Return how process spans of a topic relate to their messages' creation contexts."""
        return self._relations.get(topic, self._default_relation)

    def kind(self, topic: str) -> MessageKind | None:
        """Return whether a topic holds events or commands; `None` where that is not declared."""
        for pattern, kind in self._kinds:
            if pattern.pattern == topic:
                return kind
        return next((kind for pattern, kind in self._kinds if pattern.fullmatch(topic)), None)

    def by_type(
        self,
        make: Callable[[str | None], Value],
        *,
        count_invalid: bool = True,
        name: Callable[[Value, str], Value] | None = None,
    ) -> ByType[Value]:
        """Return what keeps a value for each type of a destination's messages.

        Args:
            make: Makes the value of a label; of `None` for messages without a type.
            count_invalid: Whether to count types that cannot be used.
            name: See `ByType`.
        """
        invalid = partial(self.diagnostics.invalid, "ce_type") if count_invalid else None
        return ByType(self.metrics.message_types, make, invalid, name)

    def type_labels(self, label: str | None) -> dict[str, str | int]:
        """Return the metric labels of a type; none without a type, or if they are switched off."""
        return {semconv.MESSAGE_TYPE: label} if label and self.labels_types else {}

    def checks_order(self, topic: str) -> bool:
        """Return whether consumers check the order of a topic's records."""
        return self._checked_topics is None or topic in self._checked_topics

    def created_ms(self, present: Mapping[str, object]) -> int | None:
        """Return when the event with these headers happened, unix ms; `None` if implausible."""
        created_ms = cloudevents.time_ms(present[cloudevents.TIME])
        if created_ms is None or self.window.holds(created_ms):
            return created_ms
        self.diagnostics.invalid("ce_time")
        return None

    def message_of(self, error: BaseException) -> str:
        """Return an error's message, cut to 1 KiB and redacted. Never raises."""
        try:
            message = str(error).encode("utf-8", "backslashreplace")[:_MAX_MESSAGE]
            text = message.decode("utf-8", "ignore")
            if self._redact is None:
                return text
            redacted: object = self._redact(text)
            if isinstance(redacted, str):
                return redacted
            discard(redacted)
            raise TypeError("redact returned no text")  # noqa: TRY301 - as any other fault of it
        except Exception as fault:
            # Not the text itself: it has not been redacted.
            warn_once("an error's message cannot be read", error=fault)
            return "(message unavailable)"

    def redacted(self, error: BaseException) -> str | None:
        """Return an error's message for ordinary logs: only if `redact` has seen it, else `None`.

        Never raises.
        """
        return None if self._redact is None else self.message_of(error)

    def record_exception(
        self,
        operation: str,
        error: BaseException,
        attributes: Mapping[str, AttributeValue],
        context: Context,
    ) -> None:
        """Record a failure as the conventions say: a log event at severity WARN. Never raises.

        The message is cut to 1 KiB and redacted. The stack trace names code, not values: its last
        line, which repeats the message, is left out.
        """
        try:
            self._logger.emit(
                LogRecord(
                    context=without_record(context),
                    severity_number=SeverityNumber.WARN,
                    severity_text="WARN",
                    event_name=semconv.exception_event(operation),
                    attributes={
                        **attributes,
                        semconv.EXCEPTION_TYPE: semconv.error_type(error),
                        semconv.EXCEPTION_MESSAGE: self.message_of(error),
                        semconv.EXCEPTION_STACKTRACE: "".join(
                            traceback.format_tb(error.__traceback__)
                        ),
                    },
                )
            )
        except Exception as fault:
            self.diagnostics.failed("exception_log", fault)


def _relations(
    relation: Relation | Mapping[str, Relation],
) -> tuple[Relation, Mapping[str, Relation]]:
    default: Relation = "parent"
    by_topic: Mapping[str, Relation] = {}
    if isinstance(relation, str):
        default = relation
    else:
        by_topic = dict(relation)
    for name in (default, *by_topic.values()):
        if name not in {"parent", "link", "both"}:
            raise ValueError(f"relation must be 'parent', 'link' or 'both', not {name!r}")
    return default, by_topic


def _kinds(kinds: Mapping[str, MessageKind]) -> list[tuple[re.Pattern[str], MessageKind]]:
    declared: list[tuple[re.Pattern[str], MessageKind]] = []
    for topic, kind in kinds.items():
        if kind not in {semconv.EVENT_KIND, semconv.COMMAND_KIND}:
            raise ValueError(f"message_kinds[{topic!r}] must be 'event' or 'command', not {kind!r}")
        try:
            declared.append((re.compile(plain_text(topic, "a topic of message_kinds")), kind))
        except re.error as error:
            raise ValueError(
                f"message_kinds: {topic!r} is neither a topic nor a regular expression, in which "
                f".* is any text: {error}"
            ) from None
    return declared


def _service_name(provider: TracerProvider) -> str | None:
    # Only the SDK's provider has a resource; the API knows none.
    attributes = getattr(getattr(provider, "resource", None), "attributes", None)
    if isinstance(attributes, Mapping):
        name = attributes.get("service.name")
        if isinstance(name, str):
            return name
    return service_name()
