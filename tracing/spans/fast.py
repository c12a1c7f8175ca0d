"""Starting light spans on a tracer of the SDK, as the SDK starts its own.

Samplers, id generators, limits and span processors are the provider's own, and are called as the
SDK calls them. What a light span is: see `tracing.spans.light`.
"""

from collections.abc import Sequence
from time import time_ns
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
)
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
)

from tracing.core.ids import dropped_root_ids
from tracing.core.otel_context import SPAN_KEY
from tracing.core.semconv import Attributes, AttributeValue
from tracing.spans.light import LightSpan
from tracing.spans.linked_root import LinkedRoot

__all__ = ["LightSpan", "LightSpans"]

_SAMPLED: Final = 0x01
_RANDOM: Final = 0x02
_FLAGS: Final = tuple(TraceFlags(bits) for bits in range(4))
PARENT_BASED: Final = frozenset({ParentBased, ParentBasedTraceIdRatio})
"""The SDK's samplers that ask others by parent; its environment variables make the second one."""


class LightSpans:
    """Starts light spans on an SDK tracer. Safe to use from any thread or task.

    Attributes:
        tracer: The tracer.
        decisions: What the sampler decides for certain, by parent: remote and sampled, or none.
        new_random: The random flag of a new trace.
        bound: What a class of light spans of this tracer has in common.
    """

    __slots__ = (
        "_class",
        "_dropped",
        "_drops_roots",
        "bound",
        "decisions",
        "drops_unsampled",
        "is_predictable",
        "new_random",
        "tracer",
    )

    takes_span_ids = True

    def __init__(self, tracer: sdk.Tracer) -> None:
        self.tracer = tracer
        generator = tracer.id_generator
        self.decisions = _constant_decisions(tracer.sampler)
        # Only random ids may be replaced by ids of the library's own.
        self._drops_roots = (
            self.decisions.get(None) is False and type(generator) is RandomIdGenerator
        )
        self.drops_unsampled = all(
            self.decisions.get((remote, 0)) is False for remote in (True, False)
        )
        self.is_predictable = type(generator) is RandomIdGenerator and self.decisions.keys() | {
            None
        } == set(_PARENTS)
        """Whether ids are plain random ones, and the sampler's decisions below a parent known."""
        # Older SDKs lack the random flag of Trace Context level 2.
        is_random = getattr(generator, "is_trace_id_random", None)
        self.new_random = _RANDOM if is_random is not None and is_random() else 0
        self._dropped = dropped_root_ids(b"%02x" % self.new_random)
        self.bound = {
            "_tracer": tracer,
            "_instrumentation_info": tracer.instrumentation_info,
            "_instrumentation_scope": tracer._instrumentation_scope,
            "_scope": tracer._instrumentation_scope,
            "_limits": tracer._span_limits,
            "_span_processor": tracer.span_processor,
            "is_light": _unlimited(tracer._span_limits),
            "_status": Status(StatusCode.UNSET),
        }
        self._class: type[LightSpan] = type("LightSpan", (LightSpan,), {**self.bound})

    def dropped_root(self) -> bytes | None:
        """Return the `traceparent` of a new root span that the sampler is certain to drop."""
        if not self._drops_roots:
            return None
        try:
            return self._dropped.take()
        except IndexError:
            return self._dropped.new()

    def start(
        self,
        name: str,
        context: Context,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] = (),
        start_ns: int | None = None,
        span_id: int | None = None,
        follows: SpanContext | None = None,
    ) -> Span:
        """Start a span, as `opentelemetry.sdk.trace.Tracer.start_span` does."""
        tracer = self.tracer
        parent: SpanContext | None = None
        root: LinkedRoot | None = None
        if SPAN_KEY in context:
            parent = get_current_span(context).get_span_context()
        if not tracer._is_enabled():
            return NonRecordingSpan(parent or INVALID_SPAN_CONTEXT)
        if parent is None or not parent.is_valid:
            parent = None
            sampled = state = None
            if follows is None:
                trace_id = tracer.id_generator.generate_trace_id()
                flags = self.new_random
                sampled = self.decisions.get(None)
            else:
                root = LinkedRoot(tracer.sampler, tracer.id_generator, follows)
                trace_id = root.generate_trace_id()
                flags = _RANDOM if root.is_trace_id_random() else 0
                if root.has_no_state:
                    key = (follows.is_remote, follows.trace_flags & _SAMPLED)
                    sampled = self.decisions.get(key)
        else:
            trace_id = parent.trace_id
            flags = parent.trace_flags & _RANDOM
            sampled = self.decisions.get((parent.is_remote, parent.trace_flags & _SAMPLED))
            state = parent.trace_state
        recorded = sampled
        if sampled is None:
            sampler = root or tracer.sampler
            result = sampler.should_sample(context, trace_id, name, kind, attributes, links)
            state = result.trace_state
            if result.attributes != attributes:
                attributes = result.attributes or {}
            sampled = result.decision is Decision.RECORD_AND_SAMPLE
            recorded = result.decision is not Decision.DROP
        span_context = SpanContext(
            trace_id,
            span_id or tracer.id_generator.generate_span_id(),
            is_remote=False,
            trace_flags=_FLAGS[flags | _SAMPLED if sampled else flags],
            trace_state=state,
        )
        if not recorded:
            return NonRecordingSpan(span_context)
        span: LightSpan = object.__new__(self._class)
        span._name = name
        span._context = span_context
        span._parent = parent
        span._kind = kind
        span._shared_attributes = attributes
        span.added_links = links
        span._start_time = time_ns() if start_ns is None else start_ns
        tracer.span_processor.on_start(span, parent_context=context)
        return span

    def enrich(self, span: Span, attributes: dict[str, AttributeValue]) -> None:
        """Set attributes on a running span."""
        if isinstance(span, LightSpan):
            span.enrich(attributes)
        elif span.is_recording():
            span.set_attributes(attributes)

    def link(self, span: Span, links: Sequence[Link]) -> None:
        """Add links to a running span."""
        if isinstance(span, LightSpan):
            span.link(links)
        elif span.is_recording():
            for link in links:
                span.add_link(link.context, link.attributes)


