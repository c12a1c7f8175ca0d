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

from tracing.core.otlp_wire import (
    EVENT_ATTRIBUTE,
    LINK_ATTRIBUTE,
    SPAN_ATTRIBUTE,
    attribute,
    delimited,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import Link, SpanContext, Status

    from tracing.spans.flat import FlatSpan, SpanPlan
    from tracing.spans.light import LightSpan
    from tracing.spans.light_values import LightEvent

_TIMES: Final = Struct("<BQBQ").pack
_TIME: Final = Struct("<BQ").pack
_FLAGS: Final = Struct("<BBI").pack
_LINK_FLAGS: Final = Struct("<BI").pack
_MAX_CACHED: Final = 1024
_KINDS: Final = {
    SpanKind.INTERNAL: b"\x30\x01",
    SpanKind.SERVER: b"\x30\x02",
    SpanKind.CLIENT: b"\x30\x03",
    SpanKind.PRODUCER: b"\x30\x04",
    SpanKind.CONSUMER: b"\x30\x05",
}
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_UNSET_STATUS: Final = b"\x7a\x00"
_FLAGS_LOCAL: Final = _UNSET_STATUS + _FLAGS(0x85, 0x01, _HAS_IS_REMOTE)
_FLAGS_REMOTE: Final = _UNSET_STATUS + _FLAGS(0x85, 0x01, _HAS_IS_REMOTE | _IS_REMOTE)
_IDS: Final = frozenset({"_context", "_parent"})
_SHORT: Final = tuple(bytes((number,)) for number in range(0x80))
_ATTRIBUTE: Final = tuple(SPAN_ATTRIBUTE + length for length in _SHORT)
# A value that is a text of this size, while both lengths are one byte.
_TEXTS: Final = tuple(
    b"\x12" + bytes((size + 2,)) + b"\x0a" + bytes((size,)) for size in range(0x7E)
)
# What cannot be encoded here: the SDK's encoder has an answer to it. A span that another thread
# still changes is a RuntimeError.
_FAULTS: Final = (TypeError, ValueError, OverflowError, KeyError, RuntimeError, struct_error)


class LightEncoder:
    """Encodes light spans, and keeps what many of them share. For one thread."""

    def __init__(self) -> None:
        self._shared: dict[int, tuple[object, bytes]] = {}
        self._names: dict[str, bytes] = {}
        self._keys: dict[str, bytes] = {}
        self._numbers: dict[tuple[int, str], bytes] = {}

    def flat(self, span: FlatSpan) -> bytes | None:
        """Encode a flat span; `None` where the SDK has to, as for a span that is built already."""
        end_ns = span.end_ns
        if not span.is_light or end_ns is None:
            return None
        plan, own, above = span.plan, span.traceparent, span.above
        try:
            shared = plan.encoded
            if shared is None:
                shared = plan.encoded = self._planned(plan)
            if above is None:
                ids = unhexlify(b"0a10%b1208%b" % (own[3:35], own[36:52]))
            else:
                ids = unhexlify(b"0a10%b1208%b2208%b" % (own[3:35], own[36:52], above[36:52]))
            fields = [ids, shared, _TIMES(0x39, span.start_ns, 0x41, end_ns)]
            span.encode_own(fields)
            added = span.added
            if added:
                self._append_added(fields, added)
            span.encode_end(fields)
            remote = above is not None and span.above_is_remote
            fields.append(_FLAGS_REMOTE if remote else _FLAGS_LOCAL)
            # Few spans have anything that is not in a slot.
            others = vars(span)
            if others and not self._append_others(fields, span, others):
                return None
        except _FAULTS:
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
            flags = _FLAGS_LOCAL
            if parent is not None:
                fields += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
                if parent.is_remote:
                    flags = _FLAGS_REMOTE
            fields += (
                self._named(span.name),
                _KINDS[span.kind],
                _TIMES(0x39, span.start_time or 0, 0x41, span.end_time or 0),
                self._attributes_shared(shared),
                flags,
            )
            if added:
                self._append_added(fields, added)
            _append_rare(fields, span, links)
        except _FAULTS:
            return None
        return b"".join(fields)

    def _append_others(
        self, fields: list[bytes], span: FlatSpan, others: Mapping[str, Any]
    ) -> bool:
        """Append what a flat span has beyond its slots; return whether that could be done.

        A processor of the user's own may have replaced any part, as to hide a name.
        """
        if not (span.built_parts.isdisjoint(others) and _IDS.isdisjoint(others)):
            return False
        # Of a field that comes twice, the last one counts.
        if "_name" in others:
            fields.append(self._named(span.name))
        if "_kind" in others:
            fields.append(_KINDS[span.kind])
        _append_rare(fields, span, span.added_links)
        return True

    def _planned(self, plan: SpanPlan) -> bytes:
        return b"".join((self._named(plan.name), _KINDS[plan.kind], _attributes(plan.attributes)))

    def _named(self, name: str) -> bytes:
        cached = self._names.get(name)
        if cached is None:
            if len(self._names) >= _MAX_CACHED:
                self._names.clear()
            cached = self._names[name] = delimited(b"\x2a", name.encode())
        return cached

    def _append_added(self, fields: list[bytes], added: Mapping[str, Any]) -> None:
        """Append a span's own attributes; nearly all are short texts, which need no copies."""
        keys = self._keys
        for name, value in added.items():
            if type(value) is str:
                key = keys.get(name)
                if key is None:
                    if len(keys) >= _MAX_CACHED:
                        keys.clear()
                    key = keys[name] = delimited(b"\x0a", name.encode())
                content = value.encode()
                size = len(content)
                whole = len(key) + size + 4
                if whole < 0x80:  # noqa: PLR2004 - then all lengths are one byte
                    fields += (_ATTRIBUTE[whole], key, _TEXTS[size], content)
                    continue
            elif type(value) is int and (value, name) in self._numbers:
                fields.append(self._numbers[value, name])
                continue
            encoded = attribute(SPAN_ATTRIBUTE, name, value)
            if type(value) is int:
                # Many spans have the same origin, partition or offset.
                if len(self._numbers) >= _MAX_CACHED:
                    self._numbers.clear()
                self._numbers[value, name] = encoded
            fields.append(encoded)

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


def _append_rare(fields: list[bytes], span: LightSpan, links: Sequence[Link]) -> None:
    events, status = span.light_events, span.status
    if events:
        fields += map(_event, events)
    if links:
        fields += map(_link, links)
    if status.status_code is not StatusCode.UNSET:
        fields.append(_status(status))


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
    flags = _HAS_IS_REMOTE | (_IS_REMOTE if context.is_remote else 0)
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
    fields.append(_LINK_FLAGS(0x35, flags))
    return delimited(b"\x6a", b"".join(fields))
