"""A model of the shop that runs step by step, so that a test decides what happens next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from demo_pipeline.domain.commands import Command, PlaceOrder
from demo_pipeline.domain.deadlines import Deadlines
from demo_pipeline.domain.events import Order
from demo_pipeline.domain.messages import Message
from demo_pipeline.domain.notices import OrderPlacedNotice
from demo_pipeline.sagas.machine import Happening, Phase, SagaState, TimedOut, advance
from demo_pipeline.sagas.place_order import COMPENSATIONS, STEPS, Forward
from tests.demo_pipeline.sagas.model_network import ORCHESTRATOR, Delivery, Network
from tests.demo_pipeline.sagas.model_participants import Participants

IMPATIENT: Final = Deadlines(
    saga_s=1, step_s=1, step_attempts=2, compensation_s=1, compensation_attempts=2
)
"""Sends each command twice at most, so that few moves reach every path of a saga."""

MOST_MOVES: Final = (
    1 + len(STEPS) * IMPATIENT.step_attempts + len(COMPENSATIONS) * IMPATIENT.compensation_attempts
)
"""One move begins a saga; then each attempt at each step and compensation ends once."""


class Shop:
    """The saga's state machine, the participants' real handlers, and a network between them.

    Args:
        stock: The initial stock of each product.

    Attributes:
        first_stock: The initial stock of each product.
        orders: All placed orders, by id.
        sagas: The state of each saga, by order.
        network: The network between the services.
        participants: The services that take part in sagas.
    """

    def __init__(self, stock: Mapping[str, int]) -> None:
        self.first_stock = stock
        self.orders: dict[str, Order] = {}
        self.sagas: dict[str, SagaState] = {}
        self.network = Network()
        self.participants = Participants(stock)
        self._moves: Counter[str] = Counter()

    @property
    def waiting(self) -> list[SagaState]:
        """The sagas that have not ended."""
        return [state for state in self.sagas.values() if not state.ended]

    def place(self, order: Order) -> None:
        """Place an order; its saga begins when the orchestrator receives the event."""
        self.orders[order.order_id] = order
        self._send(self.participants.handle("orders", PlaceOrder(order)))

    def deliver(self, delivery: Delivery) -> None:
        """Deliver a message; its receiver ignores a duplicate."""
        if self.network.accept(delivery):
            self.apply(delivery)

    def apply(self, delivery: Delivery) -> None:
        """Deliver a message without its receiver's inbox."""
        if delivery.receiver == ORCHESTRATOR:
            assert not isinstance(delivery.message, Command | OrderPlacedNotice)
            self.happen(delivery.order_id, delivery.message)
        else:
            self._send(self.participants.handle(delivery.receiver, delivery.message))

    def happen(self, order_id: str, happening: Happening) -> bool:
        """Apply an input to a saga; return whether that changed its state."""
        before = self.sagas.get(order_id)
        after, commands = advance(before, happening, IMPATIENT)
        if after is None or after == before:
            assert () == commands
            return False
        assert before is None or not before.ended, f"{order_id} went on after its end"
        if before is not None and before.phase is Phase.COMPENSATING:
            assert after.phase not in {Phase.RUNNING, Phase.COMPLETED}
        if after.phase is not Phase.RUNNING:
            assert not any(isinstance(command, Forward) for command in commands)
        self._moves[order_id] += 1
        assert self._moves[order_id] <= MOST_MOVES, f"{order_id} moves on and on"
        self.sagas[order_id] = after
        self._send(commands)
        return True

    def time_out(self, state: SagaState) -> bool:
        """Time out the attempt that a saga waits for."""
        assert state.awaited is not None
        return self.happen(state.order.order_id, TimedOut(state.awaited, state.attempt))

    def time_out_all_attempts(self, order_id: str, *, lost: bool) -> None:
        """Time out all attempts at the awaited step, with their commands lost or just slow."""
        awaited = self.sagas[order_id].awaited
        while self.sagas[order_id].awaited == awaited:
            if lost:
                self.lose_commands(order_id)
            assert self.time_out(self.sagas[order_id])

    def deliver_round(self, order_id: str | None = None) -> bool:
        """Deliver all current messages, of one order or of all; return whether there were any."""
        network = self.network
        queues = [queue for queue in network.queues if order_id in {None, queue[1]}]
        events = [one for one in network.events if order_id in {None, one.order_id}]
        for event in events:
            network.events.remove(event)
            self.deliver(event)
        for queue in queues:
            self.deliver(network.next_command(queue))
        return bool(queues or events)

    def deliver_all(self) -> None:
        """Deliver messages until there are none."""
        while self.deliver_round():
            pass

    def lose_commands(self, order_id: str) -> None:
        """Lose all undelivered commands of an order."""
        for queue in self.network.queues:
            if queue[1] == order_id:
                self.network.lost.append(self.network.next_command(queue))

    def bring_to_end(self) -> None:
        """Bring all sagas to their end without losing further messages."""
        for _ in range(MOST_MOVES):
            self.deliver_all()
            for state in self.waiting:
                self.time_out(state)
        assert [] == self.waiting

    def replay_lost(self) -> None:
        """Deliver all lost commands, and everything that follows."""
        while self.network.lost:
            self.deliver(self.network.lost.pop(0))
        self.deliver_all()

    def close(self) -> None:
        """Close the databases."""
        self.participants.close()

    def _send(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            self.network.send(message)
