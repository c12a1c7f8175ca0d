"""What a send begins below: the span of a handling, of the application, another process, or none.

It is a `traceparent`, of the parent and of the send, and whether the send is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Span

from tracing.headers.w3c import RemoteSpan, format_traceparent
from tracing.messaging.flat.send_plan import Unusual
from tracing.spans.flat import FlatSpan

if TYPE_CHECKING:
    from tracing.spans.flat import FlatSpans
    from tracing.spans.starter import SpanStarter

_MAX_KINDS: Final = 64
_SAMPLED: Final = 0x01
_RANDOM: Final = 0x02


class SendParents:
    """Decides for the sends of one producer. For one event loop.

    Args:
        spans: Makes flat spans on the telemetry's tracer.
        starter: Starts other spans there.

    Attributes:
        flat_kinds: The classes of flat spans that were current at sends. For these, the send is
            recorded below their `traceparent`. Asking a span with `isinstance` costs more than the
            rest that is to be known of it.
    """

    __slots__ = ("_other_kinds", "_spans", "_starter", "flat_kinds")

    def __init__(self, spans: FlatSpans, starter: SpanStarter) -> None:
        self._spans = spans
        self._starter = starter
        self.flat_kinds: set[type] = set()
        self._other_kinds: dict[type, type] = {}

    def below(self, current: Any) -> tuple[bytes | None, bool, bool, bytes | None]:
        """Return what begins below a span that is not flat.

        Returns:
            Its `traceparent`, whether it is remote, whether the send is recorded, and the
            `traceparent` of the send: `None` where the tracer is switched off.
        """
        spans = self._spans
        kind = self._other_kinds.get(type(current)) or self._kind_of(current)
        if kind is FlatSpan and spans.samples_local:
            above = current.traceparent
            return above, False, True, spans.child(above)
        if kind is RemoteSpan and current.plain:
            above = current.traceparent
            if not current.sampled and spans.drops_unsampled:
                return above, True, False, above
            if current.sampled and spans.samples_remote:
                return above, True, True, spans.child(above)
        elif kind is Span:
            return self._below_other(current)
        raise Unusual("parent")

    def _below_other(self, current: Span) -> tuple[bytes | None, bool, bool, bytes | None]:
        """Return what begins below a span of the application."""
        spans = self._spans
        context = current.get_span_context()
        if not context.is_valid:
            return None, False, *self.root()
        remote = context.is_remote
        above = format_traceparent(context)
        if not context.trace_state:
            if not context.trace_flags & _SAMPLED:
                if spans.drops_unsampled:
                    child = spans.child(above)
                    # The SDK makes an id for a span that it drops.
                    random = b"02" if context.trace_flags & _RANDOM else b"00"
                    return above, remote, False, child and child[:53] + random
            elif spans.samples_remote if remote else spans.samples_local:
                return above, remote, True, spans.child(above)
        raise Unusual("parent")

    def root(self) -> tuple[bool, bytes | None]:
        """Return whether a new trace is recorded, and the `traceparent` of its root."""
        spans = self._spans
        if spans.samples_roots:
            return True, spans.root()
        if spans.drops_roots:
            return False, self._starter.dropped_root()
        if spans.ratio_bound is not None:
            return spans.root_by_ratio(spans.ratio_bound)
        raise Unusual("parent")

    def _kind_of(self, current: object) -> type:
        """Return how the context of a span is read, and keep it for its class."""
        kind: type = object
        for each in (FlatSpan, RemoteSpan, Span):
            if isinstance(current, each):
                kind = each
                break
        if len(self.flat_kinds) + len(self._other_kinds) < _MAX_KINDS:
            if kind is FlatSpan and self._spans.samples_local:
                self.flat_kinds.add(type(current))
            else:
                self._other_kinds[type(current)] = kind
        return kind
