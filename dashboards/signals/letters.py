"""Records that failed: tried again, given up, replayed."""

from __future__ import annotations

from typing import Final

from dashboards.labels import ERROR, GROUP, TOPIC
from dashboards.signal import Signal, Threshold
from tracing.catalog import (
    DEAD_LETTERS,
    DEAD_LETTERS_DEPTH,
    DEAD_LETTERS_OLDEST_AGE,
    DEAD_LETTERS_REPLAYED,
    DUPLICATES,
    RETRIES,
    RETRY_DURATION,
)

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"
_WHY: Final = f"{_HOP}: {{{{{ERROR}}}}}"

RATE: Final = Signal(
    title="Dead letters",
    description="Records per second that groups gave up on. Each one is work that was not done.",
    unit="cps",
    expr=lambda scope: scope.rate(DEAD_LETTERS, by=(GROUP, TOPIC)),
    legend=_HOP,
    thresholds=(Threshold(0.001, "warning"), Threshold(0.1, "critical")),
)
COUNT: Final = Signal(
    title="Dead letters",
    description="Records that groups gave up on within the interval.",
    unit="short",
    expr=lambda scope: scope.grown(DEAD_LETTERS),
    legend="dead letters",
    thresholds=(Threshold(1, "warning"), Threshold(10, "critical")),
)
BY_REASON: Final = Signal(
    title="Dead letters by reason",
    description="What the last attempt failed with. One error alone is a bug or an outage; many "
    "are a bad deployment.",
    unit="cps",
    expr=lambda scope: scope.rate(DEAD_LETTERS, f'{ERROR}!=""', by=(GROUP, TOPIC, ERROR)),
    legend=_WHY,
)
DEPTH: Final = Signal(
    title="Dead letters that are kept",
    description="How many lie in the dead-letter topics, as seen from outside the services.",
    unit="short",
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
    description="Attempts after a failed one. They come before dead letters: here it begins.",
    unit="cps",
    expr=lambda scope: scope.rate(RETRIES, f'{ERROR}!=""', by=(GROUP, TOPIC, ERROR)),
    legend=_WHY,
)
RETRY_P95: Final = Signal(
    title="Time spent on retries, p95",
    description="From the first attempt's end to the last one's start; those behind in the "
    "partition wait as long.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, RETRY_DURATION, by=(GROUP, TOPIC)),
    legend=_HOP,
)
REPLAYED: Final = Signal(
    title="Replayed",
    description="Dead letters that were sent back to the topic that they came from.",
    unit="cps",
    expr=lambda scope: scope.rate(DEAD_LETTERS_REPLAYED, by=(GROUP, TOPIC)),
    legend=_HOP,
)
SKIPPED: Final = Signal(
    title="Duplicates skipped",
    description="Records whose event had been applied before. Some come with every rebalance; a "
    "steady rate is a producer that sends twice.",
    unit="cps",
    expr=lambda scope: scope.rate(DUPLICATES, by=(GROUP, TOPIC)),
    legend=_HOP,
)
