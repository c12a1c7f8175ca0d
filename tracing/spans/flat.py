"""Flat spans: light spans whose ids, parent and own attributes are made on demand, from bytes.

A light span is made from a context, a dictionary of attributes and a `SpanContext`, each of which
costs more than the span itself. A flat span keeps what the message brought: the bytes of two
`traceparent` headers, and in a subclass the values of its own attributes. What all spans of a topic
share is in a `SpanPlan`.

For whatever reads it, a flat span is the same span of the SDK's class.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanContext, TraceFlags

from tracing.core.ids import child_ids, dropped_root_ids, root_ids
from tracing.spans.fast import PARENT_BASED, LightSpans
from tracing.spans.hand_over import HandOver
from tracing.spans.light import LightSpan
from tracing.spans.light_values import updated
from tracing.spans.on_demand import OfPlan, OnDemand

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import Link, SpanKind

    from tracing.core.semconv import Attributes, AttributeValue
    from tracing.spans.starter import SpanStarter

_SAMPLED: Final = 0x01
_RANDOM: Final = 0x02
_FLAGS: Final = tuple(TraceFlags(bits) for bits in range(256))
# The last digits of flags with the one for a random trace id.
_RANDOM_DIGITS: Final = frozenset(b"2367abef")

Flat = TypeVar("Flat", bound="FlatSpan")


class SpanPlan:
    """What all spans of a topic, partition or message type share. Do not change it.

    Where the shared attributes become others, as once the cluster's id is known, make a new plan:
    spans that have started share the old one.

    Args:
        name: The spans' name.
        kind: Their kind.
        attributes: The attributes that they share, which must not change.

    Attributes:
        encoded: Name, kind and shared attributes as an exporter of OTLP writes them; its own cache.
    """

    __slots__ = ("attributes", "encoded", "kind", "name")

    def __init__(self, name: str, kind: SpanKind, attributes: Attributes) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.encoded: bytes | None = None


class FlatSpan(LightSpan):
    """A light span made of bytes. A subclass has the attributes of one kind of message.

    Make one with `object.__new__` of a class from `FlatSpans.kind`, and fill all slots, also those
    of the subclass, before anything sees it: processors, metrics or the application. End it with
    `finish`, which adds `end_attributes`. After the end, drop the record and whatever else is
    large: the span waits in the exporter's queue.

    Attributes:
        plan: What it shares with others.
        traceparent: Its own ids, 55 bytes of version 00; its sampled flag is set.
        above: Those of its parent; `None` for a root.
        above_is_remote: Whether the parent is in another process.
        start_ns: Its start, unix ns.
        end_ns: Its end; `None` before.
        added: What was set on it later; `None` where nothing was.
        own_names: Every name that `own_attributes` and `end_attributes` can give.
    """

    __slots__ = (
        "_end_time", "_made_context", "_made_parent", "_start_time", "above", "above_is_remote",
        "added", "plan", "traceparent",
    )  # fmt: skip

    plan: SpanPlan
    traceparent: bytes
    above: bytes | None
    above_is_remote: bool
    start_ns: int
    end_ns: int | None
    own_names: ClassVar[frozenset[str]] = frozenset()
    _hand_over: HandOver

    def own_attributes(self) -> dict[str, AttributeValue]:
        """Return the message's own attributes, known at the start, in their order."""
        raise NotImplementedError

    def end_attributes(self) -> dict[str, AttributeValue]:
        """Return what became known at the end, in its order; empty before `finish`."""
        return {}

    def encode_own(self, fields: list[bytes]) -> None:
        """Append `own_attributes` as attributes of a span in OTLP's wire format."""
        raise NotImplementedError

    def encode_end(self, fields: list[bytes]) -> None:
        """Append `end_attributes` as attributes of a span in OTLP's wire format."""

    def encode_usual(self) -> bytes | None:
        """Return the span in OTLP's wire format, if that can be done in few steps; else `None`.

        Only for a span that has nothing beyond its slots; it raises whatever makes it unusual.
        """
        return None

    def finish(self, end_ns: int) -> None:
        """End the span, with `end_attributes`, and hand it over to the processors.

        Where the application has ended it before, it stays as it was, and the SDK logs a warning.

        Raises whatever a processor of the user's own raises.
        """
        if self._built or self._end_time is not None:
            if self._end_time is None:
                # What they say of the end needs it, and yet the span has not ended.
                self._end_time = end_ns
                attributes = self.end_attributes()
                self._end_time = None
                self.set_attributes(cast("Any", attributes))
            sdk.Span.end(self, end_ns)
            return
        self._end_time = end_ns
        self._hand_over.end(self)

    def end(self, end_time: int | None = None) -> None:
        """End the span as the application does, without `end_attributes`."""
        if self._built or self._end_time is not None:
            sdk.Span.end(self, end_time)
            return
        self._end_time = time_ns() if end_time is None else end_time
        self._hand_over.end(self)

    def light_parts(
        self,
    ) -> tuple[Attributes, dict[str, Any] | None, Sequence[Link]] | None:
        """Return the attributes that messages share, those of this span alone, and the links."""
        if not self.is_light or self._end_time is None:
            return None
        own = self._own()
        if not own.keys().isdisjoint(self.plan.attributes):
            return None
        return self.plan.attributes, own, self.added_links

    def _is_free(self, key: str) -> bool:
        return (
            key.__class__ is str
            and key != ""
            and key not in self.plan.attributes
            and key not in self.own_names
        )

    def _are_free(self, attributes: Mapping[str, Any]) -> bool:
        names = attributes.keys()
        return names.isdisjoint(self.plan.attributes) and self.own_names.isdisjoint(names)

    def _own(self) -> dict[str, Any]:
        own: dict[str, Any] = self.own_attributes()
        if self.added:
            updated(own, self.added)
        return updated(own, self.end_attributes())

    def _all_attributes(self) -> dict[str, Any]:
        return updated({**self.plan.attributes}, self._own())

    def _make_context(self) -> SpanContext:
        return _context(self.traceparent, is_remote=False)

    def _make_parent(self) -> SpanContext | None:
        return None if self.above is None else _context(self.above, is_remote=self.above_is_remote)

    _context: Any = OnDemand("_made_context", _make_context)
    _parent: Any = OnDemand("_made_parent", _make_parent)
    _name: Any = OfPlan("name")
    _kind: Any = OfPlan("kind")


