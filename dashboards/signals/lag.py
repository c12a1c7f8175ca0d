"""Consumer lag, as the lag monitor measures it from outside the consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import (
    GROUP,
    PARTITION,
    RECORDED_LAG,
    RECORDED_LAG_TIME,
    STATUS,
    TOPIC,
)
from dashboards.model.promql import aggregate
from dashboards.model.signal import Signal, Threshold, ValueMapping
from tracing.metrics.catalog import (
    CONSUMED_MESSAGES,
    CONSUMER_LAG,
    CONSUMER_LAG_TIME,
    CONSUMER_STATUS,
)

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"
_PLACE: Final = f"{_HOP}[{{{{{PARTITION}}}}}]"

RECORDS: Final = Signal(
    title="Lag in records",
    description="Records that a group has not committed, by topic. Compare it with the rate of new "
    "records: the number alone says little.",
    unit="locale",
    expr=lambda scope: (
        scope.select_recorded(RECORDED_LAG, GROUP, TOPIC)
        if scope.ruleset
        else scope.total(CONSUMER_LAG, by=(GROUP, TOPIC), each=(PARTITION,))
    ),
    legend=_HOP,
)
SECONDS: Final = Signal(
    title="Lag in seconds",
    description="Age of the oldest record that a group has not committed. It also grows while the "
    "consumer is down.",
    unit="s",
    expr=lambda scope: (
        scope.select_recorded(RECORDED_LAG_TIME, GROUP, TOPIC)
        if scope.ruleset
        else scope.highest(CONSUMER_LAG_TIME, by=(GROUP, TOPIC))
    ),
    legend=_HOP,
    thresholds=(Threshold(60, "warning"), Threshold(300, "critical")),
)


def _status(scope: Scope) -> str:
    """Return a query for each group's status, as the number that the signal maps to a text."""
    # The worst status wins: monitors that look at different moments may disagree.
    return " or ".join(
        f"{number} * ("
        + scope.highest(CONSUMER_STATUS, f'{STATUS}="{status}"', by=(GROUP,))
        + " == 1)"
        for number, status in reversed(tuple(enumerate(("ok", "lagging", "stalled", "dead"))))
    )


TOP_PARTITIONS_BY_SECONDS: Final = Signal(
    title="Top 10 partitions by lag in seconds",
    description="A single partition points at a poison record, a hot key or a stuck handler.",
    unit="s",
    expr=lambda scope: (
        f"topk(10, {scope.highest(CONSUMER_LAG_TIME, by=(GROUP, TOPIC, PARTITION))})"
    ),
    legend=_PLACE,
    thresholds=(Threshold(60, "warning"), Threshold(300, "critical")),
)
TOP_PARTITIONS_BY_RECORDS: Final = Signal(
    title="Top 10 partitions by lag in records",
    description="Records that a group has not committed. A single partition points at a hot key.",
    unit="locale",
    expr=lambda scope: f"topk(10, {scope.highest(CONSUMER_LAG, by=(GROUP, TOPIC, PARTITION))})",
    legend=_PLACE,
)
GROUP_STATUS: Final = Signal(
    title="Group status",
    description="Status of each group over a sliding window: ok, lagging (behind, but committing), "
    "stalled (behind, no commits) or dead (behind, no members).",
    unit="locale",
    expr=_status,
    legend=f"{{{{{GROUP}}}}}",
    mappings=(
        ValueMapping(0, "ok", "ok"),
        ValueMapping(1, "lagging", "warning"),
        ValueMapping(2, "stalled", "critical"),
        ValueMapping(3, "dead", "critical"),
    ),
)
STALLED_OR_DEAD: Final = Signal(
    title="Stalled or dead groups",
    description="Groups that process nothing. If there is no data, the lag monitor does not run: "
    "start python -m tracing lag --daemon.",
    unit="locale",
    expr=lambda scope: aggregate(
        "sum", (), scope.highest(CONSUMER_STATUS, f'{STATUS}=~"stalled|dead"', by=(GROUP,))
    ),
    legend="stalled or dead",
    thresholds=(Threshold(1, "critical"),),
)
CATCH_UP: Final = Signal(
    title="Time to catch up",
    description="Lag in records, divided by the group's current rate. New records are not "
    "counted, so the real time is longer.",
    unit="s",
    expr=lambda scope: (
        f"{RECORDS.expr(scope)} / on ({GROUP}, {TOPIC}) "
        f"({scope.rate(CONSUMED_MESSAGES, by=(GROUP, TOPIC))} > 0)"
    ),
    legend=_HOP,
)
