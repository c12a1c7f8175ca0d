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
    UNKNOWN,
)
from dashboards.model.promql import aggregate
from dashboards.model.signal import EACH_POINT, NO_MONITOR, Signal, Threshold, ValueMapping
from dashboards.signals.catch_up import NEVER_S
from dashboards.signals.chosen_pipeline import of_chosen_pipeline
from tracing.metrics.catalog import (
    CONSUMER_CATCH_UP_TIME,
    CONSUMER_CAUSE,
    CONSUMER_LAG,
    CONSUMER_LAG_TIME,
    CONSUMER_LOST,
    CONSUMER_RETENTION_LEFT,
    CONSUMER_RETENTION_USED,
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
        else aggregate(
            "sum",
            (GROUP, TOPIC),
            scope.newest(CONSUMER_LAG, of=(GROUP,), by=(GROUP, TOPIC, PARTITION)),
        )
    ),
    legend=_HOP,
    reporter=None,
    empty=NO_MONITOR,
)
SECONDS: Final = Signal(
    title="Lag in seconds",
    description="Age of the oldest record that a group has not committed. It also grows while the "
    "consumer is down. It is 0 while a group works off history.",
    unit="s",
    expr=lambda scope: (
        scope.select_recorded(RECORDED_LAG_TIME, GROUP, TOPIC)
        if scope.ruleset
        else scope.newest(CONSUMER_LAG_TIME, of=(GROUP,), by=(GROUP, TOPIC))
    ),
    legend=_HOP,
    thresholds=(Threshold(60, "warning"), Threshold(300, "critical")),
    reporter=None,
    empty=NO_MONITOR,
)


# From the worst to the best: monitors that look at different moments may disagree.
_NUMBER_OF: Final = {
    "dead": 4, "stalled": 3, "lagging": 2, "catching_up": 1, "ok": 0, "abandoned": 5, UNKNOWN: 6
}  # fmt: skip


def _status(scope: Scope) -> str:
    """Return a query for each group's status, as the number that the signal maps to a text."""
    return " or ".join(
        f"{number} * ("
        + scope.newest(CONSUMER_STATUS, f'{STATUS}="{status}"', of=(GROUP,), by=(GROUP,))
        + " == 1)"
        for status, number in _NUMBER_OF.items()
    )


def _halted(scope: Scope) -> str:
    """Return a query for the groups with a known status: 1 if they process nothing, else 0."""
    halted, unknown = (
        scope.newest(CONSUMER_STATUS, f'{STATUS}=~"{status}"', of=(GROUP,), by=(GROUP,))
        for status in ("stalled|dead", UNKNOWN)
    )
    return f"({halted} unless {unknown} == 1)"


TOP_PARTITIONS_BY_SECONDS: Final = Signal(
    title="Top 10 partitions by lag in seconds",
    description="A single partition points at a poison record, a hot key or a stuck handler.",
    unit="s",
    expr=lambda scope: (
        f"topk(10, {scope.newest(CONSUMER_LAG_TIME, of=(GROUP,), by=(GROUP, TOPIC, PARTITION))})"
    ),
    legend=_PLACE,
    thresholds=(Threshold(60, "warning"), Threshold(300, "critical")),
    reporter=None,
    empty=NO_MONITOR,
)
TOP_PARTITIONS_BY_RECORDS: Final = Signal(
    title="Top 10 partitions by lag in records",
    description="Records that a group has not committed. A single partition points at a hot key.",
    unit="locale",
    expr=lambda scope: (
        f"topk(10, {scope.newest(CONSUMER_LAG, of=(GROUP,), by=(GROUP, TOPIC, PARTITION))})"
    ),
    legend=_PLACE,
    reporter=None,
    empty=NO_MONITOR,
)
GROUP_STATUS: Final = Signal(
    title="Group status",
    description="Status of each group over a sliding window: ok, catching up (works off history, "
    "which is no lag), lagging (behind, but committing), stalled (behind, no commits), dead "
    "(behind, no members), abandoned (it has left all its topics, or another group of its "
    "application has replaced it) or unknown (the cluster does not answer, or the monitor has not "
    "watched long enough to judge).",
    unit="locale",
    expr=_status,
    legend=f"{{{{{GROUP}}}}}",
    mappings=(
        ValueMapping(0, "ok", "ok"),
        ValueMapping(1, "catching up", "ok"),
        ValueMapping(2, "lagging", "warning"),
        ValueMapping(3, "stalled", "critical"),
        ValueMapping(4, "dead", "critical"),
        ValueMapping(5, "abandoned", "ok"),
        ValueMapping(6, "unknown", "warning"),
    ),
    reporter=None,
    empty=NO_MONITOR,
)
STALLED_OR_DEAD: Final = Signal(
    title="Stalled or dead groups",
    description="Groups that process nothing. If there is no data, the lag monitor (python -m "
    "tracing lag --daemon) does not run, or the cluster does not answer it.",
    unit="locale",
    expr=lambda scope: aggregate(
        "sum",
        (),
        of_chosen_pipeline(scope, _halted(scope), GROUP),
    ),
    legend="stalled or dead",
    thresholds=(Threshold(1, "critical"),),
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
CATCH_UP: Final = Signal(
    title="Time to catch up",
    description="How long the group needs until it has no lag, if it and its producers go on like "
    "this, by the slope of the lag. Never, if the lag does not fall.",
    unit="s",
    expr=lambda scope: scope.newest(
        CONSUMER_CATCH_UP_TIME, of=(GROUP,), by=(GROUP, TOPIC), beside=CONSUMER_CAUSE
    ),
    legend=_HOP,
    mappings=(ValueMapping(NEVER_S, "never", "critical"),),
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
RETENTION_USED: Final = Signal(
    title="Retention used",
    description="Share of its topic's retention that the oldest record that a group has not "
    "committed has used, by time or bytes. From 100 % on, the broker may delete the record with "
    "its segment. No data: the lag monitor may not describe the topic's configuration.",
    unit="percentunit",
    expr=lambda scope: scope.newest(
        CONSUMER_RETENTION_USED, of=(GROUP,), by=(GROUP, TOPIC), beside=CONSUMER_CAUSE
    ),
    legend=_HOP,
    thresholds=(Threshold(0.5, "warning"), Threshold(0.8, "critical")),
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
RETENTION_LEFT: Final = Signal(
    title="Time until loss",
    description="Time until the broker may delete the oldest record that a group has not "
    "committed, if the group commits nothing more. No data: no record waits, or the lag monitor "
    "may not describe the topic's configuration.",
    unit="s",
    expr=lambda scope: scope.newest(
        CONSUMER_RETENTION_LEFT, of=(GROUP,), by=(GROUP, TOPIC), beside=CONSUMER_CAUSE, how="min"
    ),
    legend=_HOP,
    thresholds=(Threshold(0, "critical"), Threshold(3600, "warning"), Threshold(86400, "ok")),
    below="critical",
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
LOST: Final = Signal(
    title="Records lost",
    description=f"Records that were deleted before the group committed them. {EACH_POINT}",
    unit="locale",
    # Each monitor reports the same losses, and a new one those of the last one.
    expr=lambda scope: aggregate(
        "sum",
        (GROUP, TOPIC),
        scope.shared_increase(CONSUMER_LOST, by=(GROUP, TOPIC, PARTITION)),
    ),
    legend=_HOP,
    thresholds=(Threshold(1, "critical"),),
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
