from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest

from demo_pipeline.choreography import CAUSE_OF, reaction_to
from demo_pipeline.commands import ChargeCard, ReserveInventory, ShipOrder
from demo_pipeline.events import (
    Event,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    StockRejected,
    StockReserved,
)
from demo_pipeline.order_states import STATE_AFTER
from demo_pipeline.services import SERVICES
from demo_pipeline.topics import PARTITIONS, TOPIC_OF

if TYPE_CHECKING:
    from collections.abc import Callable


def test_each_step_leads_to_the_next(make_order: Callable[..., Any]) -> None:
    order = make_order()
    assert ReserveInventory(order) == reaction_to(OrderPlaced(order))
    assert ChargeCard(order) == reaction_to(StockReserved(order, "r"))
    assert ShipOrder(order) == reaction_to(PaymentCharged(order, "p"))


def test_after_a_no_or_the_last_step_nobody_has_to_act(make_order: Callable[..., Any]) -> None:
    order = make_order()
    for event in (StockRejected(order, "x"), PaymentDeclined(order, "x"), OrderShipped(order, "s")):
        assert None is reaction_to(event)


def test_the_cause_of_a_command_leads_to_that_command(make_order: Callable[..., Any]) -> None:
    causes: dict[Any, Any] = {
        OrderPlaced: OrderPlaced(make_order()),
        StockReserved: StockReserved(make_order(), "r"),
        PaymentCharged: PaymentCharged(make_order(), "p"),
    }
    for command, cause in CAUSE_OF.items():
        assert command is type(reaction_to(causes[cause]))


@pytest.mark.parametrize("event", get_args(Event))
def test_every_event_has_a_topic_with_partitions_and_a_state(event: type[Event]) -> None:
    assert TOPIC_OF[event] in PARTITIONS
    assert event in STATE_AFTER


@pytest.mark.parametrize(
    ("service", "topics"),
    [
        ("orders", ("inventory.events", "payment.events", "shipping.events")),
        ("inventory", ("orders.events",)),
        ("payment", ("inventory.events",)),
        ("shipping", ("payment.events",)),
        ("analytics", ("inventory.events", "orders.events", "payment.events", "shipping.events")),
    ],
)
def test_a_service_reads_what_its_handlers_need(service: str, topics: tuple[str, ...]) -> None:
    assert topics == SERVICES[service].topics


def test_a_service_gets_its_command_its_event_or_nothing(make_order: Callable[..., Any]) -> None:
    placed, rejected = OrderPlaced(make_order()), StockRejected(make_order(), "x")
    assert ReserveInventory(make_order()) == SERVICES["inventory"].message_for(placed)
    assert placed == SERVICES["analytics"].message_for(placed)
    assert None is SERVICES["payment"].message_for(rejected)
