"""Records that failed: retried, moved to a dead-letter topic, replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import BOUND, COMMAND, ERROR, GROUP, TOPIC
from dashboards.model.signal import EACH_POINT, NO_MONITOR, Signal, Threshold
from tracing.metrics.catalog import (
    CONSUMER_CAUSE,
    DEAD_LETTERS,
    DEAD_LETTERS_DEPTH,
    DEAD_LETTERS_OLDEST_AGE,
    DEAD_LETTERS_REPLAYED,
    DUPLICATES,
    REPLAY_SKIPPED,
    RETRIES,
    RETRY_ATTEMPTS,
    RETRY_DURATION,
    UNREADABLE_SKIPPED,
)

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"
# What no shell reads as more than one word, or as an option.
_SHELL_WORD: Final = "([A-Za-z0-9._][A-Za-z0-9._-]*)"
_WHY: Final = f"{_HOP}: {{{{{ERROR}}}}}"

RATE: Final = Signal(
    title="Dead letters by hop",
    description=f"Records that groups gave up on. The work for each was not done. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(DEAD_LETTERS, by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(1, "warning"), Threshold(10, "critical")),
)
COUNT: Final = Signal(
    title="Dead letters",
    description="Records that groups gave up on within the interval.",
    unit="locale",
    expr=lambda scope: scope.increase(DEAD_LETTERS),
    legend="dead letters",
    thresholds=(Threshold(1, "warning"), Threshold(10, "critical")),
)
BY_REASON: Final = Signal(
    title="Dead letters by reason",
    description="The error of the last attempt. A single error points at a bug or an outage, many "
    f"different ones at a bad deployment. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(DEAD_LETTERS, f'{ERROR}!=""', by=(GROUP, TOPIC, ERROR)),
    legend=_WHY,
)
DEPTH: Final = Signal(
    title="Dead letters waiting",
    description="Records in the dead-letter topics, as the lag monitor sees them.",
    unit="locale",
    expr=lambda scope: scope.newest(DEAD_LETTERS_DEPTH, of=(GROUP, TOPIC), by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(1, "warning"), Threshold(100, "critical")),
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
OLDEST: Final = Signal(
    title="Age of the oldest dead letter",
    description="How long the oldest dead letter has waited. Kafka deletes it when the topic's "
    "retention ends: replay it before that.",
    unit="s",
    expr=lambda scope: scope.newest(DEAD_LETTERS_OLDEST_AGE, of=(GROUP, TOPIC), by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(3600, "warning"), Threshold(86400, "critical")),
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
RETRIES_BY_REASON: Final = Signal(
    title="Retries by reason",
    description="Attempts that followed a failed one, by the error. Retries are the first sign of "
    f"dead letters. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(RETRIES, f'{ERROR}!=""', by=(GROUP, TOPIC, ERROR)),
    legend=_WHY,
)
RETRY_P95: Final = Signal(
    title="Time spent on retries, p95",
    description="Time from the end of the first attempt to the start of the last, for records that "
    "were retried. Later records of the partition wait as long.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, RETRY_DURATION, by=(GROUP, TOPIC)),
    legend=_HOP,
)


ATTEMPTS: Final = Signal(
    title="Attempts of retried records",
    description="Mean number of attempts of the records that needed more than one. Near the limit "
    "that the service sets, retries do not help; near 2, the first one does.",
    unit="none",
    expr=lambda scope: scope.mean(RETRY_ATTEMPTS, by=(GROUP, TOPIC)),
    legend=_HOP,
)
ATTEMPTS_DISTRIBUTION: Final = Signal(
    title="Retry depth",
    description="How many records needed each number of attempts, of those that needed more than "
    "one, at the groups and topics chosen above. A band at the limit that the service sets are "
    "records that no retry helps; one at 2 is trouble that passes.",
    unit="locale",
    expr=lambda scope: scope.increase(RETRY_ATTEMPTS, by=(BOUND,), part="bucket"),
    legend="{{le}}",
    empty="no record needed a second attempt, or no service reports",
)
REPLAYED: Final = Signal(
    title="Replayed",
    description=f"Dead letters that were sent back to their original topic. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(DEAD_LETTERS_REPLAYED, by=(GROUP, TOPIC)),
    legend=_HOP,
)
REPLAYS_SKIPPED: Final = Signal(
    title="Replays skipped by other groups",
    description="Replayed dead letters that a group skipped because they belong to another group. "
    f"If the number grows without a replay, a producer copies headers. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(REPLAY_SKIPPED, by=(GROUP, TOPIC)),
    legend=_HOP,
)
UNREADABLE: Final = Signal(
    title="Unreadable records skipped",
    description="Records that a group skipped because its client cannot read them, such as a "
    f"header name that is not UTF-8. The group never processes them. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(UNREADABLE_SKIPPED, by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(1, "warning"),),
)
DUPLICATES_SKIPPED: Final = Signal(
    title="Duplicates skipped",
    description="Records whose event the group had already applied. A few after each rebalance are "
    f"normal; a steady rate means that a producer sends twice. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(DUPLICATES, by=(GROUP, TOPIC)),
    legend=_HOP,
)


def _replayable(scope: Scope) -> str:
    """Return a query for dead letters by group and topic, labelled with the replay command.

    PromQL cannot quote for a shell, so only a group whose name needs no quotes has a command.
    """
    kept = f"{scope.newest(DEAD_LETTERS_DEPTH, of=(GROUP, TOPIC), by=(GROUP, TOPIC))} > 0"
    command = "python -m tracing dlq replay --group $1 --dry-run"
    return f'label_replace({kept}, "{COMMAND}", "{command}", "{GROUP}", "{_SHELL_WORD}")'


REPLAYABLE: Final = Signal(
    title="Dead letters to replay",
    description="Fix the cause first: a record that fails again becomes a dead letter again. The "
    "command shows what it would send; without --dry-run, it sends it. A group whose name has "
    "characters other than letters, digits, dots, dashes and underscores has no command here.",
    unit="locale",
    expr=_replayable,
    legend=_HOP,
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
