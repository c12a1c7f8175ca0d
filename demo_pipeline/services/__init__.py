"""The services of the shop."""

from collections.abc import Iterable, Mapping
from typing import Final

from demo_pipeline.domain.topics import PARTITIONS
from demo_pipeline.runtime.scenarios import Scenario
from demo_pipeline.runtime.service import Service
from demo_pipeline.services import (
    analytics,
    inventory,
    loyalty,
    notification,
    observer,
    orchestrator,
    orders,
    payment,
    receipts,
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

_OCCASIONAL: Final[Mapping[str, Service]] = {
    module.SERVICE.name: module.SERVICE for module in (receipts, loyalty)
}


def services_of(scenario: Scenario) -> Mapping[str, Service]:
    """Return the services that a scenario begins with by name: the shop's, and its guests."""
    return {**SERVICES, **{name: _OCCASIONAL[name] for name in scenario.guests}}


def latecomers_of(scenario: Scenario) -> Mapping[str, Service]:
    """Return the services that start once all orders of a scenario have ended, by name."""
    return {name: _OCCASIONAL[name] for name in scenario.latecomers}


def topics_of(services: Iterable[Service]) -> Mapping[str, int]:
    """Return the topics that services read, and their dead-letter topics, with their partitions."""
    read = [(service, topic) for service in services for topic in service.topics]
    return {
        **{topic: PARTITIONS[topic] for _, topic in read},
        # Few records, for people to read: one partition keeps them in the order of their failures.
        **{f"{topic}.{service.name}.dlq": 1 for service, topic in read},
    }


DEAD_LETTER_TOPICS: Final[Mapping[str, int]] = {
    topic: partitions
    for topic, partitions in topics_of(SERVICES.values()).items()
    if topic not in PARTITIONS
}
"""The dead-letter topic of every service and topic, with its number of partitions."""

ALL_TOPICS: Final[Mapping[str, int]] = topics_of(SERVICES.values())
"""All topics of the shop, with their numbers of partitions."""
