"""Encoding of spans as OTLP/protobuf, directly where they are still light.

The SDK's encoder builds a protobuf object for every attribute, 50-100 µs a span. A light span's
attributes are mostly those that all messages of a topic share, so their bytes are made once; the
rest is written in the wire format. All other spans go through the SDK's encoder: protobuf defines
that two encoded requests, one after the other, are one request.

Source: opentelemetry/proto/trace/v1/trace.proto and the protobuf encoding specification.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import SpanKind

from tracing.spans.fast import LightSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Link, SpanContext

_DOUBLE: Final = Struct("<d").pack
_TIMES: Final = Struct("<BQBQ").pack
_FLAGS: Final = Struct("<BBI").pack
_LINK_FLAGS: Final = Struct("<BI").pack
_MAX_CACHED: Final = 1024
# Takes less than 1 ms, a delay that an event loop in another thread can bear.
_SLICE: Final = 64
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


class SpanEncoder:
    """Encodes batches of spans. For one thread.

    Args:
        pause: Called after every 64 spans.
    """

    def __init__(self, pause: Callable[[], object] | None = None) -> None:
        self._pause = pause
        self._shared: dict[int, tuple[object, bytes]] = {}
        self._names: dict[str, bytes] = {}
        self._keys: dict[str, bytes] = {}
        self._numbers: dict[tuple[int, str], bytes] = {}
        self._scopes: dict[tuple[int, int], tuple[object, bytes, bytes, bytes, bytes]] = {}

    def encode(self, spans: Sequence[ReadableSpan]) -> bytes:
        """Return an encoded `ExportTraceServiceRequest`."""
        others: list[ReadableSpan] = []
        groups: dict[tuple[int, int], list[bytes]] = {}
        examples: dict[tuple[int, int], ReadableSpan] = {}
        pause = self._pause
        for number, span in enumerate(spans, 1):
            if pause is not None and number % _SLICE == 0:
                pause()
            encoded = self._light(span) if isinstance(span, LightSpan) else None
            if encoded is None:
                others.append(span)
                continue
            key = (id(span.resource), id(span.instrumentation_scope))
            group = groups.get(key)
            if group is None:
                group = groups[key] = []
                examples[key] = span
            group.append(encoded)
        requests = [self._request(key, examples[key], group) for key, group in groups.items()]
        if others:
            requests.append(encode_spans(others).SerializeToString())
        return b"".join(requests)

    def _light(self, span: LightSpan) -> bytes | None:
        """Encode one span; `None` where the SDK has to, as for a span that is built already."""
        parts = span.light_parts()
        if parts is None:
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
                fields.append(_delimited(b"\x1a", context.trace_state.to_header().encode()))
            flags = _HAS_IS_REMOTE
            if parent is not None:
                fields += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
                if parent.is_remote:
                    flags |= _IS_REMOTE
            fields += (
                self._named(span.name),
                _KINDS[span.kind],
                _TIMES(0x39, span.start_time or 0, 0x41, span.end_time or 0),
                self._attributes_shared(shared),
            )
            if added:
                self._attributes_added(fields, added)
            if links:
                fields += [_link(link) for link in links]
            fields += (_UNSET_STATUS, _FLAGS(0x85, 0x01, flags))
        except (TypeError, ValueError, OverflowError):
            return None
        return _delimited(b"\x12", b"".join(fields))

    def _named(self, name: str) -> bytes:
        cached = self._names.get(name)
        if cached is None:
            if len(self._names) >= _MAX_CACHED:
                self._names.clear()
            cached = self._names[name] = _delimited(b"\x2a", name.encode())
        return cached

    def _attributes_added(self, fields: list[bytes], added: Mapping[str, Any]) -> None:
        """Append a span's own attributes; nearly all are short texts, which need no copies."""
        keys = self._keys
        for name, value in added.items():
            if type(value) is str:
                key = keys.get(name)
                if key is None:
                    if len(keys) >= _MAX_CACHED:
                        keys.clear()
                    key = keys[name] = _delimited(b"\x0a", name.encode())
                content = value.encode()
                size = len(content)
                whole = len(key) + size + 4
                if whole < 0x80:  # noqa: PLR2004 - then all lengths are one byte
                    fields += (_ATTRIBUTE[whole], key, _VALUE[size + 2], _TEXT[size], content)
                    continue
            elif type(value) is int and (value, name) in self._numbers:
                fields.append(self._numbers[value, name])
                continue
            attribute = _attribute(b"\x4a", name, value)
            if type(value) is int:
                # Many spans have the same origin, partition or offset.
                if len(self._numbers) >= _MAX_CACHED:
                    self._numbers.clear()
                self._numbers[value, name] = attribute
            fields.append(attribute)

    def _attributes_shared(self, attributes: Mapping[str, Any]) -> bytes:
        cached = self._shared.get(id(attributes))
        if cached is not None:
            return cached[1]
        encoded = b"".join(_attribute(b"\x4a", name, value) for name, value in attributes.items())
        if len(self._shared) >= _MAX_CACHED:
            self._shared.clear()
        # Keep the mapping, so that no other one gets the same id.
        self._shared[id(attributes)] = (attributes, encoded)
        return encoded

    def _request(
        self, key: tuple[int, int], example: ReadableSpan, spans: Iterable[bytes]
    ) -> bytes:
        cached = self._scopes.get(key)
        if cached is None:
            resource_spans = encode_spans((example,)).resource_spans[0]
            scope_spans = resource_spans.scope_spans[0]
            cached = (
                (example.resource, example.instrumentation_scope),
                _delimited(b"\x0a", resource_spans.resource.SerializeToString()),
                _delimited(b"\x0a", scope_spans.scope.SerializeToString()),
                _delimited(b"\x1a", scope_spans.schema_url.encode()),
                _delimited(b"\x1a", resource_spans.schema_url.encode()),
            )
            if len(self._scopes) >= _MAX_CACHED:
                self._scopes.clear()
            self._scopes[key] = cached
        _, resource, scope, scope_schema, resource_schema = cached
        scope_spans = _delimited(b"\x12", b"".join((scope, *spans, scope_schema)))
        return _delimited(b"\x0a", b"".join((resource, scope_spans, resource_schema)))


