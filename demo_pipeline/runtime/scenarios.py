"""The stories that a run can tell, and what goes wrong in each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from demo_pipeline.domain.deadlines import QUICK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demo_pipeline.domain.deadlines import Deadlines

STEADY: Final = "steady"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story: what goes wrong while orders are placed.

    Attributes:
        story: What happens, in a sentence or two.
        spoiled_every: Of so many `OrderPlaced` events, one cannot be decoded; 0 for none.
        outage_after_s: When the card provider goes away, in seconds after the first charge.
        outage_s: How long it stays away, in seconds.
        repeated_every: Of so many records that are sent, one is sent twice; 0 for none.
        declined_every: Of so many customers' orders, one is to be paid by a card that never pays;
            0 for none.
        shipping_s: How long it takes to send an order off, in seconds; orders of one partition
            wait for each other.
        takes_nothing_back: Whether the warehouse takes back nothing that was reserved.
        deadlines: How patient sagas are.
    """

    story: str
    spoiled_every: int = 0
    outage_after_s: float = 0.0
    outage_s: float = 0.0
    repeated_every: int = 0
    declined_every: int = 0
    shipping_s: float = 0.0
    takes_nothing_back: bool = False
    deadlines: Deadlines = QUICK


SCENARIOS: Final[Mapping[str, Scenario]] = {
    STEADY: Scenario(story="Every order goes through: the shop on a good day."),
    "poison": Scenario(
        story="One order in ten is published in bytes that nobody can decode. Every service that "
        "reads it moves it to its dead letters at once, and the other orders go on.",
        spoiled_every=10,
    ),
    "payment-outage": Scenario(
        story="The card provider is away for two seconds. Charges are tried again with growing "
        "delays; those that the outage outlasts become dead letters. The saga gets no answer to "
        "them, asks again when its patience is over, and goes on.",
        outage_after_s=1.0,
        outage_s=2.0,
    ),
    "duplicates": Scenario(
        story="Every third record is sent twice, as after a crash between sending and noting that "
        "it was sent. Every service applies it once.",
        repeated_every=3,
    ),
    "payment-declines": Scenario(
        story="One card in five does not pay. Those sagas turn back: what was reserved is released "
        "and the order is cancelled, and no customer is charged.",
        declined_every=5,
    ),
    "slow-shipping": Scenario(
        story="Every parcel takes more than a second to leave, and the parcels behind it wait. "
        "Sagas are overdue, and are completed all the same.",
        shipping_s=1.2,
        deadlines=replace(QUICK, saga_s=4.0, step_s=30.0),
    ),
    "stuck-saga": Scenario(
        story="One card in five does not pay, and the warehouse takes nothing back. Sagas are "
        "stuck while they turn back, and fail in the end: they need a human, who finds them.",
        declined_every=5,
        takes_nothing_back=True,
        deadlines=replace(QUICK, saga_s=5.0),
    ),
}
"""All stories by name."""
