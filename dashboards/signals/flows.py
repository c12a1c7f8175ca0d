"""Flows: how long they take from end to end, and in which hop they spend the time."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import BOUND, ERROR, GROUP, PIPELINE, RESOURCE, SERVICE, TOPIC, TYPE
from dashboards.model.signal import EACH_POINT, Signal, Threshold, slower_than
from dashboards.signals.chosen_pipeline import of_chosen_pipeline
from tracing.metrics.catalog import (
    BODY_SIZE,
    CONSUMED_MESSAGES,
    END_TO_END_DURATION,
    PROCESS_DURATION,
    RESOURCE_WAIT_DURATION,
    SENT_MESSAGES,
)

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"
_TYPED: Final = f"{{{{{TOPIC}}}}} {{{{{TYPE}}}}}"


def end_to_end(share: float, *limits_s: float) -> Signal:
    """Make the signal for a quantile of the end-to-end lag; the limits are as in `lateness`."""
    return Signal(
        title=f"End-to-end lag p{share * 100:g}",
        description="Time from the creation of a flow's root event to the end of processing, "
        "over all hops of the pipeline. When it rises, find the hop whose wait or processing "
        "also rises.",
        unit="s",
        expr=lambda scope: scope.quantile(share, END_TO_END_DURATION, by=(PIPELINE,)),
        legend=f"{{{{{PIPELINE}}}}} p{share * 100:g}",
        thresholds=slower_than(*limits_s),
        exemplars=True,
    )


END_TO_END_DISTRIBUTION: Final = Signal(
    title="End-to-end lag distribution",
    description="How many records arrived with each end-to-end lag. Two bands mean two kinds of "
    "flow, or an early and a late hop.",
    unit="s",
    expr=lambda scope: scope.rate(END_TO_END_DURATION, by=(BOUND,), part="bucket"),
    legend="{{le}}",
    exemplars=True,
    empty="nothing has arrived, or no service reports",
)
END_TO_END_BY_HOP: Final = Signal(
    title="End-to-end lag p95 by hop",
    description="Age of flows when a hop has processed them. The first hop that stands out is the "
    "cause.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, END_TO_END_DURATION, by=(GROUP, TOPIC)),
    legend=_HOP,
    exemplars=True,
)
SENT: Final = Signal(
    title="Sent",
    description="Records per second that the broker acknowledged, by topic.",
    unit="recps",
    expr=lambda scope: of_chosen_pipeline(scope, scope.rate(SENT_MESSAGES, by=(TOPIC,)), TOPIC),
    legend=f"{{{{{TOPIC}}}}}",
)
CONSUMED: Final = Signal(
    title="Consumed",
    description="Records per second that the application receives, by hop. A group falls behind if "
    "it consumes less than is sent to its topic.",
    unit="recps",
    expr=lambda scope: of_chosen_pipeline(
        scope, scope.rate(CONSUMED_MESSAGES, by=(GROUP, TOPIC)), GROUP, TOPIC
    ),
    legend=_HOP,
)
PROCESSED: Final = Signal(
    title="Processed",
    description="Processing attempts per second, by service and topic.",
    unit="recps",
    expr=lambda scope: scope.rate(PROCESS_DURATION, by=(SERVICE, TOPIC), part="count"),
    legend=f"{{{{{SERVICE}}}}} ← {{{{{TOPIC}}}}}",
)
FAILED: Final = Signal(
    title="Failed attempts",
    description="Processing attempts that failed, by error. A business rejection is not a "
    f"failure. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(
        PROCESS_DURATION, f'{ERROR}!=""', by=(SERVICE, TOPIC, ERROR), part="count"
    ),
    legend=f"{{{{{SERVICE}}}}} ← {{{{{TOPIC}}}}}: {{{{{ERROR}}}}}",
    thresholds=(Threshold(1, "warning"), Threshold(100, "critical")),
)
PROCESSING_P95: Final = Signal(
    title="Processing p95",
    description="95 of 100 processing attempts took less time, waits for resources included.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, PROCESS_DURATION, by=(SERVICE, TOPIC)),
    legend=f"{{{{{SERVICE}}}}} ← {{{{{TOPIC}}}}}",
    exemplars=True,
)
RESOURCE_WAIT_P95: Final = Signal(
    title="Resource wait p95",
    description="95 of 100 waits of handlers for what they share, such as a database, took less "
    "time. They are part of the processing time. If they are long, look at the resource: its "
    "connections, its locks, or what else uses it.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, RESOURCE_WAIT_DURATION, by=(SERVICE, TOPIC, RESOURCE)),
    legend=f"{{{{{SERVICE}}}}} ← {{{{{TOPIC}}}}}: {{{{{RESOURCE}}}}}",
    exemplars=True,
)
PROCESSED_BY_TYPE: Final = Signal(
    title="Processed by message type",
    description="Processing attempts per second, by the type of the event or command.",
    unit="recps",
    expr=lambda scope: scope.rate(PROCESS_DURATION, by=(TOPIC, TYPE), part="count"),
    legend=_TYPED,
)
PROCESSING_P95_BY_TYPE: Final = Signal(
    title="Processing p95 by message type",
    description="95 of 100 processing attempts of a type took less time.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, PROCESS_DURATION, by=(TOPIC, TYPE)),
    legend=_TYPED,
    exemplars=True,
)
END_TO_END_BY_TYPE: Final = Signal(
    title="End-to-end lag p95 by message type",
    description="Age of flows when a record of that type has been processed.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, END_TO_END_DURATION, by=(TOPIC, TYPE)),
    legend=_TYPED,
    exemplars=True,
)
MESSAGE_SIZE: Final = Signal(
    title="Message size p95",
    description="95 of 100 processed records had a smaller value, by topic and type. Events that "
    "carry their state are larger than notifications, whose readers call back for it. Only of "
    "services with Telemetry(body_sizes=True).",
    unit="bytes",
    expr=lambda scope: scope.quantile(0.95, BODY_SIZE, by=(TOPIC, TYPE)),
    legend=_TYPED,
)
