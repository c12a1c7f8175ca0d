"""Records that failed: tried again, given up, replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import COMMAND, ERROR, GROUP, TOPIC
from dashboards.model.signal import LATELY, Signal, Threshold
from tracing.metrics.catalog import (
    DEAD_LETTERS,
    DEAD_LETTERS_DEPTH,
    DEAD_LETTERS_OLDEST_AGE,
    DEAD_LETTERS_REPLAYED,
    DUPLICATES,
    REPLAY_SKIPPED,
    RETRIES,
    RETRY_DURATION,
    UNREADABLE_SKIPPED,
)

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"
_WHY: Final = f"{_HOP}: {{{{{ERROR}}}}}"

RATE: Final = Signal(
    title="Dead letters by hop",
    description=f"Records that groups gave up on, {LATELY}. Each one is work that was not done.",
    unit="locale",
    expr=lambda scope: scope.grown(DEAD_LETTERS, by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(1, "warning"), Threshold(10, "critical")),
)
COUNT: Final = Signal(
    title="Dead letters",
    description="Records that groups gave up on within the interval.",
    unit="locale",
    expr=lambda scope: scope.grown(DEAD_LETTERS),
    legend="dead letters",
    thresholds=(Threshold(1, "warning"), Threshold(10, "critical")),
)
BY_REASON: Final = Signal(
    title="Dead letters by reason",
    description="What the last attempt failed with. One error alone is a bug or an outage; many "
    f"are a bad deployment. Records, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(DEAD_LETTERS, f'{ERROR}!=""', by=(GROUP, TOPIC, ERROR)),
    legend=_WHY,
)
DEPTH: Final = Signal(
    title="Dead letters waiting",
    description="How many lie in the dead-letter topics, as seen from outside the services.",
    unit="locale",
    expr=lambda scope: scope.worst(DEAD_LETTERS_DEPTH, by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(1, "warning"), Threshold(100, "critical")),
)
OLDEST: Final = Signal(
    title="Age of the oldest dead letter",
    description="How long the oldest one has waited for somebody. Topics forget after their "
    "retention: replay or purge before that.",
    unit="s",
    expr=lambda scope: scope.worst(DEAD_LETTERS_OLDEST_AGE, by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(3600, "warning"), Threshold(86400, "critical")),
)
RETRIES_BY_REASON: Final = Signal(
    title="Retries by reason",
    description="Attempts after a failed one. They come before dead letters: here it begins. "
    f"Attempts, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(RETRIES, f'{ERROR}!=""', by=(GROUP, TOPIC, ERROR)),
    legend=_WHY,
)
RETRY_P95: Final = Signal(
    title="Time spent on retries, p95",
    description="From the first attempt's end to the last one's start, of records that were tried "
    "again; those behind in the partition wait as long.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, RETRY_DURATION, by=(GROUP, TOPIC), rare=True),
    legend=_HOP,
)
REPLAYED: Final = Signal(
    title="Replayed",
    description=f"Dead letters that were sent back to the topic that they came from, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(DEAD_LETTERS_REPLAYED, by=(GROUP, TOPIC)),
    legend=_HOP,
)
NOT_OURS: Final = Signal(
    title="Replays skipped by other groups",
    description="Replayed dead letters that a group skipped, because they are another group's. "
    f"Growth without a replay: someone copies headers. Records, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(REPLAY_SKIPPED, by=(GROUP, TOPIC)),
    legend=_HOP,
)
UNREADABLE: Final = Signal(
    title="Unreadable records skipped",
    description="Records that the client of a group cannot read, such as one with a header name "
    f"that is not UTF-8, and that it skips. Each one is lost to the group. Records, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(UNREADABLE_SKIPPED, by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(1, "warning"),),
)
SKIPPED: Final = Signal(
    title="Duplicates skipped",
    description="Records whose event had been applied before. Some come with every rebalance; a "
    f"steady flow is a producer that sends twice. Records, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(DUPLICATES, by=(GROUP, TOPIC)),
    legend=_HOP,
)


def _to_do(scope: Scope) -> str:
    """Letters that are kept, each group and topic with the command that shows what to replay."""
    kept = f"{scope.worst(DEAD_LETTERS_DEPTH, by=(GROUP, TOPIC))} > 0"
    command = "python -m tracing dlq replay --group $1 --dry-run"
    return f'label_replace({kept}, "{COMMAND}", "{command}", "{GROUP}", "(.*)")'


TO_DO: Final = Signal(
    title="What can be replayed",
    description="Mend the cause first: a replay that fails again is a dead letter again. The "
    "command shows what would be sent; without --dry-run it is.",
    unit="locale",
    expr=_to_do,
    legend=_HOP,
)
