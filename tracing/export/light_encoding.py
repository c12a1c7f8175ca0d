"""Encoding of one light span in OTLP's wire format.

What spans of a topic share is encoded once: name, kind and shared attributes of a plan, or the
shared attributes of other light spans. The rest is written as bytes. A flat span writes its own
attributes itself, and its ids are digits that become bytes in one step.

Source: opentelemetry/proto/trace/v1/trace.proto and the protobuf encoding specification.
"""

from __future__ import annotations

from binascii import unhexlify
from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind, StatusCode

from tracing.core.otlp_values import encoded_attributes
from tracing.core.otlp_wire import (
    EVENT_ATTRIBUTE,
    LINK_ATTRIBUTE,
    LOCAL,
    REMOTE,
    SPAN_ATTRIBUTE,
    attribute,
    delimited,
    link_flags,
    read_ids,
    read_own_ids,
    span_times,
)
from tracing.spans.message_links import MessageLinks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import Link, SpanContext, Status

    from tracing.spans.flat import FlatSpan, SpanPlan
    from tracing.spans.light import LightSpan
    from tracing.spans.light_values import LightEvent

_TIME: Final = Struct("<BQ").pack
_MAX_CACHED: Final = 1024
_KINDS: Final = {
    SpanKind.INTERNAL: b"\x30\x01",
    SpanKind.SERVER: b"\x30\x02",
    SpanKind.CLIENT: b"\x30\x03",
    SpanKind.PRODUCER: b"\x30\x04",
    SpanKind.CONSUMER: b"\x30\x05",
}
_IDS: Final = frozenset({"_context", "_parent"})
_SHORT: Final = tuple(bytes((number,)) for number in range(0x80))
# What a span may have beyond its slots without a longer way of encoding the rest.
_RARE: Final = frozenset({"_status", "added_links", "light_events"})
FAULTS: Final = (
    TypeError, ValueError, OverflowError, LookupError, RuntimeError, struct_error
)  # fmt: skip
"""What cannot be encoded here: the SDK's encoder has an answer to it.

A span that another thread still changes is a RuntimeError.
"""


