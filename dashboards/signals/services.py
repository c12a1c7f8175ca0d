"""Services: what they send, and what waits in their outboxes."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import ERROR, OPERATION, SERVICE, TOPIC
from dashboards.model.signal import EACH_POINT, Signal, Threshold
from tracing.metrics.catalog import (
    OPERATION_DURATION,
    OUTBOX_OLDEST_AGE,
    OUTBOX_PENDING,
    SENT_MESSAGES,
    TELEMETRY_DROPPED,
)

PRODUCED: Final = Signal(
    title="Sent by topic",
    description="Records per second that the broker acknowledged.",
    unit="recps",
    expr=lambda scope: scope.rate(SENT_MESSAGES, by=(SERVICE, TOPIC)),
    legend=f"{{{{{SERVICE}}}}} → {{{{{TOPIC}}}}}",
)
CLIENT_ERRORS: Final = Signal(
    title="Failed sends, polls and commits",
    description="Failed operations of the Kafka clients, by error. Usually the broker is down or "
    f"denies access. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(
        OPERATION_DURATION, f'{ERROR}!=""', by=(SERVICE, OPERATION, ERROR), part="count"
    ),
    legend=f"{{{{{SERVICE}}}}} {{{{{OPERATION}}}}}: {{{{{ERROR}}}}}",
    thresholds=(Threshold(1, "critical"),),
    reporter=TELEMETRY_DROPPED,
)
CLIENT_P95: Final = Signal(
    title="Duration of sends, polls and commits, p95",
    description="Time that the client measures, including the acknowledgement.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, OPERATION_DURATION, by=(SERVICE, OPERATION)),
    legend=f"{{{{{SERVICE}}}}} {{{{{OPERATION}}}}}",
    exemplars=True,
)
OUTBOX: Final = Signal(
    title="Pending in the outbox",
    description="Messages that are stored and that the broker has not acknowledged.",
    unit="locale",
    expr=lambda scope: scope.highest(OUTBOX_PENDING, by=(SERVICE,)),
    legend=f"{{{{{SERVICE}}}}}",
)
OUTBOX_AGE: Final = Signal(
    title="Oldest message in the outbox",
    description="How long the oldest pending message has waited. If it rises, the relay is down or "
    "the broker rejects its messages.",
    unit="s",
    expr=lambda scope: scope.highest(OUTBOX_OLDEST_AGE, by=(SERVICE,)),
    legend=f"{{{{{SERVICE}}}}}",
    thresholds=(Threshold(30, "warning"), Threshold(300, "critical")),
)
