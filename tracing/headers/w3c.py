"""W3C Trace Context and Baggage, read from and written to header bytes.

The stock propagators work on strings in a carrier mapping and cost 5-10 µs a message; these work
on the bytes that Kafka carries. `tracing.headers.context` uses them only where it has seen that the
configured propagator gives the same result.

Sources: https://www.w3.org/TR/trace-context/ (level 2) and https://www.w3.org/TR/baggage/.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_plus, unquote_plus

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from tracing.core import sampling_state

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
BAGGAGE: Final = "baggage"
FIELDS: Final = frozenset({TRACEPARENT, TRACESTATE, BAGGAGE})

MAX_TRACEPARENT: Final = 512
MAX_TRACESTATE: Final = 8192
MAX_TRACESTATE_MEMBERS: Final = 32
"""The number of members that the specification allows."""
MAX_BAGGAGE: Final = 8192
"""Bytes; the limit that the Baggage specification obliges every platform to carry."""
MAX_BAGGAGE_ENTRIES: Final = 64
"""The number of entries that the Baggage specification obliges every platform to carry."""

SAMPLED: Final = b"13579bdf"
"""The last digits of flags that have the one for sampled."""
_SAMPLING = sampling_state.KEY.encode()
is_version_00: Final = re.compile(
    rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
).fullmatch
"""Match a `traceparent` of version 00, as bytes."""
HEX_AS_ZERO: Final = bytes(48 if chr(at) in "0123456789abcdef" else at for at in range(256))
"""A table for `bytes.translate`: of version 00 it makes `SHAPE_00`.

