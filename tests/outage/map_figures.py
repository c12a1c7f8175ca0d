"""The map of services and topics, beside what the spans say."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from dashboards.signals import topology
from tests.outage.graphs import Graphs, Numbers, beside, means
from tracing.core.semconv import SEND

if TYPE_CHECKING:
    from tests.outage.figure import Figure
    from tests.outage.span_truth import SpanTruth

_EDGE = ("source", "target")
_TOOK, _FAILED = "detail__milliseconds", "detail__failed_percent"
_COUNT = 0.05
_LAST = 10.0
"""What a killed process counted after its last report."""
_PLACE = ("service", "topic")


def map_figures(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    """Compare records to 5 % or 10, mean times to 5 % or 1 ms, and failures to half a percent."""
    records = edges_of(spans)
    nodes: Counter[tuple[str, ...]] = Counter()
    for edge, number in records.items():
        for end in edge:
            nodes[(end,)] += int(number)
    return [
        *graphs.compare(topology.EDGES, records, *_EDGE, within=_COUNT, least=_LAST, total=True),
        *graphs.compare(topology.NODES, nodes, "id", within=_COUNT, least=_LAST, total=True),
        *beside("Milliseconds on edges", _detail(graphs, _TOOK), _milliseconds(spans), 0.05, 1),
        *beside("Failed on edges, %", _detail(graphs, _FAILED), _failures(spans), 0, 0.5),
    ]


def edges_of(spans: SpanTruth) -> Numbers:
    """Return the number of records on each edge, however many attempts they took."""
    edges: Counter[tuple[str, ...]] = Counter()
    for send, seconds in spans.sent_s.items():
        if not send.error:
            edges[_out(send.service, send.topic)] += len(seconds)
    for (service, topic), each in spans.took.by(*_PLACE).items():
        edges[_into(service, topic)] += len(each)
    for (hop, _), number in spans.retries.items():
        edges[_into(hop.service, hop.topic)] -= number
    return {edge: float(number) for edge, number in edges.items()}


def _milliseconds(spans: SpanTruth) -> Numbers:
    took = spans.took.by(*_PLACE)
    return {
        **{_into(*place): seconds * 1000 for place, seconds in means(took).items()},
        **{_out(*place): seconds * 1000 for place, seconds in means(_sends(spans)).items()},
    }


def _failures(spans: SpanTruth) -> Numbers:
    failed: Counter[tuple[str, str]] = Counter()
    attempts = {_into(*place): len(each) for place, each in spans.took.by(*_PLACE).items()}
    for (hop, _), number in spans.failed.items():
        failed[_into(hop.service, hop.topic)] += number
    for place, sends in _sends(spans).items():
        attempts[_out(*place)] = len(sends)
    for send, seconds in spans.sent_s.items():
        if send.operation == SEND and send.error:
            failed[_out(send.service, send.topic)] += len(seconds)
    return {edge: 100 * number / attempts[edge] for edge, number in failed.items()}


def _sends(spans: SpanTruth) -> dict[tuple[str, ...], list[float]]:
    """Return the seconds of sends, failed ones included, by service and topic."""
    sends: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for send, seconds in spans.sent_s.items():
        if send.operation == SEND:
            sends[send.service, send.topic].extend(seconds)
    return dict(sends)


def _detail(graphs: Graphs, label: str) -> Numbers:
    """Return the numbers that stand in a label of the edges."""
    labelled = graphs.numbers(topology.EDGES, *_EDGE, label)
    return {(source, target): float(text) for source, target, text in labelled if text}


def _out(service: str, topic: str) -> tuple[str, str]:
    return f"service {service}", f"topic {topic}"


def _into(service: str, topic: str) -> tuple[str, str]:
    return f"topic {topic}", f"service {service}"