# Public names of the same two slots.
FlatSpan.start_ns = vars(FlatSpan)["_start_time"]
FlatSpan.end_ns = vars(FlatSpan)["_end_time"]


def _context(traceparent: bytes, *, is_remote: bool) -> SpanContext:
    return SpanContext(
        int(traceparent[3:35], 16),
        int(traceparent[36:52], 16),
        is_remote=is_remote,
        trace_flags=_FLAGS[int(traceparent[53:55], 16)],
    )


class FlatSpans:
    """Makes flat spans possible on one tracer. Safe to use from any thread or task.

    Args:
        starter: What starts the tracer's light spans; see `of`.

    Attributes:
        hand_over: How the spans reach the processors. `root` and `child` let it look at them.
        samples_roots: Whether a new trace is sampled; `None` where that depends on the trace.
        ratio_bound: Where it does, by the SDK's ratio of traces: those are sampled whose lowest 64
            bits are below it. `None` where another sampler has to be asked.
        samples_remote: The same below a remote parent that is sampled.
        samples_local: The same below a local parent that is sampled.
        drops_roots: Whether a new trace is dropped for certain.
        dropped_roots: The `traceparent` headers of new traces that are dropped.
        drops_unsampled: Whether every span below an unsampled parent is dropped for certain.
    """

    __slots__ = (
        "_bound", "_children", "_random_children", "_roots", "_tracer", "dropped_roots",
        "drops_roots", "drops_unsampled", "hand_over", "ratio_bound", "samples_local",
        "samples_remote", "samples_roots",
    )  # fmt: skip

    def __init__(self, starter: LightSpans) -> None:
        tracer, decisions = starter.tracer, starter.decisions
        self._tracer = tracer
        self._roots = root_ids(b"%02x" % (starter.new_random | _SAMPLED))
        self.dropped_roots = dropped_root_ids(b"%02x" % starter.new_random)
        self._children = child_ids(b"%02x" % _SAMPLED)
        self._random_children = child_ids(b"%02x" % (_RANDOM | _SAMPLED))
        self.hand_over = HandOver(tracer)
        self._bound = {**starter.bound, "_hand_over": self.hand_over, "__slots__": ()}
        self.samples_roots = decisions.get(None)
        sampler = getattr(tracer.sampler, "_root", None)
        self.ratio_bound: int | None = (
            sampler.bound
            if type(tracer.sampler) in PARENT_BASED and type(sampler) is TraceIdRatioBased
            else None
        )
        self.samples_remote = decisions.get((True, _SAMPLED))
        self.samples_local = decisions.get((False, _SAMPLED))
        self.drops_roots = self.samples_roots is False
        self.drops_unsampled = starter.drops_unsampled

    @classmethod
    def of(cls, starter: SpanStarter) -> FlatSpans | None:
        """Return flat spans beside what a starter starts; `None` where they would not be equal.

        They need proven light spans without limits, and the SDK's random ids.
        """
        if type(starter) is not LightSpans:
            return None
        if type(starter.tracer.id_generator) is not RandomIdGenerator:
            return None
        # As `Tracer._is_enabled` does, which is one more call for each span.
        if not hasattr(starter.tracer, "_tracer_config"):
            return None
        # Limits may cut any attribute.
        return cls(starter) if starter.bound["is_light"] else None

    def kind(self, base: type[Flat]) -> type[Flat]:
        """Return the class of this tracer's spans of a kind."""
        made: type[Flat] = type(base.__name__, (base,), {**self._bound, "__doc__": base.__doc__})
        return made

    def ready(self) -> bool:
        """Let `hand_over` look at the processors; return whether the tracer is switched on."""
        if self.hand_over.multi._span_processors is not self.hand_over.seen:
            self.hand_over.look()
        return self._tracer._tracer_config.is_enabled

    def root(self) -> bytes | None:
        """Return the `traceparent` of the root of a new trace that is sampled.

        `None` where the tracer is switched off.
        """
        hand_over = self.hand_over
        if hand_over.multi._span_processors is not hand_over.seen:
            hand_over.look()
        if not self._tracer._tracer_config.is_enabled:
            return None
        try:
            return self._roots.take()
        except IndexError:
            return self._roots.new()

    def root_by_ratio(self, bound: int) -> tuple[bool, bytes | None]:
        """Return whether a new trace is sampled, and the `traceparent` of its root.

        The latter is `None` where the tracer is switched off.

        Args:
            bound: `ratio_bound`.
        """
        root = self.root()
        if root is None or int(root[19:35], 16) < bound:
            return True, root
        # The flags without the one for sampled: 00, or 02 for a random id.
        return False, root[:54] + (b"2" if root[54] in b"3" else b"0")

    def child(self, above: bytes) -> bytes | None:
        """Return the `traceparent` of a sampled child; `None` where the tracer is switched off.

        Args:
            above: The parent's, of version 00.
        """
        hand_over = self.hand_over
        if hand_over.multi._span_processors is not hand_over.seen:
            hand_over.look()
        if not self._tracer._tracer_config.is_enabled:
            return None
        # Sampled, and as random as its trace.
        ids = self._random_children if above[54] in _RANDOM_DIGITS else self._children
        try:
            return above[:36] + ids.take()
        except IndexError:
            return above[:36] + ids.new()
