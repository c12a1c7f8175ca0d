"""Services: what they send, and what waits in their outboxes."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import ERROR, OPERATION, SERVICE, TOPIC
from dashboards.model.signal import LATELY, Signal, Threshold
from tracing.metrics.catalog import (
    OPERATION_DURATION,
    OUTBOX_OLDEST_AGE,
    OUTBOX_PENDING,
    SENT_MESSAGES,
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
    description="Operations of the Kafka clients that failed, by error. The broker is away, or "
    f"does not allow it. Operations, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(
        OPERATION_DURATION, f'{ERROR}!=""', by=(SERVICE, OPERATION, ERROR), part="count"
    ),
    legend=f"{{{{{SERVICE}}}}} {{{{{OPERATION}}}}}: {{{{{ERROR}}}}}",
    thresholds=(Threshold(1, "critical"),),
)
CLIENT_P95: Final = Signal(
    title="Sends, polls and commits, p95",
    description="As the client saw it, acknowledgement included.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, OPERATION_DURATION, by=(SERVICE, OPERATION)),
    legend=f"{{{{{SERVICE}}}}} {{{{{OPERATION}}}}}",
    exemplars=True,
)
OUTBOX: Final = Signal(
    title="Pending in the outbox",
    description="Messages that are stored and not yet acknowledged by the broker.",
    unit="locale",
    expr=lambda scope: scope.worst(OUTBOX_PENDING, by=(SERVICE,)),
    legend=f"{{{{{SERVICE}}}}}",
)
OUTBOX_AGE: Final = Signal(
    title="Oldest message in the outbox",
    description="How long the oldest pending message has waited. Rising: the relay is dead, or the "
    "broker refuses what it sends.",
    unit="s",
    expr=lambda scope: scope.worst(OUTBOX_OLDEST_AGE, by=(SERVICE,)),
    legend=f"{{{{{SERVICE}}}}}",
    thresholds=(Threshold(30, "warning"), Threshold(300, "critical")),
)
