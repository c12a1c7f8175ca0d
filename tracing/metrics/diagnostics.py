"""Faults of the instrumentation: counted each time, logged the first time, never raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from tracing.core import semconv
from tracing.core.log import warn_once
from tracing.metrics import catalog

if TYPE_CHECKING:
    from tracing.metrics.instruments import Count, Metrics
    from tracing.metrics.metric import Metric

Invalid = Literal[
    "traceparent",
    "tracestate",
    "baggage",
    "propagator",
    "origin",
    "pipeline",
    "caller",
    "ce_time",
    "replay",
    "ce_type",
]
Dropped = Literal[
    "send", "poll", "process", "commit", "dead_letter", "replay", "duplicate", "links", "baggage",
    "exception_log", "saga", "saga_health", "message_type", "order", "schema", "catch_up",
]  # fmt: skip

_CANNOT_BE_PARSED: Final = "a record's {} header could not be parsed and is treated as absent"
_INVALID: Final[dict[Invalid, str]] = {
    "traceparent": _CANNOT_BE_PARSED.format("traceparent"),
    "tracestate": _CANNOT_BE_PARSED.format("tracestate"),
    "baggage": _CANNOT_BE_PARSED.format("baggage"),
    "propagator": "the propagator could not read a record's headers; they are treated as absent",
    "origin": "a record's pipeline.origin is no number, lies in the future, or is older than the "
    "record by more than Telemetry(max_flow_age_s=...); it is treated as absent",
    "pipeline": "a record's pipeline.name is no name of 1 to 128 printable characters; it is "
    "treated as absent",
    "caller": "pipeline.* baggage in the current context comes neither from a record nor from "
    "this service, as when an HTTP caller sent it; it is ignored (see tracing.HttpBoundary)",
    "replay": "a record's replay header cannot be used and is treated as absent",
    "ce_time": "an event's ce_time lies in the future, or back by more than "
    "Telemetry(max_flow_age_s=...); no publish duration is measured",
    "ce_type": "a message's ce_type is no name of 1 to 128 printable characters; it is treated as "
    "absent",
}
_DROPPED: Final[tuple[Dropped, ...]] = (
    "send", "poll", "process", "commit", "dead_letter", "replay", "duplicate", "links", "baggage",
    "exception_log", "saga", "saga_health", "message_type", "order", "schema", "catch_up",
)  # fmt: skip


class Diagnostics:
    """Counts and logs, for one telemetry.

    Thread safety: the methods are safe in any thread. The counters of clock skew belong to the
    thread that made the telemetry.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # The series exist with 0 from now on.
        for metric, reasons in (
            (catalog.CONTEXT_INVALID, tuple(_INVALID)),
            (catalog.TELEMETRY_DROPPED, _DROPPED),
        ):
            for reason in reasons:
                self._count(metric, reason)
        self.clock_skew = metrics.count(catalog.CLOCK_SKEW, {semconv.REASON: "wait"})
        self.origin_skew = metrics.count(catalog.CLOCK_SKEW, {semconv.REASON: "end_to_end"})
        self.publish_skew = metrics.count(catalog.CLOCK_SKEW, {semconv.REASON: "publish"})
        self.saga_clock_skew = metrics.count(catalog.CLOCK_SKEW, {semconv.REASON: "saga"})

    def invalid(self, reason: Invalid, number: int = 1) -> None:
        """Count a header, or a part of one, that was there and could not be used."""
        self._count(catalog.CONTEXT_INVALID, reason).value += number
        warn_once(
            f"{_INVALID[reason]}; further ones are only counted, in {catalog.CONTEXT_INVALID.name}"
        )

    def dropped(self, reason: Dropped, number: int = 1) -> None:
        """Count telemetry that was cut to a bound."""
        self._count(catalog.TELEMETRY_DROPPED, reason).value += number

    def failed(self, reason: Dropped, error: BaseException) -> None:
        """Count telemetry that was lost to a fault in it; the application goes on."""
        self._count(catalog.TELEMETRY_DROPPED, reason).value += 1
        warn_once(
            f"telemetry of a {reason} failed ({semconv.error_type(error)}); the event itself is "
            f"not affected; further ones are only counted, in {catalog.TELEMETRY_DROPPED.name}",
            error=error,
        )

    def _count(self, metric: Metric, reason: str) -> Count:
        """Return the series of the calling thread, which alone writes it."""
        return self._metrics.count(metric, {semconv.REASON: reason})
