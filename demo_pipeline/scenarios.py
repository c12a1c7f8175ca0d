"""The stories that a run can tell, and what goes wrong in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """

    story: str
    spoiled_every: int = 0
    outage_after_s: float = 0.0
    outage_s: float = 0.0
    repeated_every: int = 0


SCENARIOS: Final[Mapping[str, Scenario]] = {
    STEADY: Scenario(story="Every order goes through: the shop on a good day."),
    "poison": Scenario(
        story="One order in ten is published in bytes that nobody can decode. Every service that "
        "reads it moves it to its dead letters at once, and the other orders go on.",
        spoiled_every=10,
    ),
    "payment-outage": Scenario(
        story="The card provider is away for two seconds. Charges are tried again with growing "
        "delays; those that the outage outlasts become dead letters, to be replayed when it is "
        "over.",
        outage_after_s=1.0,
        outage_s=2.0,
    ),
    "duplicates": Scenario(
        story="Every third record is sent twice, as after a crash between sending and noting that "
        "it was sent. Every service applies it once.",
        repeated_every=3,
    ),
}
"""All stories by name."""
