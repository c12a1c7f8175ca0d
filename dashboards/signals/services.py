"""Services: what they send, and what waits in their outboxes."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import (
    ERROR,
    GROUP,
    INSTANCE,
    OPERATION,
    SERVICE,
    SERVICE_VERSION,
    TOPIC,
)
from dashboards.model.promql import aggregate
from dashboards.model.signal import EACH_POINT, Signal, Threshold
from tracing.metrics.catalog import (
    OPERATION_DURATION,
    OUTBOX_OLDEST_AGE,
    OUTBOX_PENDING,
    PROCESS_DURATION,
    SENT_MESSAGES,
    TELEMETRY_DROPPED,
)

INSTANCES: Final = Signal(
    title="Instances",
    description="Processes of each service that report metrics. A fall that was not planned is a "
    "crash; a process counts until its next report is overdue.",
    unit="locale",
    expr=lambda scope: aggregate(
        "count",
        (SERVICE,),
        aggregate("group", (SERVICE, INSTANCE), scope.alive(scope.select(TELEMETRY_DROPPED))),
    ),
    legend=f"{{{{{SERVICE}}}}}",
)
VERSIONS: Final = Signal(
    title="Service versions in flight",
    description="Processes by version, which is service.version in OTEL_RESOURCE_ATTRIBUTES. Two "
    "versions at once are a deployment under way, or one that got stuck.",
    unit="locale",
    expr=lambda scope: aggregate(
        "count", (SERVICE, SERVICE_VERSION), scope.alive(scope.resources())
    ),
    legend=f"{{{{{SERVICE}}}}} {{{{{SERVICE_VERSION}}}}}",
)
IN_HAND: Final = Signal(
    title="Records in hand at once",
    description="How many records each consumer handles at the same time, on average. It cannot "
    "handle more than one of each of its partitions: where the line stays at the number of these, "
    "it is saturated, and more instances help as long as there are partitions for them. A record "
    "counts once it has been handled: if the line falls while lag grows, a handler may hang.",
    unit="short",
    expr=lambda scope: scope.rate(PROCESS_DURATION, by=(SERVICE, INSTANCE, GROUP), part="sum"),
    legend=f"{{{{{GROUP}}}}} {{{{{INSTANCE}}}}}",
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
)
CLIENT_P95: Final = Signal(
    title="Duration of sends, polls and commits, p95",
    description="Time that the client measures, including the acknowledgement. A poll also waits "
    "for its first record: a slow one means that there was nothing to do.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, OPERATION_DURATION, by=(SERVICE, OPERATION)),
    legend=f"{{{{{SERVICE}}}}} {{{{{OPERATION}}}}}",
    exemplars=True,
)
OUTBOX: Final = Signal(
    title="Pending in the outbox",
    description="Messages that are stored and that the broker has not acknowledged.",
    unit="locale",
    expr=lambda scope: scope.newest(OUTBOX_PENDING, of=(SERVICE,), by=(SERVICE,)),
    legend=f"{{{{{SERVICE}}}}}",
    reporter=None,
    empty="no service reports an outbox",
)
OUTBOX_AGE: Final = Signal(
    title="Oldest message in the outbox",
    description="How long the oldest pending message has waited. If it rises, the relay is down or "
    "the broker rejects its messages.",
    unit="s",
    expr=lambda scope: scope.newest(OUTBOX_OLDEST_AGE, of=(SERVICE,), by=(SERVICE,)),
    legend=f"{{{{{SERVICE}}}}}",
    thresholds=(Threshold(30, "warning"), Threshold(300, "critical")),
    reporter=None,
    empty="no service reports an outbox",
)
