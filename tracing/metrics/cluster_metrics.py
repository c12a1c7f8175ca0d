"""The metrics that the lag monitor reports about the cluster, from its own requests.

They are part of the catalogue, which is where other modules take them from.
"""

from typing import Final

from tracing.metrics.metric import Metric

CLUSTER_REACHABLE: Final = Metric(
    name="pipeline.cluster.reachable",
    kind="gauge",
    unit="{cluster}",
    description="1 if brokers answered the last sweep of the lag monitor, else 0.",
    labels=(),
)
CLUSTER_BROKERS: Final = Metric(
    name="pipeline.cluster.brokers",
    kind="gauge",
    unit="{broker}",
    description="Brokers that are part of the cluster.",
    labels=(),
)
CLUSTER_UNDER_REPLICATED: Final = Metric(
    name="pipeline.cluster.partitions.under_replicated",
    kind="gauge",
    unit="{partition}",
    description="Partitions of which fewer replicas are in sync than there should be, among the "
    "topics that the lag monitor may describe. Absent for brokers before Kafka 2.8.",
    labels=(),
)
CLUSTER_OFFLINE: Final = Metric(
    name="pipeline.cluster.partitions.offline",
    kind="gauge",
    unit="{partition}",
    description="Partitions without a leader, which can be neither written nor read, among the "
    "same topics.",
    labels=(),
)
CLUSTER_LEADER_CHANGES: Final = Metric(
    name="pipeline.cluster.leader.changes",
    kind="counter",
    unit="{change}",
    description="Elections of a new leader of a partition that the lag monitor noticed, among the "
    "same topics. Clients look for the new one, so sends and polls take longer.",
    labels=(),
)
