"""New traces that keep the sampling decision of a trace that they are linked to.

A sampler decides on a root span as it likes, and a linked trace would be kept while the trace that
it links to is dropped, or the other way round. So the sampler is asked as for a child of the linked
span, whichever sampler it is, and the new trace shares what later samplers look at:

- the lowest 64 bits of the trace id, which ratio samplers compare with their threshold;
- the randomness in `tracestate`, where the linked trace has an explicit one. It is the only way
  where an id generator of the user's own makes the trace ids.

Source: https://opentelemetry.io/docs/specs/otel/trace/sdk/#sampling.
"""

from collections.abc import Sequence
from copy import copy
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Tracer, TraceState
from opentelemetry.util.types import Attributes

from tracing.core import sampling_state
from tracing.core.otel_context import SPAN_KEY

_RANDOM: Final = 0x02
_LOWEST_64_BITS: Final = (1 << 64) - 1
_HIGHEST_BIT: Final = 1 << 127
# What a trace state can hold, as the W3C specification says.
_MAX_ENTRIES: Final = 32


class LinkedRoot(Sampler, IdGenerator):
    """Stands in for a tracer's sampler and id generator, for one root span.

    Args:
        sampler: The tracer's sampler.
        generator: The tracer's id generator.
        follows: The linked span.
    """

    def __init__(self, sampler: Sampler, generator: IdGenerator, follows: SpanContext) -> None:
        self._sampler = sampler
        self._generator = generator
        self._follows = follows
        # Ids of another generator can have a meaning, and are not to be changed.
        self._foreign_ids = type(generator) is not RandomIdGenerator

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,  # noqa: ARG002 - the linked trace's id decides
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,  # noqa: ARG002 - tracers do not pass it
    ) -> SamplingResult:
        """Decide as for a child of the linked span."""
        follows = self._follows
        asked = Context({**(parent_context or {}), SPAN_KEY: NonRecordingSpan(follows)})
        result = self._sampler.should_sample(asked, follows.trace_id, name, kind, attributes, links)
        sampled = result.decision is Decision.RECORD_AND_SAMPLE
        state = self._state(result.trace_state, sampled=sampled)
        return SamplingResult(result.decision, result.attributes, state)

    def get_description(self) -> str:
        """Describe the tracer's sampler."""
        return self._sampler.get_description()

    def generate_trace_id(self) -> int:
        """Make the id of a new trace, which ratio samplers cannot tell from the linked one."""
        trace_id = self._generator.generate_trace_id()
        if self._foreign_ids:
            return trace_id
        linked = self._follows.trace_id
        trace_id = trace_id & ~_LOWEST_64_BITS | linked & _LOWEST_64_BITS
        return trace_id ^ _HIGHEST_BIT if trace_id in {0, linked} else trace_id

    def generate_span_id(self) -> int:
        """Make a span id."""
        return self._generator.generate_span_id()

    def is_trace_id_random(self) -> bool:
        """Return whether the lowest 56 bits of the new trace id are known to be random."""
        if not self._foreign_ids:
            return bool(self._follows.trace_flags & _RANDOM)
        # Older SDKs lack the random flag of Trace Context level 2.
        is_random = getattr(self._generator, "is_trace_id_random", None)
        return is_random is not None and bool(is_random())

    @property
    def has_no_state(self) -> bool:
        """Whether the new trace has no state but what the sampler itself writes."""
        return not (self._follows.trace_state or self._foreign_ids)

    def _state(self, state: TraceState | None, *, sampled: bool) -> TraceState | None:
        """Return the new trace's state, of which the sampler returned `state`.

        The linked trace's entries are about that trace alone, and stay behind.
        """
        follows = self._follows
        linked = follows.trace_state
        if self.has_no_state and not state:
            return None
        entries = [
            (key, value)
            for key, value in (state or {}).items()
            if key != sampling_state.KEY and linked.get(key) != value
        ]
        values = _sub_keys(state)
        if sampling_state.RANDOMNESS not in values:
            explicit = _sub_keys(linked).get(sampling_state.RANDOMNESS)
            if explicit is None and self._foreign_ids:
                explicit = sampling_state.randomness_of(follows.trace_id)
            if explicit is not None:
                values[sampling_state.RANDOMNESS] = explicit
        if not (sampled and sampling_state.is_consistent(values, follows.trace_id)):
            values.pop(sampling_state.THRESHOLD, None)
        if values:
            entries.insert(0, (sampling_state.KEY, sampling_state.format_entry(values)))
        return TraceState(entries[:_MAX_ENTRIES])


def _sub_keys(state: TraceState | None) -> dict[str, str]:
    entry = state.get(sampling_state.KEY) if state else None
    return (sampling_state.parse_entry(entry) if entry else None) or {}


def linked_tracer(tracer: Tracer, follows: SpanContext) -> Tracer:
    """Return a tracer for one root span that keeps the decision of a linked span's trace.

    It is a copy of the SDK's tracer. One that is not the SDK's decides alone.
    """
    # A proxy pretends to be a tracer, and what is set on its copy would be set on the tracer.
    if not (isinstance(tracer, sdk.Tracer) and issubclass(type(tracer), sdk.Tracer)):
        return tracer
    root = LinkedRoot(tracer.sampler, tracer.id_generator, follows)
    # Of the moment: a forked child replaces the tracer's resource.
    once = copy(tracer)
    once.sampler = once.id_generator = root
    return once
