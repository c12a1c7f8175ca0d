"""What each service does, beside what its spans and its database say."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from dashboards.model.labels import (
    ERROR,
    GROUP,
    OPERATION,
    OUTCOME,
    RESOURCE,
    SERVICE,
    SUBJECT,
    TOPIC,
    TYPE,
    VERSION,
)
from dashboards.signals import cluster, flows, schemas, services
from tests.outage.graphs import Graphs, Numbers, counts, quantiles_beside, sums
from tracing.core.semconv import COMMIT, POLL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.model.signal import Signal
    from tests.outage.broker_truth import Broker
    from tests.outage.figure import Figure
    from tests.outage.span_truth import SpanTruth

_PLACE = ("service", "topic")
_KIND = ("topic", "type")
_COUNT = 0.05
_LAST = 10.0
"""What a killed process counted after its last report."""


def service_figures(graphs: Graphs, broker: Broker, spans: SpanTruth) -> list[Figure]:
    """Compare counts to 5 %, since a killed process takes its last ones along."""
    return [
        *_processed(graphs, spans),
        *_sent(graphs, spans),
        *_schemas(graphs, broker, spans),
    ]


def _processed(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    took = spans.took.by(*_PLACE)
    failed: Counter[tuple[str, ...]] = Counter()
    for (hop, error), number in spans.failed.items():
        failed[hop.service, hop.topic, error] += number
    waits = {
        (*place, resource): each
        for resource, values in spans.resource_waits.items()
        for place, each in values.by(*_PLACE).items()
    }
    in_hand = {
        key: total / graphs.window_s
        for key, total in sums(spans.took.by("service", "group")).items()
    }
    types, ages = spans.took.by(*_KIND), spans.ages.by(*_KIND)
    places = SERVICE, TOPIC
    kinds = TOPIC, TYPE
    sizes = graphs.numbers(flows.MESSAGE_SIZE, *kinds)
    return [
        *graphs.compare(
            flows.PROCESSED, counts(took), *places, within=_COUNT, least=_LAST, total=True
        ),
        *graphs.compare(flows.FAILED, failed, *places, ERROR, within=_COUNT, least=_LAST),
        *graphs.compare_quantile(flows.PROCESSING_P95, 0.95, took, *places),
        *graphs.compare_quantile(flows.RESOURCE_WAIT_P95, 0.95, waits, *places, RESOURCE),
        # The buckets of sizes double.
        *quantiles_beside(
            flows.MESSAGE_SIZE.title, 0.95, sizes, spans.sizes.by(*_KIND), within=1.0
        ),
        *graphs.compare(services.IN_HAND, in_hand, SERVICE, GROUP, within=_COUNT, least=0.001),
        *graphs.compare(
            flows.PROCESSED_BY_TYPE, counts(types), *kinds, within=_COUNT, least=_LAST, total=True
        ),
        *graphs.compare_quantile(flows.PROCESSING_P95_BY_TYPE, 0.95, types, *kinds),
        *graphs.compare_quantile(flows.END_TO_END_BY_TYPE, 0.95, ages, *kinds),
    ]


def _sent(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    by_topic: Counter[tuple[str, ...]] = Counter()
    errors: Counter[tuple[str, ...]] = Counter()
    by_service: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    by_operation: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for send, seconds in spans.sent_s.items():
        by_service[send.service, send.operation].extend(seconds)
        by_operation[(send.operation,)].extend(seconds)
        if send.error:
            errors[send.service, send.operation, send.error] += len(seconds)
        else:
            by_topic[send.service, send.topic] += len(seconds)
    for service, seconds in spans.polled_s.items():
        by_service[service, POLL].extend(seconds)
    return [
        *graphs.compare(
            services.PRODUCED, by_topic, SERVICE, TOPIC, within=_COUNT, least=_LAST, total=True
        ),
        *graphs.compare(
            services.CLIENT_ERRORS, errors, SERVICE, OPERATION, ERROR, within=_COUNT, least=_LAST
        ),
        *_without_commits(graphs, services.CLIENT_P95, by_service, SERVICE, OPERATION),
        *_without_commits(graphs, cluster.CLIENT_P95, by_operation, OPERATION),
    ]


def _without_commits(
    graphs: Graphs,
    signal: Signal,
    truth: Mapping[tuple[str, ...], list[float]],
    *labels: str,
) -> list[Figure]:
    """Compare p95 by operation; a commit has a span only if it fails."""
    numbers = graphs.numbers(signal, *labels)
    others = {key: number for key, number in numbers.items() if key[-1] != COMMIT}
    return quantiles_beside(signal.title, 0.95, others, truth)


def _schemas(graphs: Graphs, broker: Broker, spans: SpanTruth) -> list[Figure]:
    """Compare versions; what became dead letters for want of a schema was not decoded at all."""
    coded: Numbers = {key: float(number) for key, number in spans.schemas.items()}
    labels = SUBJECT, VERSION, OUTCOME
    unknown: Counter[tuple[str, ...]] = Counter()
    for (group, _, error), number in broker.reasons.items():
        if error.endswith(".UnknownSchema"):
            unknown[group, "unknown", "unknown", "unknown_id"] += number
    return [
        *graphs.compare(schemas.VERSIONS, coded, *labels, within=_COUNT, least=_LAST, total=True),
        *graphs.compare(schemas.FAILURES, unknown, SERVICE, *labels, within=0),
    ]