# A light span never has as many attributes, events or links; see `tracing.spans.light`.
_ENOUGH: Final = 128


def _unlimited(limits: Any) -> bool:
    """Return whether no limit affects what is put on a light span."""
    counts = (
        "max_span_attributes", "max_links", "max_link_attributes", "max_events",
        "max_event_attributes",
    )  # fmt: skip
    lengths = ("max_attribute_length", "max_span_attribute_length")
    return all(
        (limit := getattr(limits, name, 0)) is None or limit >= _ENOUGH for name in counts
    ) and all(getattr(limits, name, 0) is None for name in lengths)


_PARENTS: Final[tuple[tuple[bool, int] | None, ...]] = (
    None, (True, _SAMPLED), (True, 0), (False, _SAMPLED), (False, 0),
)  # fmt: skip


def _constant_decisions(sampler: Sampler) -> dict[tuple[bool, int] | None, bool]:
    """Return what the SDK's constant samplers decide, by parent: remote and sampled, or none.

    A constant sampler need not be asked for every message. All other samplers, and all parents
    that lead to them, have no entry here and are asked.
    """
    constant = {ALWAYS_ON: True, ALWAYS_OFF: False}
    if sampler in constant:
        return dict.fromkeys(_PARENTS, constant[sampler])
    if type(sampler) not in PARENT_BASED:
        return {}
    by_parent = {
        None: getattr(sampler, "_root", None),
        (True, _SAMPLED): getattr(sampler, "_remote_parent_sampled", None),
        (True, 0): getattr(sampler, "_remote_parent_not_sampled", None),
        (False, _SAMPLED): getattr(sampler, "_local_parent_sampled", None),
        (False, 0): getattr(sampler, "_local_parent_not_sampled", None),
    }
    return {
        parent: constant[delegate] for parent, delegate in by_parent.items() if delegate in constant
    }
