from __future__ import annotations

from typing import get_args

import pytest

from demo_pipeline.domain.commands import Command
from demo_pipeline.domain.events import CustomerNotified, Event
from demo_pipeline.domain.order_states import STAGE, STATE_AFTER
from demo_pipeline.domain.topics import PARTITIONS, TOPIC_OF
from demo_pipeline.runtime.scenarios import SCENARIOS
from demo_pipeline.services import ALL_TOPICS, SERVICES, services_of, topics_of


@pytest.mark.parametrize("event", get_args(Event))
def test_every_event_is_broadcast_and_leads_to_a_state(event: type[Event]) -> None:
    assert TOPIC_OF[event] in PARTITIONS
    assert TOPIC_OF[event].endswith(".events")
    assert event is CustomerNotified or STATE_AFTER[event] in STAGE


@pytest.mark.parametrize("command", get_args(Command))
def test_every_command_goes_to_exactly_one_service(command: type[Command]) -> None:
    topic = TOPIC_OF[command]
    readers = [name for name, service in SERVICES.items() if topic in service.topics]

    assert [topic.removesuffix(".commands")] == readers
    assert command in SERVICES[readers[0]].handlers


@pytest.mark.parametrize(
    ("service", "topics"),
    [
        ("orders", ("inventory.events", "orders.commands", "payment.events", "shipping.events")),
        (
            "orchestrator",
            ("inventory.events", "orders.events", "payment.events", "shipping.events"),
        ),
        ("inventory", ("inventory.commands",)),
        ("payment", ("payment.commands",)),
        ("shipping", ("shipping.commands",)),
        ("notification", ("orders.events", "shipping.events")),
        ("analytics", ("inventory.events", "orders.events", "payment.events", "shipping.events")),
        ("observer", ("notification.events", "orders.events", "shipping.events")),
    ],
)
def test_a_service_reads_what_it_needs(service: str, topics: tuple[str, ...]) -> None:
    assert topics == SERVICES[service].topics


def test_a_guest_brings_its_topics_and_the_shop_alone_does_not_have_them() -> None:
    services = services_of(SCENARIOS["notification"])

    assert ("orders.notices",) == services["receipts"].topics
    assert {"orders.notices", "orders.notices.receipts.dlq"} == (
        topics_of(services.values()).keys() - ALL_TOPICS.keys()
    )
    assert SERVICES == services_of(SCENARIOS["steady"])


def test_every_service_has_a_dead_letter_topic_for_each_topic_that_it_reads() -> None:
    expected = {
        f"{topic}.{service.name}.dlq" for service in SERVICES.values() for topic in service.topics
    }

    assert expected == ALL_TOPICS.keys() - PARTITIONS.keys()