The pattern takes three times as long as these steps: the shape; above `LOWEST_00` and below
`HIGHEST_00`; and between its last two dashes not `NO_SPAN`.
"""
SHAPE_00: Final = b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00"
LOWEST_00: Final = b"00-" + b"0" * 32 + b"-g"
"""Of this shape, those are below it that have no trace id."""
HIGHEST_00: Final = b"00-g"
"""Of this shape, those are above it that are of other versions."""
NO_SPAN: Final = b"0" * 16
# Versions to come may append fields; 00 may not, and ff is invalid.
_LATER_VERSION = re.compile(
    rb"(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_MEMBER = re.compile(
    rb"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FLAGS = tuple(TraceFlags(bits) for bits in range(256))
_NO_STATE = TraceState()


class RemoteSpan(NonRecordingSpan):
    """The span that created a message, read from its `traceparent` and parsed on first use.

    Without sampling it is never parsed: it is only the current span in the handler,
    and its header goes on to the next hop unchanged.

    Attributes:
        traceparent: The header, of version 00 and well-formed.
        sampled: The header's sampled flag.
    """

    def __init__(self, traceparent: bytes, state: object) -> None:
        self.traceparent = traceparent
        self.sampled = traceparent[54] in SAMPLED
        self._state = state
        self._parsed: SpanContext | None = None

    @property
    def plain(self) -> bool:
        """Whether the header is all there is, without a `tracestate`."""
        return self._state is None

    def get_span_context(self) -> SpanContext:
        """Parse the header."""
        if self._parsed is None:
            header, state = self.traceparent, self._state
            self._parsed = _context(header[3:35], header[36:52], header[53:55], state)
        return self._parsed

    def __repr__(self) -> str:
        """Describe it as the span of the API that it stands for."""
        return repr(NonRecordingSpan(self.get_span_context()))


def parse_traceparent(value: object, state: object = None) -> RemoteSpan | None:
    """Read the remote span; `None` when malformed. `state` is the `tracestate` value.

    A `tracestate` that does not parse is dropped, as the specification asks, and the parent kept.
    """
    if not isinstance(value, bytes) or len(value) > MAX_TRACEPARENT:
        return None
    if is_version_00(value):
        return RemoteSpan(value, state)
    match = _LATER_VERSION.fullmatch(value)
    if match is None:
        return None
    # To the next hop it goes as the version that this code knows.
    return parse_traceparent(b"00-%b-%b-%b" % match.groups(), state)


def _context(trace_id: bytes, span_id: bytes, flags: bytes, state: object) -> SpanContext:
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=_FLAGS[int(flags, 16)],
        trace_state=_NO_STATE if state is None else parse_tracestate(state),
    )


def usable_tracestate(value: object) -> bytes | None:
    """Return a `tracestate` as it may be read and handed on; `None` when nothing of it may be.

    A malformed entry of OpenTelemetry's own is left out: samplers further on would disagree on it.
    The API's parser logs what it cannot read, at length, and does not look into the entry.
    """
    if not isinstance(value, bytes) or len(value) > MAX_TRACESTATE:
        return None
    members = [member.strip(b" \t") for member in value.split(b",")]
    present = [member for member in members if member]
    keys = {member.partition(b"=")[0] for member in present}
    if not (
        len(keys) == len(present) <= MAX_TRACESTATE_MEMBERS
        and all(_MEMBER.fullmatch(member) for member in present)
    ):
        return None
    if _SAMPLING not in keys or all(map(_is_readable, present)):
        return value
    return b",".join(member for member in present if _is_readable(member)) or None


def _is_readable(member: bytes) -> bool:
    key, _, content = member.partition(b"=")
    return key != _SAMPLING or sampling_state.parse_entry(content.decode("ascii")) is not None


def parse_tracestate(value: object) -> TraceState:
    """Read a `tracestate`; empty when malformed or too long."""
    usable = usable_tracestate(value)
    return _NO_STATE if usable is None else TraceState.from_header([usable.decode("ascii")])


def format_traceparent(context: SpanContext) -> bytes:
    """Write a span context as version 00."""
    return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)


def parse_baggage(value: object) -> Mapping[str, str] | None:
    """Read baggage entries, without their properties; `None` when there is no telling them.

    Entries that are malformed are skipped; what is beyond the size or the number that a platform
    must carry is not looked at.
    """
    if not isinstance(value, bytes) or len(value) > MAX_BAGGAGE:
        return None
    try:
        members = value.decode("ascii")
    except UnicodeDecodeError:
        return None
    entries: dict[str, str] = {}
    for member in members.split(",", MAX_BAGGAGE_ENTRIES)[:MAX_BAGGAGE_ENTRIES]:
        name, equals, rest = member.partition("=")
        name = name.strip()
        if equals and _TOKEN.fullmatch(name):
            content = rest.partition(";")[0].strip()
            entries[name] = unquote_plus(content) if "%" in content or "+" in content else content
    return entries or None


def format_baggage(entries: Mapping[str, object]) -> tuple[bytes, int]:
    """Write baggage within its bounds; returns it and how many entries did not fit.

    Entries keep their order, so what must not be lost comes first.
    """
    members: list[str] = []
    size = dropped = 0
    for name, value in entries.items():
        content = str(value)
        try:
            quoted = content if _PLAIN.fullmatch(content) else quote_plus(content)
        except UnicodeEncodeError:
            quoted = None
        if quoted is None or not _TOKEN.fullmatch(name):
            dropped += 1
            continue
        entry = f"{name}={quoted}"
        size += len(entry) + 1
        if size > MAX_BAGGAGE or len(members) == MAX_BAGGAGE_ENTRIES:
            size -= len(entry) + 1
            dropped += 1
            continue
        members.append(entry)
    return ",".join(members).encode("ascii"), dropped


def speaks_w3c(propagator: TextMapPropagator) -> bool:
    """Try whether this codec can stand in for a propagator."""
    if frozenset(propagator.fields) != FIELDS:
        return False
    state = TraceState([("vendor", "value")])
    span = SpanContext(
        0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED), trace_state=state
    )
    context = set_span_in_context(NonRecordingSpan(span), Context())
    context = baggage.set_baggage("name", "a value, é", context)
    carrier: dict[str, str] = {}
    try:
        propagator.inject(carrier, context)
        expected = {
            TRACEPARENT: format_traceparent(span).decode(),
            TRACESTATE: state.to_header(),
            BAGGAGE: format_baggage({"name": "a value, é"})[0].decode(),
        }
        read_back = propagator.extract(carrier, Context())
        return (
            carrier == expected
            and trace.get_current_span(read_back).get_span_context() == span
            and dict(baggage.get_all(read_back)) == {"name": "a value, é"}
        )
    except Exception:
        return False
