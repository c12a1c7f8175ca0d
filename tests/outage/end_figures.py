"""What is measured at one moment, beside what is known of the end of a run, when all is well."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dashboards.model.labels import GROUP, PARTITION, PROJECTION, REASON, SERVICE, TOPIC
from dashboards.signals import (
    catch_up,
    cluster,
    instrumentation,
    lag,
    order,
    replays,
    services,
)
from demo_pipeline.services import ALL_TOPICS, SERVICES
from tests.chaos.databases import rows
from tests.outage.figure import Figure
from tests.outage.graphs import Graphs, Numbers, beside

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from tests.outage.broker_truth import Broker
    from tests.outage.span_truth import SpanTruth

_HOP = (GROUP, TOPIC)
_OUT_OF_ORDER = "pipeline.out_of_order"
_PUBLISH = "publish"
_BEHIND = 0.1
_MONITOR = "lag-monitor"


def end_figures(
    graphs: Graphs, broker: Broker, spans: SpanTruth, folder: Path, ended: Collection[str]
) -> list[Figure]:
    """Compare all exactly.

    Args:
        graphs: The graphs.
        broker: What the broker has.
        spans: What the spans say.
        folder: The folder with the databases.
        ended: Services beside the shop's that ended less than five minutes ago.
    """
    none: Numbers = {}
    running = {(service,): 1.0 for service in (*SERVICES, _MONITOR)}
    commands = {(topic,): 1.0 for topic in ALL_TOPICS if topic.endswith(".commands")}
    faults = {
        (group, topic): float(number)
        for (name, group, topic), number in spans.events.items()
        if name == _OUT_OF_ORDER
    }
    outboxes = {
        (service,): float(rows(folder, service, "SELECT count(*) FROM outbox")[0][0])
        for service in SERVICES
    }
    dropped = {(service, "links"): float(n) for service, n in spans.dropped_links.items()}
    reporting = {(): float(len(running) + len(ended))}
    return [
        # Nothing waits, and every group has its members.
        *graphs.compare(lag.SECONDS, none, *_HOP),
        *graphs.compare(lag.STALLED_OR_DEAD, none),
        _groups_that_are_ok(graphs),
        *graphs.compare(lag.CATCH_UP, none, *_HOP),
        *graphs.compare(lag.TOP_PARTITIONS_BY_SECONDS, none, *_HOP, PARTITION),
        *graphs.compare(lag.TOP_PARTITIONS_BY_RECORDS, none, *_HOP, PARTITION),
        *graphs.compare(lag.RETENTION_USED, none, *_HOP),
        *graphs.compare(lag.RETENTION_LEFT, none, *_HOP),
        *graphs.compare(lag.LOST, none, *_HOP),
        *graphs.compare(replays.STALENESS, none, SERVICE, PROJECTION),
        *graphs.compare(services.OUTBOX, outboxes, SERVICE),
        *graphs.compare(services.OUTBOX_AGE, none, SERVICE),
        # No chapter rebuilds a read model, and no group started on history.
        *graphs.compare(replays.RATE, none, PROJECTION),
        *graphs.compare(replays.REMAINING, none, PROJECTION),
        *graphs.compare(catch_up.REMAINING, none, *_HOP),
        *graphs.compare(catch_up.RATE, none, *_HOP),
        *graphs.compare(catch_up.TIME_LEFT, none, *_HOP),
        # The one broker stays.
        *graphs.compare(cluster.REACHABLE, {(): 1.0}),
        *graphs.compare(cluster.BROKERS, {(): float(broker.brokers)}),
        *graphs.compare(cluster.OFFLINE, none),
        *graphs.compare(cluster.UNDER_REPLICATED, none),
        *graphs.compare(cluster.LEADER_CHANGES, none),
        *graphs.compare(order.COMMAND_READERS, commands, TOPIC),
        *graphs.compare(order.OUT_OF_ORDER, faults, *_HOP),
        *graphs.compare(services.INSTANCES, running, SERVICE),
        *graphs.compare(services.VERSIONS, running, SERVICE),
        *graphs.compare(instrumentation.REPORTING, reporting),
        # A poll of many records has no place for all their links; else nothing is dropped.
        *graphs.compare(instrumentation.DROPPED, dropped, SERVICE, REASON),
        *graphs.compare(instrumentation.INVALID, none, SERVICE, REASON),
        *_skews(graphs, spans),
    ]


def _groups_that_are_ok(graphs: Graphs) -> Figure:
    status = graphs.numbers(lag.GROUP_STATUS, GROUP)
    number = sum(status.get((group,)) == 0 for group in SERVICES)
    return Figure(f"{lag.GROUP_STATUS.title}: groups that are ok", number, len(SERVICES), 0)


def _skews(graphs: Graphs, spans: SpanTruth) -> list[Figure]:
    """Compare clock skew: there is one clock, but the client may be a millisecond behind it.

    That is seen where an event is sent in the millisecond in which it is created.
    """
    skews = graphs.numbers(instrumentation.SKEW, SERVICE, REASON)
    sent: Counter[tuple[str, ...]] = Counter()
    for send, seconds in spans.sent_s.items():
        sent[send.service, _PUBLISH] += len(seconds)
    shares = {key: number / max(sent[key], 1) for key, number in skews.items()}
    return beside(f"{instrumentation.SKEW.title}, of all sends", shares, {}, least=_BEHIND)
