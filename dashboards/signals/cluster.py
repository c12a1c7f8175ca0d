"""The Kafka cluster, as the lag monitor and the clients see it."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import OPERATION
from dashboards.model.promql import aggregate
from dashboards.model.signal import EACH_POINT, NO_MONITOR, Signal, Threshold, ValueMapping
from tracing.core.semconv import POLL
from tracing.metrics.catalog import (
    CLUSTER_BROKERS,
    CLUSTER_LEADER_CHANGES,
    CLUSTER_OFFLINE,
    CLUSTER_REACHABLE,
    CLUSTER_UNDER_REPLICATED,
    CONSUMER_CAUSE,
    OPERATION_DURATION,
)

_NOT_POLLS: Final = f'{OPERATION}!="{POLL}"'

REACHABLE: Final = Signal(
    title="Brokers answer",
    description="Whether brokers answered the last sweep of the lag monitor. If they do not, look "
    "at Kafka and at the network before the services.",
    unit="locale",
    # One monitor that cannot reach them is enough to look.
    expr=lambda scope: aggregate("min", (), scope.alive(scope.select(CLUSTER_REACHABLE))),
    legend="brokers answer",
    thresholds=(Threshold(1, "ok"),),
    below="critical",
    mappings=(ValueMapping(0, "no", "critical"), ValueMapping(1, "yes", "ok")),
    reporter=None,
    empty=NO_MONITOR,
)
BROKERS: Final = Signal(
    title="Brokers",
    description="Brokers that are part of the cluster. One fewer than there should be is down.",
    unit="locale",
    expr=lambda scope: aggregate("min", (), scope.alive(scope.select(CLUSTER_BROKERS))),
    legend="brokers",
    reporter=None,
    empty=NO_MONITOR,
)
OFFLINE: Final = Signal(
    title="Offline partitions",
    description="Partitions without a leader: nothing can be sent to them or read from them.",
    unit="locale",
    expr=lambda scope: scope.highest(CLUSTER_OFFLINE),
    legend="offline",
    thresholds=(Threshold(1, "critical"),),
    reporter=None,
    empty=NO_MONITOR,
)
UNDER_REPLICATED: Final = Signal(
    title="Under-replicated partitions",
    description="Partitions of which fewer replicas are in sync than there should be: a broker is "
    "down or slow. Sends with acks=all may wait or fail.",
    unit="locale",
    expr=lambda scope: scope.highest(CLUSTER_UNDER_REPLICATED),
    legend="under-replicated",
    thresholds=(Threshold(1, "warning"),),
    reporter=None,
    empty=NO_MONITOR,
)
LEADER_CHANGES: Final = Signal(
    title="Leader changes",
    description="Elections of a new leader of a partition. Many at once are a broker that went or "
    f"came back; a few all the time are an overloaded one. {EACH_POINT}",
    unit="locale",
    # Each monitor counts the same elections.
    expr=lambda scope: scope.increase(CLUSTER_LEADER_CHANGES, together="max"),
    legend="leader changes",
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
CLIENT_P95: Final = Signal(
    title="Sends and commits of all services, p95",
    description="Time that the clients measure, including the acknowledgement. If it rises for all "
    "services, it is Kafka; if it is low while lag grows, it is the handlers. Polls are not among "
    "them: they also wait for the first record.",
    unit="s",
    expr=lambda scope: scope.quantile(0.95, OPERATION_DURATION, _NOT_POLLS, by=(OPERATION,)),
    legend=f"{{{{{OPERATION}}}}}",
    exemplars=True,
)
