"""Records that failed and what became of them, beside the broker and the spans."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dashboards.model.labels import BOUND, ERROR, GROUP, REASON, TOPIC
from dashboards.signals import completeness, dead_letters
from demo_pipeline.services import SERVICES
from tests.outage.graphs import Graphs, Numbers, beside, means, up_to
from tests.outage.hop_figures import records
from tracing.metrics.catalog import CONSUMER_COMMITTED

if TYPE_CHECKING:
    from dashboards.model.signal import Signal
    from tests.outage.broker_truth import Broker
    from tests.outage.figure import Figure
    from tests.outage.span_truth import SpanTruth

_HOP = (GROUP, TOPIC)
_COUNT = 0.02
_AGE_S = 20.0
_CLOSE = 10.0
"""Services and the lag monitor report at different moments."""
_DUPLICATE = "pipeline.duplicate"


def dead_letter_figures(graphs: Graphs, broker: Broker, spans: SpanTruth) -> list[Figure]:
    """Compare dead letters exactly, and other counts to 2 % or 2; once all has been processed."""
    kept = broker.dead_letters
    reasons: Numbers = {key: float(number) for key, number in broker.reasons.items()}
    ages = {hop: graphs.now_s - oldest_ms / 1000 for hop, oldest_ms in broker.oldest_ms.items()}
    everything = {(): sum(kept.values())}
    none: Numbers = {}
    return [
        *graphs.compare(dead_letters.COUNT, everything),
        *graphs.compare(dead_letters.RATE, kept, *_HOP),
        *graphs.compare(dead_letters.BY_REASON, reasons, *_HOP, ERROR),
        *graphs.compare(dead_letters.DEPTH, kept, *_HOP),
        *graphs.compare(dead_letters.REPLAYABLE, kept, *_HOP),
        # The lag monitor looks every few seconds.
        *graphs.compare(dead_letters.OLDEST, ages, *_HOP, least=_AGE_S),
        # No chapter replays, and the client can read all that is sent.
        *graphs.compare(dead_letters.REPLAYED, none, *_HOP),
        *graphs.compare(dead_letters.REPLAYS_SKIPPED, none, *_HOP),
        *graphs.compare(dead_letters.UNREADABLE, none, *_HOP),
        *graphs.compare(
            dead_letters.DUPLICATES_SKIPPED, _duplicates(spans), *_HOP, within=_COUNT, least=2
        ),
        *_retry_figures(graphs, spans),
        *_balance(graphs, broker, spans),
    ]


def _duplicates(spans: SpanTruth) -> Numbers:
    return {
        (group, topic): float(number)
        for (name, group, topic), number in spans.events.items()
        if name == _DUPLICATE
    }


def _retry_figures(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    reasons: Counter[tuple[str, ...]] = Counter()
    for (hop, cause), number in spans.retries.items():
        reasons[hop.group, hop.topic, cause] += number
    attempts = spans.attempts.by("group", "topic")
    every = [number for each in attempts.values() for number in each]
    bounds = graphs.numbers(dead_letters.ATTEMPTS_DISTRIBUTION, BOUND)
    retried = spans.retried_s.by("group", "topic")
    return [
        *graphs.compare(
            dead_letters.RETRIES_BY_REASON, reasons, *_HOP, ERROR, within=_COUNT, least=2
        ),
        *beside(dead_letters.ATTEMPTS_DISTRIBUTION.title, bounds, up_to(bounds, every), _COUNT, 2),
        *graphs.compare(dead_letters.ATTEMPTS, means(attempts), *_HOP, within=0.05),
        *graphs.compare_quantile(dead_letters.RETRY_P95, 0.95, retried, *_HOP),
    ]


def _balance(graphs: Graphs, broker: Broker, spans: SpanTruth) -> list[Figure]:
    """Compare the columns of the shop's groups: none of their topics is deleted meanwhile."""
    # What was committed before Prometheus first heard of it is not due.
    first = f"min_over_time({CONSUMER_COMMITTED.prometheus}[{graphs.window_s}s])"
    earlier = graphs.query(first, *_HOP)
    due: Numbers = {hop: number - earlier.get(hop, 0.0) for hop, number in broker.committed.items()}
    received = records(spans)
    columns: dict[Signal, tuple[Numbers, float, float]] = {
        completeness.DUE: (due, 0.05, _CLOSE),
        completeness.RECEIVED: (received, 0.05, 0),
        completeness.DEAD_LETTERED: (broker.dead_letters, 0, 0),
        completeness.PENDING: ({}, 0, 0),
        completeness.SKIPPED_IN_ALL: ({}, 0, 0),
        completeness.UNACCOUNTED: (
            {hop: number - received.get(hop, 0.0) for hop, number in due.items()},
            0,
            _CLOSE,
        ),
    }
    made = []
    for signal, (truth, within, least) in columns.items():
        numbers = graphs.numbers(signal, *_HOP)
        made += beside(signal.title, _of_shop(numbers), _of_shop(truth), within, least)
    return [
        *made,
        *graphs.compare(completeness.SKIPPED, {}, *_HOP, REASON),
        *graphs.compare(completeness.REWOUND, {}, *_HOP),
    ]


def _of_shop(numbers: Numbers) -> Numbers:
    return {hop: number for hop, number in numbers.items() if hop[0] in SERVICES}
