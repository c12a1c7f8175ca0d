"""The scenarios of a run, and what goes wrong in each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from demo_pipeline.domain.burst import Burst
from demo_pipeline.domain.deadlines import QUICK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demo_pipeline.domain.deadlines import Deadlines

STEADY: Final = "steady"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What goes wrong while orders are placed.

    Attributes:
        story: What happens, in a sentence or two.
        panels: The panels of the dashboards that show it best.
        spoiled_every: Every nth `OrderPlaced` event cannot be decoded; 0 for none.
        outage_from: The charge with which the card provider's outage begins, from 1 on.
        outage_s: How long the outage lasts, in seconds; 0 for none.
        notices: Whether orders also publishes notices without state, whose reader calls back.
        api_outage_from: The call-back with which the outage of the orders API begins, from 1 on.
        api_outage_s: How long that outage lasts, in seconds; 0 for none.
        guests: The services that run in this scenario only.
        repeated_every: Every nth record is sent twice; 0 for none.
        repartitioned_every: Every nth record of `orders.events` is written by a client with another
            partitioner; 0 for none.
        customers: Number of customers who place the orders.
        declined_every: Every nth order is paid with a card that is always declined; 0 for none.
        shipping_s: How long it takes to ship an order, in seconds; orders of one partition wait
            for each other.
        returns_closed: Whether the warehouse refuses to release reservations.
        burst: When orders come faster; by default never.
        charging_s: How long the card provider takes for a charge, in seconds; orders of one
            partition wait for each other.
        latecomers: The services that start once all orders have ended, and read everything.
        late_s: Seconds from the end of the last order to the start of latecomers.
        orders: How many orders are placed, unless a run says otherwise.
        rate: Orders per second, unless a run says otherwise.
        writes: The versions of a message's schema that are written in turn, by the message's name;
            by default the newest.
        reads: The versions that a service reads with, by the names of the service and the message;
            by default the newest.
        deadlines: The deadlines of sagas.
    """

    story: str
    panels: tuple[str, ...] = ()
    spoiled_every: int = 0
    outage_from: int = 1
    outage_s: float = 0.0
    notices: bool = False
    api_outage_from: int = 1
    api_outage_s: float = 0.0
    guests: tuple[str, ...] = ()
    repeated_every: int = 0
    repartitioned_every: int = 0
    customers: int = 20
    declined_every: int = 0
    shipping_s: float = 0.0
    returns_closed: bool = False
    burst: Burst | None = None
    charging_s: float = 0.0
    latecomers: tuple[str, ...] = ()
    late_s: float = 0.0
    orders: int = 50
    # What two cores can handle with all services in one process; beyond it, orders wait for CPU.
    rate: float = 5.0
    writes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reads: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    deadlines: Deadlines = QUICK

    @property
    def described(self) -> str:
        """The story, with the panels that show it, as in the help of the command line."""
        if not self.panels:
            return self.story
        return f"{self.story} On the dashboards: {', '.join(self.panels)}."


SCENARIOS: Final[Mapping[str, Scenario]] = {
    STEADY: Scenario(story="Every order goes through: a good day for the shop."),
    "poison": Scenario(
        story="One order in ten cannot be decoded. Every service that reads it dead-letters it at "
        "once; the other orders continue.",
        spoiled_every=10,
    ),
    "payment-outage": Scenario(
        story="The card provider is down for two seconds. Charges are retried with growing delays; "
        "those still failing after the last attempt become dead letters. Their sagas get no "
        "answer, repeat the command after a timeout, and continue.",
        outage_from=5,
        outage_s=2.0,
    ),
    "duplicates": Scenario(
        story="Every third record is sent twice, as after a crash between sending a record and "
        "marking it as sent. Every service applies it once.",
        repeated_every=3,
    ),
    "out-of-order": Scenario(
        story="Every second order event is written by a client with another partitioner (CRC32, as "
        "librdkafka's, instead of Java's murmur2). A customer's events are then in two partitions, "
        "and nothing keeps them in order. Their readers count them as out of order.",
        repartitioned_every=2,
        # So few that in a short run, too, each has several orders.
        customers=4,
    ),
    "payment-declines": Scenario(
        story="One card in five is declined. Those sagas compensate: the stock is released, the "
        "order is cancelled, and the customer is not charged.",
        declined_every=5,
    ),
    "slow-shipping": Scenario(
        story="Every parcel takes more than a second to ship, and the parcels behind it wait. "
        "Sagas become overdue, but complete.",
        shipping_s=1.2,
        deadlines=replace(QUICK, saga_s=4.0, step_s=30.0),
    ),
    "stuck-saga": Scenario(
        story="One card in five is declined, and the warehouse accepts no returns. Those sagas get "
        "stuck while they compensate, and finally fail: they wait for a human.",
        declined_every=5,
        returns_closed=True,
        deadlines=replace(QUICK, saga_s=5.0),
    ),
    "notification": Scenario(
        story="Beside each event with the whole order, a notice names only the order. Its reader "
        "(receipts) calls the orders API back for the rest. That API is down for two seconds: the "
        "notices wait and are retried, while readers of the full event go on. The table Coupling "
        "of the report compares the two.",
        panels=("Message size p95", "Failed attempts"),
        notices=True,
        api_outage_from=5,
        api_outage_s=2.0,
        guests=("receipts",),
    ),
    "burst": Scenario(
        story="For 20 s, orders come ten times as fast, and producers are not slowed. The card "
        "provider takes 0.6 s for each charge, so that payment falls behind, and catches up after "
        "the burst. See the chart Records behind of the report.",
        panels=("Lag in records", "Time to catch up"),
        burst=Burst(times=10, after_s=10.0, lasts_s=20.0),
        charging_s=0.6,
        orders=220,
        rate=1.0,
        # Orders wait for their turn; nothing is wrong with them.
        deadlines=replace(QUICK, saga_s=120.0, step_s=120.0),
    ),
    "late-joiner": Scenario(
        story="Once all orders have ended, a new service (loyalty) starts and reads the topics "
        "from their beginning. That is catch-up, with a rate and a time left of its own, and no "
        "lag of the flow: wait, end-to-end lag and objectives stay as they are. See the table "
        "Catch-up of the report.",
        panels=("History left", "History per second", "Time until caught up"),
        latecomers=("loyalty",),
        # Records count as history once they are more than 5 s older than the group.
        late_s=6.0,
    ),
    "schema-evolution": Scenario(
        story="A new release is rolled out. `OrderPlaced` is written with versions 1, 2 and 3 of "
        "its schema in turn, as by replicas of three releases. The orchestrator still reads with "
        "version 1, notification with version 2, and all others with version 3. Every order goes "
        "through. See the table Schema versions of the report, and the panel Schema versions in "
        "flight.",
        writes={"OrderPlaced": (1, 2, 3)},
        reads={"orchestrator": {"OrderPlaced": 1}, "notification": {"OrderPlaced": 2}},
    ),
}
"""All scenarios by name."""
