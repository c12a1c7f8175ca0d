"""What the dashboards show, beside the truth from the broker, the databases and the spans."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from dashboards.model.labels import GROUP, TOPIC
from dashboards.signals import flows, lag
from demo_pipeline.services import ALL_TOPICS, DEAD_LETTER_TOPICS
from tests.outage.broker_truth import read_broker
from tests.outage.dead_letter_figures import dead_letter_figures
from tests.outage.end_figures import end_figures
from tests.outage.graphs import Graphs, Numbers, beside
from tests.outage.hop_figures import hop_figures
from tests.outage.map_figures import map_figures
from tests.outage.objective_figures import objective_figures
from tests.outage.saga_figures import saga_figures
from tests.outage.service_figures import service_figures

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from tests.dashboards.prometheus_server import PrometheusServer
    from tests.outage.broker_truth import Broker
    from tests.outage.figure import Figure
    from tests.outage.span_truth import SpanTruth

_TOPICS = ALL_TOPICS.keys() - DEAD_LETTER_TOPICS.keys()


async def figures(
    server: PrometheusServer,
    bootstrap_servers: str,
    folder: Path,
    spans: SpanTruth,
    ended: Collection[str],
) -> tuple[list[Figure], set[str]]:
    """Compare over the whole run. Call it once everything that was sent has been processed.

    Args:
        server: The Prometheus that the dashboards read.
        bootstrap_servers: The cluster.
        folder: The folder with the databases.
        spans: What the spans say.
        ended: Services beside the shop's that ended less than five minutes ago.

    Returns:
        The figures, and the titles of the signals that they compare.
    """
    graphs = Graphs(server, ceil(server.age_s()))
    broker = await read_broker(bootstrap_servers)
    return all_figures(graphs, broker, spans, folder, ended), graphs.compared


def all_figures(
    graphs: Graphs, broker: Broker, spans: SpanTruth, folder: Path, ended: Collection[str]
) -> list[Figure]:
    """Compare all; the arguments are as in `end_figures`."""
    return [
        *_offset_figures(graphs, broker),
        *dead_letter_figures(graphs, broker, spans),
        *saga_figures(graphs, folder),
        *hop_figures(graphs, spans),
        *objective_figures(graphs, broker, spans, folder),
        *service_figures(graphs, broker, spans),
        *map_figures(graphs, spans),
        *end_figures(graphs, broker, spans, folder, ended),
    ]


def _offset_figures(graphs: Graphs, broker: Broker) -> list[Figure]:
    """Compare counts to 5 %, and lag exactly.

    Records that were received again after a restart are consumed twice, so what is consumed may
    be a little more than what was committed.
    """
    sent = _of_shop(graphs.numbers(flows.SENT, TOPIC, total=True))
    consumed = _of_shop(graphs.numbers(flows.CONSUMED, GROUP, TOPIC, total=True))
    behind: Numbers = {
        (group, topic): float(broker.ends[topic] - offset)
        for (group, topic), offset in broker.committed.items()
    }
    written = {(topic,): float(broker.ends.get(topic, 0)) for topic in _TOPICS}
    return [
        *beside(flows.SENT.title, sent, written, 0.05),
        *beside(flows.CONSUMED.title, consumed, broker.committed, 0.05),
        *graphs.compare(lag.RECORDS, behind, GROUP, TOPIC),
    ]


def _of_shop(numbers: Numbers) -> Numbers:
    """Leave out the topics of other pipelines, which are compared with their own files."""
    return {key: number for key, number in numbers.items() if key[-1] in _TOPICS}
