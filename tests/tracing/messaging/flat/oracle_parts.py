"""Samplers, id generators, propagators and processors, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import TraceState, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.tracing.messaging.flat.oracle_view import encoded_lines, keys_of, shown, span_lines
from tracing.export.account import ExportAccount
from tracing.export.span_encoding import SpanEncoder
from tracing.export.spans import AccountedBatchSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class UserSampler(Sampler):
    """Decides by name, and adds attributes and a trace state."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        state = TraceState([("sampler", f"n{len(links or ())}"), *parent.trace_state.items()])
        added = {**(attributes or {}), "sampler.kind": str(kind), "sampler.name": name}
        return SamplingResult(self._decision, added, state)

    def get_description(self) -> str:
        return "UserSampler"


class FailingSampler(UserSampler):
    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        raise RuntimeError("this sampler fails")


SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "on": lambda: ALWAYS_ON,
    "off": lambda: ALWAYS_OFF,
    "parent_on": lambda: ParentBased(ALWAYS_ON),
    "parent_off": lambda: ParentBased(ALWAYS_OFF),
    "remote_off": lambda: ParentBased(ALWAYS_ON, remote_parent_sampled=ALWAYS_OFF),
    "remote_on": lambda: ParentBased(
        ALWAYS_OFF, remote_parent_not_sampled=ALWAYS_ON, local_parent_sampled=ALWAYS_OFF
    ),
    "local_on": lambda: ParentBased(ALWAYS_OFF, local_parent_not_sampled=ALWAYS_ON),
    "ratio_all": lambda: ParentBased(TraceIdRatioBased(1.0)),
    "ratio_named": lambda: ParentBasedTraceIdRatio(1.0),
    "ratio_none": lambda: TraceIdRatioBased(0.0),
    "user": lambda: UserSampler(Decision.RECORD_AND_SAMPLE),
    "user_parent": lambda: ParentBased(UserSampler(Decision.RECORD_AND_SAMPLE)),
    "record_only": lambda: UserSampler(Decision.RECORD_ONLY),
    "failing": lambda: FailingSampler(Decision.DROP),
}


class CountingIds(IdGenerator):
    """Ids that have a meaning: they count."""

    def __init__(self) -> None:
        self._last = 0

    def generate_span_id(self) -> int:
        self._last += 1
        return 0x5A5A_0000_0000_0000 + self._last

    def generate_trace_id(self) -> int:
        self._last += 1
        return (0x7B7B << 112) + (self._last * 0x1234_5678_9ABC_DEF1) % (1 << 64)


class LikeRandom(RandomIdGenerator):
    """A subclass may do anything."""


IDS: dict[str, Callable[[], IdGenerator]] = {
    "random": RandomIdGenerator,
    "counting": CountingIds,
    "subclass": LikeRandom,
}


class OwnPropagator(TextMapPropagator):
    """A propagator with a header of its own, and nothing else."""

    fields = {"x-own"}  # noqa: RUF012 - as the API has it

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
        return context

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        created = get_current_span(context).get_span_context()
        carrier["x-own"] = f"{created.trace_id:032x}"


class FailingPropagator(OwnPropagator):
    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
        raise RuntimeError("cannot be read")


class SubclassedTraceContext(TraceContextTextMapPropagator):
    """The same, and yet not the same class."""


PROPAGATORS: dict[str, Callable[[], TextMapPropagator | None]] = {
    "default": lambda: None,
    "w3c": lambda: CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]),
    "subclass": lambda: CompositePropagator([SubclassedTraceContext(), W3CBaggagePropagator()]),
    "no_baggage": TraceContextTextMapPropagator,
    "no_trace": W3CBaggagePropagator,
    "with_own": lambda: CompositePropagator(
        [TraceContextTextMapPropagator(), W3CBaggagePropagator(), OwnPropagator()]
    ),
    "own": OwnPropagator,
    "failing": FailingPropagator,
    "none": lambda: CompositePropagator([]),
}

