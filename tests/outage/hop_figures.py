"""Where a flow's time goes, hop by hop, beside what the spans say."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dashboards.model.labels import BOUND, GROUP, PIPELINE, RESOURCE, STOP, TOPIC
from dashboards.signals import between, flows, held_up, hop_time, mean_flow
from tests.outage.graphs import Graphs, Numbers, beside, means, sums, together, up_to

if TYPE_CHECKING:
    from dashboards.model.signal import Signal
    from tests.outage.figure import Figure
    from tests.outage.span_truth import SpanTruth

_HOP = ("group", "topic")
_FLOW_HOP = ("pipeline", *_HOP)
_LABELS = (PIPELINE, GROUP, TOPIC)
_ENOUGH = 200
_MEAN = 0.05
_MEAN_LEAST_S = 0.001
_RETRY_LEAST_S = 0.02
"""Spans know how long a retry was to wait, and not how long it did."""
_QUANTILES = (0.5, 0.95, 0.99)
_FIRST, _SECOND = "orders.events", "shipping.events"


def hop_figures(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    """Compare means to 5 % or 1 ms, quantiles to 15 % or 5 ms, and counts to 2 %."""
    return [
        *_lag_figures(graphs, spans),
        *_time_figures(graphs, spans),
        *_flow_figures(graphs, spans),
        *_between_figures(graphs, spans),
    ]


def _lag_figures(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    ages = spans.ages.by("pipeline")
    made = []
    for share in _QUANTILES:
        made += graphs.compare_quantile(flows.end_to_end(share), share, ages, PIPELINE)
    by_hop = {key: each for key, each in spans.ages.by(*_HOP).items() if len(each) >= _ENOUGH}
    made += [
        figure
        for figure in graphs.compare_quantile(flows.END_TO_END_BY_HOP, 0.95, by_hop, GROUP, TOPIC)
        if figure.truth
    ]
    arrived = [age for each in ages.values() for age in each]
    bounds = graphs.numbers(flows.END_TO_END_DISTRIBUTION, BOUND, total=True)
    title = flows.END_TO_END_DISTRIBUTION.title
    made += beside(title, bounds, up_to(bounds, arrived), 0.02, 2)
    return made


def _time_figures(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    handled, took = means(spans.handled_s.by(*_HOP)), sums(spans.took.by(*_HOP))
    waits: Numbers = {
        (*hop, resource): handled[hop] * total / took[hop]
        for resource, values in spans.resource_waits.items()
        for hop, total in sums(values.by(*_HOP)).items()
        if hop in handled
    }
    processing = dict(handled)
    for (group, topic, _), waited_s in waits.items():
        processing[group, topic] -= waited_s
    published = means(spans.published.by("pipeline", "topic"))
    waited = means(spans.waited.by(*_FLOW_HOP))
    hop = GROUP, TOPIC
    return [
        *_near(graphs, hop_time.PUBLISH, published, PIPELINE, TOPIC),
        *_near(graphs, hop_time.WAIT, waited, *_LABELS),
        *graphs.compare(
            hop_time.RETRY, _retries(spans), *_LABELS, within=_MEAN, least=_RETRY_LEAST_S
        ),
        *_near(graphs, hop_time.RESOURCE_WAIT, waits, *hop, RESOURCE),
        *_near(graphs, hop_time.PROCESSING, processing, *hop),
    ]


def _near(graphs: Graphs, signal: Signal, truth: Numbers, *labels: str) -> list[Figure]:
    return graphs.compare(signal, truth, *labels, within=_MEAN, least=_MEAN_LEAST_S)


def _flow_figures(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    own = own_times(spans)
    held = graphs.numbers(held_up.HELD_UP, *_LABELS, recorded=False)
    # The panel has the worst ones.
    worst = {hop: own.get(hop, 0.0) for hop in held}
    made = beside(held_up.HELD_UP.title, held, worst, _MEAN, _RETRY_LEAST_S)
    parts = together(graphs.numbers(part, STOP) for part in mean_flow.PARTS)
    ages = means(spans.ages.by(*_FLOW_HOP, "type"))
    by_hop, waited = (means(each.by(*_FLOW_HOP)) for each in (spans.ages, spans.waited))
    of_hop = {hop: (age, own[hop], waited[hop]) for hop, age in by_hop.items()}
    named = {(" ".join(key),): _row(age, *of_hop[key[:-1]]) for key, age in ages.items()}
    made += beside("A mean flow, step by step", parts, named, _MEAN, _RETRY_LEAST_S)
    total = graphs.numbers(hop_time.TOTAL, *_LABELS)
    made += beside(hop_time.TOTAL.title, total, _oldest(by_hop), _MEAN, _MEAN_LEAST_S)
    layers = together(graphs.numbers(layer, *_LABELS) for layer in hop_time.LAYERS)
    name = "Mean time of flows that arrive"
    return [*made, *beside(name, layers, _oldest(by_hop), _MEAN, _MEAN_LEAST_S)]


def _between_figures(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    points = {between.FROM: _FIRST, between.TO: _SECOND}
    ages = means(spans.ages.by(*_FLOW_HOP))
    at = {
        point: {hop: age for hop, age in ages.items() if hop[2] == topic}
        for point, topic in points.items()
    }
    first_s = min(at[between.FROM].values(), default=0.0)
    apart = {hop: age - first_s for hop, age in at[between.TO].items()}
    shown = graphs.numbers(between.BETWEEN, *_LABELS, variables=points)
    made = beside(between.BETWEEN.title, shown, apart, _MEAN, 0.005)
    for signal, point in zip(between.AGES, points, strict=True):
        shown = graphs.numbers(signal, *_LABELS, variables=points)
        made += beside(signal.title, shown, at[point], _MEAN, _MEAN_LEAST_S)
    for signal, point in zip(between.FLOWS, points, strict=True):
        shown = graphs.numbers(signal, *_LABELS, total=True, variables=points)
        arrived = {hop: len(each) for hop, each in spans.ages.by(*_FLOW_HOP).items()}
        there = {hop: float(arrived[hop]) for hop in at[point]}
        made += beside(signal.title, shown, there, 0.02)
    return made


def records(spans: SpanTruth) -> Numbers:
    """Return the number of records that each hop has handled, however many attempts they took."""
    handled: Counter[tuple[str, ...]] = Counter()
    for key, each in spans.took.by(*_HOP).items():
        handled[key] += len(each)
    for (hop, _), number in spans.retries.items():
        handled[hop.group, hop.topic] -= number
    return {key: float(number) for key, number in handled.items()}


def own_times(spans: SpanTruth) -> Numbers:
    """Return the mean time from a record's creation to the end of its handling, by hop.

    What failed to the end is in no part but the wait.
    """
    published = means(spans.published.by("pipeline", "topic"))
    waited, handled = means(spans.waited.by(*_FLOW_HOP)), means(spans.handled_s.by(*_HOP))
    arrived = spans.ages.by(*_FLOW_HOP)
    retried = {
        hop: total / len(arrived[hop])
        for hop, total in sums(spans.made_good_s.by(*_FLOW_HOP)).items()
        if hop in arrived
    }
    return {
        (pipeline, group, topic): published.get((pipeline, topic), 0.0)
        + waited_s
        + retried.get((pipeline, group, topic), 0.0)
        + handled.get((group, topic), 0.0)
        for (pipeline, group, topic), waited_s in waited.items()
    }


def _row(age: float, of_hop: float, own: float, waited: float) -> float:
    """Return how long a row of the waterfall is.

    Its parts are those of all types and pipelines at the hop, which may take longer than its flows.
    They wait no longer than what all else leaves of the age of flows at the hop.
    """
    return max(age - own, 0) + max(own - waited, min(own, of_hop))


def _retries(spans: SpanTruth) -> Numbers:
    """Return the mean time between the first and the last attempt, over all records, by hop."""
    every = spans.waited.by(*_FLOW_HOP)
    return {hop: s / len(every[hop]) for hop, s in sums(spans.retried_s.by(*_FLOW_HOP)).items()}


def _oldest(ages: Numbers) -> Numbers:
    return {hop: age for hop, age in ages.items() if age == max(ages.values())}
