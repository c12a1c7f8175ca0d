"""Deliberate faults of a service, as its scenario asks for them."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any
from zlib import crc32

import tracing
from demo_pipeline.domain.commands import ChargeCard, ReleaseInventory, ShipOrder
from demo_pipeline.domain.events import OrderPlaced
from demo_pipeline.domain.pace import steady_pace
from demo_pipeline.domain.topics import ORDERS, PARTITIONS
from demo_pipeline.runtime.scenarios import SCENARIOS, STEADY

if TYPE_CHECKING:
    from demo_pipeline.domain.messages import Message
    from demo_pipeline.domain.pace import Pace
    from demo_pipeline.runtime.scenarios import Scenario
    from tracing import TracedProducer


class CardProviderUnreachableError(ConnectionError):
    """The card provider does not answer."""


class ReturnsClosedError(tracing.Unprocessable):
    """The warehouse accepts no returns; trying again does not help."""


class _Outage:
    """Something that is away for a while, once.

    It begins with a use, not at a time, so every run that is long enough sees it: a slow machine
    may have nothing to do for seconds, and then all at once.

    Args:
        begins_at: The use with which it begins, from 1 on.
        lasts_s: How long it is away, in seconds; 0 for never.
        pace: Stretches that.
    """

    def __init__(self, begins_at: int, lasts_s: float, pace: Pace) -> None:
        self._uses_before = begins_at - 1
        self._lasts_s = lasts_s
        self._pace = pace
        self._began: float | None = None
        self._over = lasts_s <= 0

    def is_on(self) -> bool:
        """Return whether it is away; call it at each use."""
        if self._uses_before:
            self._uses_before -= 1
            return False
        now = monotonic()
        if self._began is None:
            self._began = now
        # Once over, the outage stays over, however slow the shop becomes.
        self._over |= now - self._began >= self._lasts_s * self._pace.factor
        return not self._over


class Faults:
    """The faults of one service in one run. Use it from one event loop.

    Args:
        scenario: What goes wrong.
        pace: How fast the shop runs; the times of the scenario stretch with it.
    """

    def __init__(self, scenario: Scenario, pace: Pace) -> None:
        self._scenario = scenario
        self._pace = pace
        self._events = 0
        self._records = 0
        self._order_events = 0
        self._card_provider = _Outage(scenario.outage_from, scenario.outage_s, pace)
        self._orders_api = _Outage(scenario.api_outage_from, scenario.api_outage_s, pace)

    def value_to_publish(self, message: Message, value: bytes) -> bytes:
        """Return a message's value, or half of it where a broken writer is simulated."""
        if not self._scenario.spoiled_every or not isinstance(message, OrderPlaced):
            return value
        self._events += 1
        # Begin with the third one: a short run has one too, and it is not the first order.
        spoiled = self._events % self._scenario.spoiled_every == 3 % self._scenario.spoiled_every
        return value[: len(value) // 2] if spoiled else value

    async def before(self, message: Message) -> None:
        """Delay or fail the processing of a message, before it begins.

        Raises:
            CardProviderUnreachableError: A card is charged during the provider's outage.
            ReturnsClosedError: Stock is released while the warehouse accepts no returns.
        """
        scenario = self._scenario
        if isinstance(message, ShipOrder) and message.attempt == 1 and scenario.shipping_s:
            await asyncio.sleep(scenario.shipping_s * self._pace.factor)
        if isinstance(message, ChargeCard) and message.attempt == 1 and scenario.charging_s:
            # Unlike a fault, it need not outlast anything: no longer on a slow machine.
            await asyncio.sleep(scenario.charging_s)
        if isinstance(message, ReleaseInventory) and scenario.returns_closed:
            raise ReturnsClosedError("the warehouse accepts no returns")
        if isinstance(message, ChargeCard) and self._card_provider.is_on():
            raise CardProviderUnreachableError("the card provider does not answer")

    def orders_api_is_down(self) -> bool:
        """Return whether the orders API shows no orders; call it at each request for one."""
        return self._orders_api.is_on()

    def partition_for(self, topic: str, key: bytes | None) -> int | None:
        """Return where another partitioner puts the current record; `None` if it is not at work.

        Call it once per record.
        """
        if not self._scenario.repartitioned_every or topic != ORDERS or key is None:
            return None
        self._order_events += 1
        if self._order_events % self._scenario.repartitioned_every:
            return None
        return crc32(key) % PARTITIONS[topic]

    def repeats(self) -> bool:
        """Return whether to send the current record twice; call it once per record."""
        if not self._scenario.repeated_every:
            return False
        self._records += 1
        return self._records % self._scenario.repeated_every == 0


def no_faults() -> Faults:
    """Return faults that do nothing."""
    return Faults(SCENARIOS[STEADY], steady_pace())


class FaultySender:
    """Sends the records of a relay, with the faults of the scenario.

    A record is sent twice, as by a relay that crashed before it noted the send, or to the partition
    that another partitioner chooses.
    """

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
        if partition is None:
            partition = self._faults.partition_for(topic, key)
        sent = await send(topic, value, key, partition, timestamp_ms, headers)
        if self._faults.repeats():
            await send(topic, value, key, partition, timestamp_ms, headers)
        return sent
