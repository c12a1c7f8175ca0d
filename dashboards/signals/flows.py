"""Flows: how long they take from end to end, and at which hop the time goes."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import ERROR, GROUP, PIPELINE, SERVICE, TOPIC
from dashboards.model.promql import added
from dashboards.model.signal import LATELY, Signal, Threshold
from tracing.metrics.catalog import (
    CONSUMED_MESSAGES,
    END_TO_END_DURATION,
    PROCESS_DURATION,
    PUBLISH_DURATION,
    RETRY_DURATION,
    SENT_MESSAGES,
    WAIT_DURATION,
)

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"


def end_to_end(share: float, slow_s: float) -> Signal:
    """The end-to-end lag below which that share of records lies, by pipeline."""
    return Signal(
        title=f"End-to-end lag p{share * 100:g}",
        description="From the creation of a flow's root event to the end of processing, over all "
        "hops of the pipeline. Where it rises, see which hop's wait or processing rises with it.",
        unit="s",
        expr=lambda scope: scope.quantile(share, END_TO_END_DURATION, by=(PIPELINE,)),
        legend=f"{{{{{PIPELINE}}}}} p{share * 100:g}",
        thresholds=(Threshold(slow_s, "warning"), Threshold(slow_s * 2, "critical")),
        exemplars=True,
    )


def slowest_arrival(slow_s: float) -> Signal:
    """The end-to-end lag at the hop where it is highest, by pipeline."""
    hops = (PIPELINE, GROUP, TOPIC)
    return Signal(
        title="End-to-end lag p95",
        description="At the hop where it is highest, which in most pipelines is the last one: over "
        "all hops together, the early ones would hide it.",
        unit="s",
        expr=lambda scope: added(
            "max", (PIPELINE,), f"{scope.quantile(0.95, END_TO_END_DURATION, by=hops)} >= 0"
        ),
        legend=f"{{{{{PIPELINE}}}}}",
        thresholds=(Threshold(slow_s, "warning"), Threshold(slow_s * 2, "critical")),
    )


END_TO_END_SPREAD: Final = Signal(
    title="End-to-end lag, spread",
    description="How many records arrived with which end-to-end lag. Two bands are two kinds of "
    "flow, or two hops of different depth.",
    unit="s",
    expr=lambda scope: scope.rate(END_TO_END_DURATION, by=("le",), part="bucket"),
    legend="{{le}}",
    exemplars=True,
)
END_TO_END_BY_HOP: Final = Signal(
    title="End-to-end lag p95 by hop",
    description="How old flows are when a hop has finished with them. The first hop that stands "
    "out is the one to blame.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, END_TO_END_DURATION, by=(GROUP, TOPIC)),
    legend=_HOP,
    exemplars=True,
)
PUBLISH: Final = Signal(
    title="Publish",
    description="Mean time from an event's creation to its record: outbox, batching, sending.",
    unit="s",
    expr=lambda scope: scope.mean(PUBLISH_DURATION, by=(TOPIC,)),
    legend=f"publish {{{{{TOPIC}}}}}",
)
WAIT: Final = Signal(
    title="Wait",
    description="Mean time from a record's timestamp to the start of its processing.",
    unit="s",
    expr=lambda scope: scope.mean(WAIT_DURATION, by=(GROUP, TOPIC)),
    legend=f"wait {_HOP}",
    exemplars=True,
)
PROCESSING: Final = Signal(
    title="Processing",
    description="Mean time that a record is worked on, all its attempts together.",
    unit="s",
    expr=lambda scope: scope.mean(PROCESS_DURATION, by=(GROUP, TOPIC), over=WAIT_DURATION),
    legend=f"processing {_HOP}",
    exemplars=True,
)
RETRY: Final = Signal(
    title="Retry",
    description="Mean time between the first and the last attempt, of all records: most have none.",
    unit="s",
    expr=lambda scope: scope.mean(RETRY_DURATION, by=(GROUP, TOPIC), over=WAIT_DURATION),
    legend=f"retry {_HOP}",
)
SENT: Final = Signal(
    title="Sent",
    description="Records per second that the broker acknowledged, by topic.",
    unit="recps",
    expr=lambda scope: scope.rate(SENT_MESSAGES, by=(TOPIC,)),
    legend=f"{{{{{TOPIC}}}}}",
)
CONSUMED: Final = Signal(
    title="Consumed",
    description="Records per second handed to the application, by hop. A group below what is sent "
    "to its topic falls behind.",
    unit="recps",
    expr=lambda scope: scope.rate(CONSUMED_MESSAGES, by=(GROUP, TOPIC)),
    legend=_HOP,
)
PROCESSED: Final = Signal(
    title="Processed",
    description="Attempts per second at processing a record, by service and topic.",
    unit="recps",
    expr=lambda scope: scope.rate(PROCESS_DURATION, by=(SERVICE, TOPIC), part="count"),
    legend=f"{{{{{SERVICE}}}}} ← {{{{{TOPIC}}}}}",
)
FAILED: Final = Signal(
    title="Failed attempts",
    description=f"Attempts at processing that failed, by error, {LATELY}. A business "
    "rejection is not a failure.",
    unit="locale",
    expr=lambda scope: scope.grown(
        PROCESS_DURATION, f'{ERROR}!=""', by=(SERVICE, TOPIC, ERROR), part="count"
    ),
    legend=f"{{{{{SERVICE}}}}} ← {{{{{TOPIC}}}}}: {{{{{ERROR}}}}}",
    thresholds=(Threshold(1, "warning"), Threshold(100, "critical")),
)
PROCESSING_P95: Final = Signal(
    title="Processing p95",
    description="95 of 100 attempts at processing took less.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, PROCESS_DURATION, by=(SERVICE, TOPIC)),
    legend=f"{{{{{SERVICE}}}}} ← {{{{{TOPIC}}}}}",
    exemplars=True,
)
