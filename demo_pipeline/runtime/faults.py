"""What goes wrong in a service on purpose, as the scenario has it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

import tracing
from demo_pipeline.domain.commands import ChargeCard, ReleaseInventory, ShipOrder
from demo_pipeline.domain.events import OrderPlaced
from demo_pipeline.domain.pace import steady_pace
from demo_pipeline.runtime.scenarios import SCENARIOS, STEADY

if TYPE_CHECKING:
    from demo_pipeline.domain.messages import Message
    from demo_pipeline.domain.pace import Pace
    from demo_pipeline.runtime.scenarios import Scenario
    from tracing import TracedProducer


class CardProviderUnreachableError(ConnectionError):
    """The card provider does not answer."""


class ReturnsClosedError(tracing.Unprocessable):
    """The warehouse takes nothing back, however soon one asks again."""


class Faults:
    """The faults of one service in one run. For one event loop.

    Args:
        scenario: What goes wrong.
        pace: How fast the shop is; what takes time in the story takes longer where it is slow.
    """

    def __init__(self, scenario: Scenario, pace: Pace) -> None:
        self._scenario = scenario
        self._pace = pace
        self._events = 0
        self._records = 0
        self._first_charge: float | None = None
        self._outage_over = False

    def written(self, message: Message, value: bytes) -> bytes:
        """What is written of a message: its value, or what a broken writer makes of it."""
        if not self._scenario.spoiled_every or not isinstance(message, OrderPlaced):
            return value
        self._events += 1
        # The third one first: so that a short run has one, too, and not as its first order.
        spoiled = self._events % self._scenario.spoiled_every == 3 % self._scenario.spoiled_every
        return value[: len(value) // 2] if spoiled else value

    async def before(self, message: Message) -> None:
        """What happens when a message is about to be worked on.

        Raises:
            CardProviderUnreachableError: A card is to be charged while the provider is away.
            ReturnsClosedError: Something is to be taken back while that does not work.
        """
        scenario = self._scenario
        if isinstance(message, ShipOrder) and message.attempt == 1 and scenario.shipping_s:
            await asyncio.sleep(scenario.shipping_s * self._pace.factor)
        if isinstance(message, ReleaseInventory) and scenario.takes_nothing_back:
            raise ReturnsClosedError("the warehouse takes nothing back")
        if isinstance(message, ChargeCard) and scenario.outage_s and self._in_outage():
            raise CardProviderUnreachableError("the card provider does not answer")

    def _in_outage(self) -> bool:
        now = monotonic()
        if self._first_charge is None:
            self._first_charge = now
        away_for = now - self._first_charge - self._scenario.outage_after_s
        # Once it is over, it stays over, however slow the shop becomes.
        self._outage_over |= away_for >= self._scenario.outage_s * self._pace.factor
        return away_for >= 0 and not self._outage_over

    def repeats(self) -> bool:
        """Whether the record that is sent now is sent twice."""
        if not self._scenario.repeated_every:
            return False
        self._records += 1
        return self._records % self._scenario.repeated_every == 0


def no_faults() -> Faults:
    """Nothing goes wrong."""
    return Faults(SCENARIOS[STEADY], steady_pace())


class RepeatingSender:
    """Sends with a producer, and again where the faults have it so."""

    def __init__(self, producer: TracedProducer, faults: Faults) -> None:
        self._producer = producer
        self._faults = faults

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> Any:
        """Send a record, once or twice."""
        send = self._producer.send_and_wait
        sent = await send(topic, value, key, partition, timestamp_ms, headers)
        if self._faults.repeats():
            await send(topic, value, key, partition, timestamp_ms, headers)
        return sent
