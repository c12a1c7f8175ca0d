"""Read models: how old they are, and how fast they are rebuilt from the log."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import OUTCOME, PROJECTION, SERVICE
from dashboards.model.signal import Signal, Threshold
from tracing.metrics.catalog import PROJECTION_STALENESS, REPLAY_RECORDS, REPLAY_REMAINING

RATE: Final = Signal(
    title="Records replayed",
    description="Records that replays read, by what became of them. Undecodable ones were dead "
    "letters for the live consumer too. They are in no figure of consumers and objectives.",
    unit="cps",
    expr=lambda scope: scope.rate(REPLAY_RECORDS, by=(PROJECTION, OUTCOME)),
    legend=f"{{{{{PROJECTION}}}}}: {{{{{OUTCOME}}}}}",
)
REMAINING: Final = Signal(
    title="Records left to replay",
    description="What a running replay has still to read. Without a line there is none. A line "
    "that does not fall is a replay that waits for the broker or the database; one that was killed "
    "resumes when the same command is given again.",
    unit="locale",
    expr=lambda scope: scope.highest(REPLAY_REMAINING, by=(PROJECTION,)),
    legend=f"{{{{{PROJECTION}}}}}",
)
STALENESS: Final = Signal(
    title="Age of read models",
    description="How long the oldest record that a read model has not applied has been in the log; "
    "0 where it has applied all. A line that rises by a second each second is a consumer that "
    "is stalled. What the views show is that old.",
    unit="s",
    # All replicas report the same read models.
    expr=lambda scope: scope.highest(PROJECTION_STALENESS, by=(SERVICE, PROJECTION)),
    legend=f"{{{{{SERVICE}}}}}: {{{{{PROJECTION}}}}}",
    thresholds=(Threshold(30, "warning"), Threshold(300, "critical")),
    reporter=None,
    empty="no service reports read models",
)
