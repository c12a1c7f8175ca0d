"""The id of the cluster that a client is connected to, from the metadata that it gets anyway.

Brokers send it with all metadata from Kafka 0.10.1 on (KIP-78), and aiokafka 0.14 drops it. So the
method that takes a broker's answer is wrapped: on the object of this one client, not on its class.
A client that was started before it was wrapped learns the id with its next metadata.
"""

from __future__ import annotations

import weakref
from functools import wraps
from typing import Any, Final

from tracing.core import semconv
from tracing.kafka.client import cluster_metadata
from tracing.messaging.transport import BrokerFacts

_METADATA: Final = "aiokafka.cluster"

_facts: weakref.WeakKeyDictionary[Any, BrokerFacts] = weakref.WeakKeyDictionary()


def cluster_of(client: object) -> BrokerFacts:
    """Return what a client learns of its cluster, from now on.

    Args:
        client: An aiokafka client, started or not, or what wraps one.

    Returns:
        The same object for every wrapper of a client, as its metadata is taken once. A double has
        no metadata, and learns nothing.

    Task safety: in the client's event loop.
    """
    metadata = cluster_metadata(client)
    if all(kind.__module__ != _METADATA for kind in type(metadata).__mro__):
        return BrokerFacts()
    facts = _facts.get(metadata)
    if facts is None:
        facts = _facts[metadata] = BrokerFacts()
        _listen(metadata, facts)
    return facts


def _listen(metadata: Any, facts: BrokerFacts) -> None:
    """Note the id in each answer that the metadata takes.

    The answer is taken first, so aiokafka does what it would do alone, and what it raises passes.
    """
    update = metadata.update_metadata

    @wraps(update)
    def updated(response: Any) -> None:
        update(response)
        cluster_id = getattr(response, "cluster_id", None)
        # Without an id, the last one stays.
        if isinstance(cluster_id, str) and cluster_id:
            facts.learn(semconv.CLUSTER_ID, cluster_id)

    metadata.update_metadata = updated
