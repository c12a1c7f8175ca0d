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
"""All services by name, in the order in which an order passes through them."""

# Few records, to be looked at by people: one partition keeps them in the order of their failures.
DEAD_LETTER_TOPICS: Final[Mapping[str, int]] = {
    f"{topic}.{service.name}.dlq": 1 for service in SERVICES.values() for topic in service.topics
}
"""Where each service's dead letters go, and in how many partitions."""

ALL_TOPICS: Final[Mapping[str, int]] = {**PARTITIONS, **DEAD_LETTER_TOPICS}
"""All topics of the shop, and in how many partitions each is split."""
