"""What goes wrong in a service on purpose, as the scenario has it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from demo_pipeline.commands import ChargeCard
from demo_pipeline.events import OrderPlaced
from demo_pipeline.scenarios import SCENARIOS, STEADY

if TYPE_CHECKING:
    from demo_pipeline.commands import Command
    from demo_pipeline.events import Event
    from demo_pipeline.scenarios import Scenario


class CardProviderUnreachableError(ConnectionError):
    """The card provider does not answer."""


class Faults:
    """The faults of one service in one run. For one event loop."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._events = 0
        self._records = 0
        self._first_charge: float | None = None

    def written(self, event: Event, value: bytes) -> bytes:
        """What is written of an event: its value, or what a broken writer makes of it."""
        if not self._scenario.spoiled_every or not isinstance(event, OrderPlaced):
            return value
        self._events += 1
        # The third one first: so that a short run has one, too, and not as its first order.
        spoiled = self._events % self._scenario.spoiled_every == 3 % self._scenario.spoiled_every
        return value[: len(value) // 2] if spoiled else value

    def before(self, message: Event | Command) -> None:
        """What happens when a message is about to be worked on.

        Raises:
            CardProviderUnreachableError: A card is to be charged while the provider is away.
        """
        if not self._scenario.outage_s or not isinstance(message, ChargeCard):
            return
        now = monotonic()
        if self._first_charge is None:
            self._first_charge = now
        away_for = now - self._first_charge - self._scenario.outage_after_s
        if 0 <= away_for < self._scenario.outage_s:
            raise CardProviderUnreachableError("the card provider does not answer")

    def repeats(self) -> bool:
        """Whether the record that is sent now is sent twice."""
        if not self._scenario.repeated_every:
            return False
        self._records += 1
        return self._records % self._scenario.repeated_every == 0


def no_faults() -> Faults:
    """Nothing goes wrong."""
    return Faults(SCENARIOS[STEADY])
