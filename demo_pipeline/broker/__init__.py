"""The broker of a demo run: an embedded one, or whichever cluster there is."""

from demo_pipeline.broker.binary import BrokerError
from demo_pipeline.broker.cluster import create_topics, wait_until_reachable
from demo_pipeline.broker.embedded import EmbeddedBroker

__all__ = ["BrokerError", "EmbeddedBroker", "create_topics", "wait_until_reachable"]
