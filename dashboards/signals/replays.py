"""Read models that are rebuilt from the log: how fast, and how much is left."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import OUTCOME, PROJECTION
from dashboards.model.signal import Signal
from tracing.metrics.catalog import REPLAY_RECORDS, REPLAY_REMAINING

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