LIMITS: dict[str, Callable[[], SpanLimits]] = {
    "default": SpanLimits,
    "few_attributes": lambda: SpanLimits(max_span_attributes=6),
    "short": lambda: SpanLimits(max_attribute_length=40),
    "no_events": lambda: SpanLimits(max_events=1, max_links=1),
    "many": lambda: SpanLimits(max_span_attributes=1000, max_links=1000, max_events=1000),
}


class EncodingExporter(SpanExporter):
    """Encodes spans as the library's exporter does, before anything else reads them."""

    def __init__(self) -> None:
        self._encoder = SpanEncoder()
        self._exported: list[tuple[bytes, tuple[ReadableSpan, ...]]] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._exported.append((self._encoder.encode(spans), tuple(spans)))
        return SpanExportResult.SUCCESS

    def lines(self) -> list[str]:
        lines = []
        for encoded, spans in self._exported:
            lines += encoded_lines(encoded, spans)
            for span in spans:
                lines += span_lines(span)
        return lines


class Observing(SpanProcessor):
    """Notes everything that a processor can see, when it can see it.

    Args:
        act: What else it does to spans as they start.
        reads: Whether it reads spans at all.
    """

    def __init__(
        self, act: Callable[[Span], object] = lambda _: None, *, reads: bool = True
    ) -> None:
        self._act = act
        self._reads = reads
        self.lines: list[str] = []

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        if self._reads:
            around = get_current_span(parent_context).get_span_context()
            self.lines.append(f"start {shown(span.get_span_context())} {span.is_recording()}")
            self.lines += [f"  around {shown(around)} {keys_of(parent_context or {})}"]
            self.lines += span_lines(span)
        self._act(span)

    def _on_ending(self, span: Span) -> None:
        if self._reads:
            self.lines.append(f"ending {span.name} {span.end_time} {span.is_recording()}")
            span.set_attribute("at the end", "too late")

    def on_end(self, span: ReadableSpan) -> None:
        if self._reads:
            self.lines.append("end")
            self.lines += span_lines(span)


class Failing(Observing):
    """Fails at the start or at the end of spans."""

    def __init__(self, when: str) -> None:
        super().__init__(reads=False)
        self._when = when

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        if self._when == "start":
            raise RuntimeError("fails at the start")

    def on_end(self, span: ReadableSpan) -> None:
        if self._when == "end":
            raise RuntimeError("fails at the end")


class OwnBatch(BatchSpanProcessor):
    """A batch processor that leaves some spans out, and marks the others."""

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        span.set_attribute("own", "batch")

    def on_end(self, span: ReadableSpan) -> None:
        if not span.name.startswith("send"):
            super().on_end(span)


def _tag(span: Span) -> None:
    span.set_attribute("tag", "on")
    span.set_attributes({"messaging.system.name": "other", "n": 1})


def _touch(span: Span) -> None:
    span.add_event("seen")
    span.update_name("renamed " + span.name)


def processor(name: str) -> tuple[SpanProcessor, Callable[[], list[str]]]:
    """Make a processor; return it, and what returns the lines that it noted."""
    exporter = EncodingExporter()
    batched: dict[str, Callable[[], SpanProcessor]] = {
        "simple": lambda: SimpleSpanProcessor(exporter),
        "batch": lambda: BatchSpanProcessor(exporter, schedule_delay_millis=60_000),
        "accounted": lambda: AccountedBatchSpanProcessor(exporter, ExportAccount()),
        "own_batch": lambda: OwnBatch(exporter, schedule_delay_millis=60_000),
    }
    if name in batched:
        return batched[name](), exporter.lines
    observing: dict[str, Callable[[], Observing]] = {
        "reader": Observing,
        "tagging": lambda: Observing(_tag, reads=False),
        "touching": lambda: Observing(_touch),
        "failing_start": lambda: Failing("start"),
        "failing_end": lambda: Failing("end"),
    }
    made = observing[name]()
    return made, lambda: made.lines
