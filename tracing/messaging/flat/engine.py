"""The decision whether the messages of a service may take the flat path, and its counts.

The general code does everything that a message needs through the layers that are described in
their own modules: a span, a map of headers, an attributes dictionary, a new context. The flat path
does the same for ordinary messages in one object. It is taken where everything is known in
advance: what samplers decide, how ids are made, how headers are written, where the current context
is. What is unusual about a message itself is decided for that message: it goes through the general
code, and is counted here by the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakKeyDictionary

from tracing.core.environment import flat_path
from tracing.core.log import warn_once
from tracing.core.otel_context import context_variable
from tracing.spans.choose import ApiSpans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextvars import ContextVar

    from opentelemetry.context import Context

    from tracing.spans.flat import FlatSpans
    from tracing.telemetry import Telemetry

Operation = Literal["send", "process", "batch"]
"""What takes the flat path: a send, the handling of one record, or that of a batch."""

Reason = Literal[
    "topic",
    "parent",
    "baggage",
    "headers",
    "context_headers",
    "replayed",
    "schema",
    "suppressed",
    "tracer",
    "record",
    "fault",
]
"""Why a message goes through the general code.

- `topic`: something about its topic, such as a boundary or `relation="link"`
- `parent`: the span around it, or the one that its headers name, has what the flat path does not
  know, such as a `tracestate`; or there is none, and the sampler has to be asked for a new trace
- `baggage`: it is too large, or not the library's own and unusual
- `headers`: there are too many, or they are no pairs of a name and bytes
- `context_headers`: it is sent with the headers of another message
- `replayed`: it has the marks of a replay or of a dead letter
- `schema`: its schema is described, or its body read on demand
- `suppressed`: the application turned instrumentation off
- `tracer`: the tracer was turned off
- `record`: anything else about it, such as a missing timestamp, or history of a new group
- `fault`: reading it failed, which is a mistake in the library, or a record like no client's; the
  first one is logged
"""

_REASONS: Final[tuple[Reason, ...]] = (
    "topic", "parent", "baggage", "headers", "context_headers", "replayed", "schema", "suppressed",
    "tracer", "record", "fault",
)  # fmt: skip


class Engine:
    """What the flat path of one telemetry shares. Made by `engine_of`.

    Attributes:
        current: The variable that holds the current context.
        fallbacks: How many messages went through the general code instead, by reason.
        spans: Makes flat spans on the telemetry's tracer.
        taken: How many messages took the flat path, by operation.

    Thread safety: counts from several threads at once may be lost; nothing else changes.
    """

    __slots__ = ("current", "fallbacks", "spans", "taken")

    def __init__(self, current: ContextVar[Context], spans: FlatSpans) -> None:
        self.current = current
        self.spans = spans
        self.fallbacks: dict[Reason, int] = dict.fromkeys(_REASONS, 0)
        self.taken: dict[Operation, int] = {"send": 0, "process": 0, "batch": 0}


_engines: WeakKeyDictionary[Telemetry, Engine | None] = WeakKeyDictionary()
_unseen: Final = object()


def engine_of(telemetry: Telemetry) -> Engine | None:
    """Return the engine of a telemetry, decided once; `None` where its messages may not be flat.

    Clients ask when they are made. To see why there is none: `why_not`.

    Args:
        telemetry: What the service's clients share.
    """
    decided = _engines.get(telemetry, _unseen)
    if decided is None or isinstance(decided, Engine):
        return decided
    engine = _engines[telemetry] = _made(telemetry) if why_not(telemetry) is None else None
    return engine


def _made(telemetry: Telemetry) -> Engine | None:
    from tracing.spans.flat import FlatSpans  # noqa: PLC0415 - needs the SDK

    current, spans = context_variable(), FlatSpans.of(telemetry.spans)
    return None if current is None or spans is None else Engine(current, spans)


def log_fault(fault: Exception) -> None:
    """Log the first of the faults by which a record leaves the flat path. Never raises."""
    warn_once(
        "a record could not be read on the flat path; the general code handles it and all like it, "
        "at a higher cost; this is a mistake in the library, so please report it",
        error=fault,
    )


def why_not(telemetry: Telemetry) -> str | None:
    """Return why no message of a telemetry may take the flat path; `None` where they may."""
    return next(_obstacles(telemetry), None)


def _obstacles(telemetry: Telemetry) -> Iterator[str]:
    if not telemetry.fast:
        yield "fast paths are off"
    if not flat_path():
        yield "the flat path is off"
    if isinstance(telemetry.spans, ApiSpans):
        yield "the tracer provider is not a stock SDK's"
    elif not _is_predictable(telemetry):
        yield "the sampler has to be asked below a parent, or ids are not the SDK's random ones"
    if context_variable() is None:
        yield "the current context is not in the API's own variable"
    if not telemetry.propagation.is_w3c:
        yield "the propagator is not W3C's"
    if telemetry.message_keys or telemetry.body_sizes or telemetry.message_type is not None:
        yield "the telemetry has message_keys, body_sizes or message_type"


def _is_predictable(telemetry: Telemetry) -> bool:
    from tracing.spans.fast import LightSpans  # noqa: PLC0415 - needs the SDK

    return isinstance(telemetry.spans, LightSpans) and telemetry.spans.is_predictable
