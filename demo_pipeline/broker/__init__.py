"""The broker of a run: an embedded one, Apache Kafka, or an existing cluster."""

from demo_pipeline.broker.cluster import create_topics, has_progress, wait_until_reachable
from demo_pipeline.broker.embedded import EmbeddedBroker
from demo_pipeline.broker.kafka import KafkaCluster
from demo_pipeline.runtime.errors import BrokerError

__all__ = [
    "BrokerError",
    "EmbeddedBroker",
    "KafkaCluster",
    "create_topics",
    "has_progress",
    "wait_until_reachable",
]
