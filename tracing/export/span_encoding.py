"""Encoding of batches of spans as OTLP/protobuf, directly where the spans are still light.

The SDK's encoder builds a protobuf object for every attribute, 50-100 µs a span. Light spans are
written in the wire format instead, see `tracing.export.light_encoding`. All other spans go through
the SDK's encoder: protobuf defines that two encoded requests, one after the other, are one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from tracing.core.log import warn_once
from tracing.core.otlp_wire import delimited, varint
from tracing.export.light_encoding import FAULTS, LightEncoder
from tracing.spans.flat import FlatSpan
from tracing.spans.light import LightSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Encode = Callable[[ReadableSpan], bytes | None]
    _Place = tuple[_Encode, _Encode, list[bytes]]

_MAX_CACHED: Final = 1024
# Takes less than 1 ms, a delay that an event loop in another thread can bear.
_SLICE: Final = 64
# Most spans are shorter than this, in bytes.
_SHORT: Final = 1024
_SIZED: Final = tuple(b"\x12" + varint(size) for size in range(_SHORT))


class SpanEncoder:
    """Encodes batches of spans. For one thread.

    Args:
        pause: Called after every 64 spans.

    Attributes:
        left_to_sdk: How many spans the SDK's encoder had to encode so far.
        left_out: How many spans so far nothing could encode, such as one whose status has half of a
            surrogate pair. One of them does not take the others of its batch with it.
    """

    def __init__(self, pause: Callable[[], object] | None = None) -> None:
        self._pause = pause
        self.left_to_sdk = 0
        self.left_out = 0
        self._light = LightEncoder()
        self._scopes: dict[tuple[int, int], tuple[object, bytes, bytes, bytes, bytes]] = {}

    def encode(self, spans: Sequence[ReadableSpan]) -> bytes:
        """Return an encoded `ExportTraceServiceRequest`."""
        others: list[ReadableSpan] = []
        groups: dict[tuple[int, int], tuple[ReadableSpan, list[bytes]]] = {}
        # The spans of a class are from one tracer, so they are from one scope of one resource.
        places: dict[type, _Place] = {}
        pause = self._pause
        for first in range(0, len(spans), _SLICE):
            part = spans[first : first + _SLICE]
            for span in part:
                try:
                    encode_usual, encode, group = places[type(span)]
                except KeyError:
                    encode_usual, encode, group = places[type(span)] = self._place(span, groups)
                try:
                    # Few spans have anything that is not in a slot; `vars` costs twice as much.
                    encoded = None if span.__dict__ else encode_usual(span)
                except FAULTS:
                    encoded = None
                if encoded is None:
                    encoded = encode(span)
                    if encoded is None:
                        others.append(span)
                        continue
                size = len(encoded)
                group.append(_SIZED[size] if size < _SHORT else b"\x12" + varint(size))
                group.append(encoded)
            if pause is not None and len(part) == _SLICE:
                pause()
        requests = [
            self._request(key, example, group) for key, (example, group) in groups.items() if group
        ]
        if others:
            self.left_to_sdk += len(others)
            requests.append(self._by_the_sdk(others))
        return b"".join(requests)

    def _by_the_sdk(self, spans: Sequence[ReadableSpan]) -> bytes:
        try:
            encoded: bytes = encode_spans(spans).SerializeToString()
        except Exception as fault:
            if len(spans) > 1:
                return b"".join([self._by_the_sdk((span,)) for span in spans])
            self.left_out += 1
            warn_once("a span cannot be encoded and is left out", error=fault)
            return b""
        return encoded

    def _place(
        self, span: ReadableSpan, groups: dict[tuple[int, int], tuple[ReadableSpan, list[bytes]]]
    ) -> _Place:
        """Return how spans of this one's class are encoded, and where they go.

        The first way is for those that have nothing in their dictionary, and may return `None`.
        """
        encode_usual: Any = _not_here
        encode: Any
        if isinstance(span, FlatSpan):
            encode_usual, encode = type(span).encode_usual, self._light.flat
        elif isinstance(span, LightSpan):
            encode = self._light.light
        else:
            return _not_here, _not_here, []
        key = (id(span.resource), id(span.instrumentation_scope))
        return encode_usual, encode, groups.setdefault(key, (span, []))[1]

    def _request(self, key: tuple[int, int], example: ReadableSpan, spans: list[bytes]) -> bytes:
        cached = self._scopes.get(key)
        if cached is None:
            # A span without content: the example would be built for this.
            bare = ReadableSpan(
                "",
                example.context,
                resource=example.resource,
                instrumentation_scope=example.instrumentation_scope,
            )
            resource_spans = encode_spans((bare,)).resource_spans[0]
            scope_spans = resource_spans.scope_spans[0]
            cached = (
                (example.resource, example.instrumentation_scope),
                delimited(b"\x0a", resource_spans.resource.SerializeToString()),
                delimited(b"\x0a", scope_spans.scope.SerializeToString()),
                delimited(b"\x1a", scope_spans.schema_url.encode()),
                delimited(b"\x1a", resource_spans.schema_url.encode()),
            )
            if len(self._scopes) >= _MAX_CACHED:
                self._scopes.clear()
            self._scopes[key] = cached
        _, resource, scope, scope_schema, resource_schema = cached
        # A batch has some hundred kilobytes: the fewer copies, the better.
        content = b"".join((scope, *spans, scope_schema))
        before = b"\x12" + varint(len(content))
        whole = len(resource) + len(before) + len(content) + len(resource_schema)
        return b"".join((b"\x0a", varint(whole), resource, before, content, resource_schema))


def _not_here(_span: ReadableSpan) -> bytes | None:
    return None