class LightEncoder:
    """Encodes light spans, and keeps what many of them share. For one thread."""

    def __init__(self) -> None:
        self._shared: dict[int, tuple[object, bytes]] = {}
        self._names: dict[str, bytes] = {}
        # Records of one poll share their links.
        self._links: tuple[object, bytes] = ((), b"")

    def flat(self, span: FlatSpan) -> bytes | None:
        """Encode a flat span that is not usual, or the first one of its plan.

        `None` where the SDK has to, as for a span that is built already.
        """
        others = span.__dict__
        try:
            rare = self._rare(span, others) if others else b""
            if span.end_ns is None or rare is None:
                return None
            plan = span.plan
            shared = plan.encoded
            if shared is None:
                shared = plan.encoded = self._planned(plan)
            if _RARE.issuperset(others) and (usual := _usual(span)) is not None:
                return usual + rare
            own, above = span.traceparent, span.above
            if above is None:
                ids = unhexlify(b"0a10%b1208%b" % read_own_ids(own))
            else:
                ids = unhexlify(b"0a10%b1208%b2208%b" % read_ids(own + above))
            fields = [ids, shared]
            span.encode_own(fields)
            if span.added:
                fields.append(encoded_attributes(span.added))
            span.encode_end(fields)
            fields.append(LOCAL if above is None or not span.above_is_remote else REMOTE)
            fields.append(span_times(span.start_ns, span.end_ns))
            fields.append(rare)
        except FAULTS:
            return None
        return b"".join(fields)

    def light(self, span: LightSpan) -> bytes | None:
        """Encode any other light span; `None` as above."""
        parts = span.light_parts()
        if parts is None or not span.built_parts.isdisjoint(vars(span)):
            return None
        shared, added, links = parts
        context, parent = span.get_span_context(), span.parent
        try:
            fields = [
                b"\x0a\x10",
                context.trace_id.to_bytes(16, "big"),
                b"\x12\x08",
                context.span_id.to_bytes(8, "big"),
            ]
            if context.trace_state:
                fields.append(delimited(b"\x1a", context.trace_state.to_header().encode()))
            flags = LOCAL
            if parent is not None:
                fields += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
                if parent.is_remote:
                    flags = REMOTE
            fields += (
                self._named(span.name),
                _KINDS[span.kind],
                span_times(span.start_time or 0, span.end_time or 0),
                self._attributes_shared(shared),
                flags,
            )
            if added:
                fields.append(encoded_attributes(added))
            self._append_rare(fields, span, links)
        except FAULTS:
            return None
        return b"".join(fields)

    def _rare(self, span: FlatSpan, others: Mapping[str, Any]) -> bytes | None:
        """Write what a flat span has beyond its slots; `None` where the SDK has to.

        A processor of the user's own may have replaced any part, as to hide a name.
        """
        if not (span.is_light and span.built_parts.isdisjoint(others) and _IDS.isdisjoint(others)):
            return None
        fields: list[bytes] = []
        # Of a field that comes twice, the last one counts.
        if "_name" in others:
            fields.append(self._named(span.name))
        if "_kind" in others:
            fields.append(_KINDS[span.kind])
        self._append_rare(fields, span, span.added_links)
        return b"".join(fields)

    def _append_rare(self, fields: list[bytes], span: LightSpan, links: Sequence[Link]) -> None:
        events, status = span.light_events, span.status
        if events:
            fields += map(_event, events)
        if type(links) is MessageLinks:
            links.encode(fields, _link)
        elif links:
            last, encoded = self._links
            if links is not last:
                encoded = b"".join(map(_link, links))
                if type(links) is tuple:
                    self._links = links, encoded
            fields.append(encoded)
        if status.status_code is not StatusCode.UNSET:
            fields.append(_status(status))

    def _planned(self, plan: SpanPlan) -> bytes:
        return b"".join((self._named(plan.name), _KINDS[plan.kind], _attributes(plan.attributes)))

    def _named(self, name: str) -> bytes:
        cached = self._names.get(name)
        if cached is None:
            if len(self._names) >= _MAX_CACHED:
                self._names.clear()
            cached = self._names[name] = delimited(b"\x2a", name.encode())
        return cached

    def _attributes_shared(self, attributes: Mapping[str, Any]) -> bytes:
        cached = self._shared.get(id(attributes))
        if cached is not None:
            return cached[1]
        encoded = _attributes(attributes)
        if len(self._shared) >= _MAX_CACHED:
            self._shared.clear()
        # Keep the mapping, so that no other one gets the same id.
        self._shared[id(attributes)] = (attributes, encoded)
        return encoded


def _attributes(attributes: Mapping[str, Any]) -> bytes:
    return b"".join(attribute(SPAN_ATTRIBUTE, name, value) for name, value in attributes.items())


def _usual(span: FlatSpan) -> bytes | None:
    try:
        return span.encode_usual()
    except FAULTS:
        return None


def _event(event: LightEvent) -> bytes:
    name, attributes, time_ns = event
    fields = [_TIME(0x09, time_ns), delimited(b"\x12", name.encode())]
    fields += [attribute(EVENT_ATTRIBUTE, key, value) for key, value in attributes.items()]
    return delimited(b"\x5a", b"".join(fields))


def _status(status: Status) -> bytes:
    content = b"" if status.description is None else delimited(b"\x12", status.description.encode())
    if status.status_code.value:
        content += b"\x18" + _SHORT[status.status_code.value]
    return delimited(b"\x7a", content)


def _link(link: Link) -> bytes:
    context: SpanContext = link.context
    fields = [
        b"\x0a\x10",
        context.trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        context.span_id.to_bytes(8, "big"),
    ]
    if link.attributes:
        fields += [
            attribute(LINK_ATTRIBUTE, name, value) for name, value in link.attributes.items()
        ]
    fields.append(link_flags(is_remote=context.is_remote))
    return delimited(b"\x6a", b"".join(fields))
