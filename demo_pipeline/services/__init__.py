"""The services of the shop."""

from collections.abc import Mapping
from typing import Final

from demo_pipeline.domain.topics import PARTITIONS
from demo_pipeline.runtime.service import Service
from demo_pipeline.services import (
    analytics,
    inventory,
    notification,
    observer,
    orchestrator,
    orders,
    payment,
    shipping,
)

SERVICES: Final[Mapping[str, Service]] = {
    module.SERVICE.name: module.SERVICE
    for module in (
        orders,
        orchestrator,
        inventory,
        payment,
        shipping,
        notification,
        analytics,
        observer,
    )
}
"""All services by name, in the order in which an order reaches them."""

# Few records, for people to read: one partition keeps them in the order of their failures.
DEAD_LETTER_TOPICS: Final[Mapping[str, int]] = {
    f"{topic}.{service.name}.dlq": 1 for service in SERVICES.values() for topic in service.topics
}
"""The dead-letter topic of every service and topic, with its number of partitions."""

ALL_TOPICS: Final[Mapping[str, int]] = {**PARTITIONS, **DEAD_LETTER_TOPICS}
"""All topics of the shop, with their numbers of partitions."""
