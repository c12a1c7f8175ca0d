"""Consumer lag as seen from outside the consumers."""

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
from dashboards.model.promql import added
from dashboards.model.signal import Meaning, Signal, Threshold
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
    description="Records that a group has not committed, by topic. Compare it with how fast they "
    "come: the number alone says little.",
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
    description="Age of the oldest record that a group has not committed. It goes on growing while "
    "the consumer is dead.",
    unit="s",
    expr=lambda scope: (
        scope.select_recorded(RECORDED_LAG_TIME, GROUP, TOPIC)
        if scope.ruleset
        else scope.worst(CONSUMER_LAG_TIME, by=(GROUP, TOPIC))
    ),
    legend=_HOP,
    thresholds=(Threshold(60, "warning"), Threshold(300, "critical")),
)


def _status(scope: Scope) -> str:
    """The status of each group as a number; what it stands for is said with the signal."""
    # The worst one first: monitors that look at different moments may tell different ones.
    return " or ".join(
        f"{number} * ("
        + scope.worst(CONSUMER_STATUS, f'{STATUS}="{status}"', by=(GROUP,))
        + " == 1)"
        for number, status in reversed(tuple(enumerate(("ok", "lagging", "stalled", "dead"))))
    )


WORST_PARTITIONS: Final = Signal(
    title="The ten partitions furthest behind",
    description="One partition alone behind is a poison record, a hot key or a stuck handler.",
    unit="s",
    expr=lambda scope: f"topk(10, {scope.worst(CONSUMER_LAG_TIME, by=(GROUP, TOPIC, PARTITION))})",
    legend=_PLACE,
    thresholds=(Threshold(60, "warning"), Threshold(300, "critical")),
)
BIGGEST_PARTITIONS: Final = Signal(
    title="The ten partitions with the most records waiting",
    description="Records that a group has not committed. One partition alone is a hot key.",
    unit="locale",
    expr=lambda scope: f"topk(10, {scope.worst(CONSUMER_LAG, by=(GROUP, TOPIC, PARTITION))})",
    legend=_PLACE,
)
STATUS_NOW: Final = Signal(
    title="Status of groups",
    description="As evaluated over a sliding window: ok, lagging (behind, but committing), stalled "
    "(behind, without commits) or dead (behind, without members).",
    unit="locale",
    expr=_status,
    legend=f"{{{{{GROUP}}}}}",
    meanings=(
        Meaning(0, "ok", "ok"),
        Meaning(1, "lagging", "warning"),
        Meaning(2, "stalled", "critical"),
        Meaning(3, "dead", "critical"),
    ),
)
STANDING_STILL: Final = Signal(
    title="Stalled or dead groups",
    description="Groups that are stalled or dead. Nothing of what is sent to them is handled. "
    "Without data, no lag monitor runs: python -m tracing lag --daemon.",
    unit="locale",
    expr=lambda scope: added(
        "sum", (), scope.worst(CONSUMER_STATUS, f'{STATUS}=~"stalled|dead"', by=(GROUP,))
    ),
    legend="stalled or dead",
    thresholds=(Threshold(1, "critical"),),
)
CATCH_UP: Final = Signal(
    title="Time to catch up",
    description="Lag in records by how fast the group consumes at present: an estimate, and too "
    "short where records go on coming.",
    unit="s",
    expr=lambda scope: (
        f"{RECORDS.expr(scope)} / on ({GROUP}, {TOPIC}) "
        f"({scope.rate(CONSUMED_MESSAGES, by=(GROUP, TOPIC))} > 0)"
    ),
    legend=_HOP,
)
