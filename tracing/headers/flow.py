"""The flow that a context or a record belongs to, and which claims about it are believed.

A flow's name and origin become metric labels and lag figures, so they are taken only from a
record, or from where this library put them. Baggage that reached the context in another way, for
example with an HTTP request, can say anything: its `pipeline.*` entries are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from time import time_ns
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.otel_context import BAGGAGE_KEY, FLOW_KEY

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from tracing.core.semconv import AttributeValue

RESERVED: Final = "pipeline."
"""The prefix of this library's own baggage."""
MAX_ORIGIN: Final = 14
"""Digits of an origin in unix ms, enough until the year 5138."""
MAX_SKEW_MS: Final = 300_000
"""How far an origin may lie in the future: Kerberos, too, allows clocks to differ by 5 minutes."""
DEFAULT_MAX_AGE_S: Final = 30 * 86_400.0
EARLIEST_MS: Final = 1_293_840_000_000
"""The start of 2011, when Kafka came out, in unix ms: a clock that is before it was never set."""

NO_FLOW: Final[Mapping[str, object]] = {}

trusted_caller: ContextVar[Mapping[str, object]] = ContextVar("trusted_caller", default=NO_FLOW)
"""The flow of an HTTP caller that is part of the own system.

Beside the OpenTelemetry context, because what extracts a request's headers begins a new one.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginWindow:
    """Which moments can be the origin of a record's flow, or the creation of its event.

    Attributes:
        max_age_ms: How much older than the record it may be.
    """

    max_age_ms: int

    def holds(self, moment_ms: int, record_ms: object = None, now_ms: int | None = None) -> bool:
        """Return whether a moment is plausible.

        Args:
            moment_ms: The moment, unix ms.
            record_ms: When the record was written, unix ms; now, where it has no usable time, as
                one of a machine whose clock was never set. Old records have old origins, so age
                counts from the record and not from now.
            now_ms: The present moment, unix ms; by default the clock's.
        """
        if now_ms is None:
            now_ms = time_ns() // 1_000_000
        if moment_ms > now_ms + MAX_SKEW_MS:
            return False
        written_ms = now_ms
        if isinstance(record_ms, int) and EARLIEST_MS <= record_ms < now_ms:
            written_ms = record_ms
        return moment_ms >= written_ms - self.max_age_ms


def in_flow(flow: Mapping[str, object]) -> dict[str, object]:
    """Make the context entries that put a context into a flow, marked as ours."""
    return {BAGGAGE_KEY: flow, FLOW_KEY: flow}


def current_flow(context: Context) -> Mapping[str, object]:
    """Return the flow that a context is in; empty where it is in none."""
    entries = context.get(BAGGAGE_KEY)
    if not entries:
        return NO_FLOW
    if isinstance(entries, Mapping) and entries is context.get(FLOW_KEY):
        return entries
    return believed(context)[0]


def believed(context: Context) -> tuple[Mapping[str, object], int]:
    """Return a context's baggage, without entries that only claim to be a flow.

    Returns:
        The baggage, and the number of entries that were left out or corrected.
    """
    entries, flow = context.get(BAGGAGE_KEY), context.get(FLOW_KEY)
    if not isinstance(entries, Mapping):
        return NO_FLOW, 0
    if entries is flow:
        return entries, 0
    ours = flow if isinstance(flow, Mapping) else trusted_caller.get()
    kept: dict[str, object] = {}
    ignored = 0
    for name, value in entries.items():
        if not name.startswith(RESERVED):
            kept[name] = value
            continue
        # Baggage that a handler removed stays away; a value that it changed is restored.
        if name in ours:
            kept[name] = ours[name]
        ignored += name not in ours or ours[name] != value
    return kept, ignored


def flow_attributes(flow: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Describe a flow on a span."""
    attributes: dict[str, AttributeValue] = {}
    pipeline = flow.get(semconv.PIPELINE)
    if isinstance(pipeline, str):
        attributes[semconv.PIPELINE] = pipeline
    origin = parse_origin(flow.get(semconv.ORIGIN))
    if origin is not None:
        attributes[semconv.ORIGIN] = origin
    return attributes


def parse_origin(value: object) -> int | None:
    """Read an origin, unix ms; `None` when it is none."""
    # int() takes more than ASCII digits.
    if isinstance(value, str) and len(value) <= MAX_ORIGIN and value.isascii() and value.isdigit():
        return int(value)
    return None