def _delimited(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 0x80:  # noqa: PLR2004 - seven bits a byte
        return _SHORT[number]
    octets = bytearray()
    while number >= 0x80:  # noqa: PLR2004 - as above
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


_SHORT: Final = tuple(bytes((number,)) for number in range(0x80))
_ATTRIBUTE: Final = tuple(b"\x4a" + length for length in _SHORT)
_VALUE: Final = tuple(b"\x12" + length for length in _SHORT)
_TEXT: Final = tuple(b"\x0a" + length for length in _SHORT)


def _attribute(tag: bytes, name: str, value: object) -> bytes:
    kind = type(value)
    if kind is str:
        content = _delimited(b"\x0a", value.encode())  # type: ignore[attr-defined]  # it is a str
    elif kind is bool:
        content = b"\x10\x01" if value else b"\x10\x00"
    elif kind is int:
        number: int = value  # type: ignore[assignment]  # it is an int
        if not -(1 << 63) <= number < 1 << 63:
            raise OverflowError(name)
        content = b"\x18" + _varint(number & 0xFFFF_FFFF_FFFF_FFFF)
    elif kind is float:
        content = b"\x21" + _DOUBLE(value)
    else:
        raise TypeError(name)
    return _delimited(tag, _delimited(b"\x0a", name.encode()) + _delimited(b"\x12", content))


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
        fields += [_attribute(b"\x22", name, value) for name, value in link.attributes.items()]
    fields.append(_LINK_FLAGS(0x35, flags))
    return _delimited(b"\x6a", b"".join(fields))
