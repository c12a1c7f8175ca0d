"""A shop in which sagas run step by step, so that a test can decide what happens next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from demo_pipeline.domain.commands import Command, PlaceOrder
from demo_pipeline.domain.deadlines import Deadlines
from demo_pipeline.domain.events import Order
from demo_pipeline.domain.messages import Message
from demo_pipeline.sagas.machine import Happening, Phase, SagaState, TimedOut, advance
from demo_pipeline.sagas.place_order import COMPENSATIONS, STEPS, Forward
from tests.demo_pipeline.sagas.model_network import ORCHESTRATOR, Letter, Network
from tests.demo_pipeline.sagas.model_participants import Participants

IMPATIENT: Final = Deadlines(
    saga_s=1, step_s=1, step_attempts=2, compensation_s=1, compensation_attempts=2
)
"""Asks just once again, so that few moves lead to every way in which a saga can go."""

MOST_MOVES: Final = (
    1 + len(STEPS) * IMPATIENT.step_attempts + len(COMPENSATIONS) * IMPATIENT.compensation_attempts
)
"""A saga begins, and then each attempt at each step and compensation ends once."""


class Shop:
    """The pure function of the saga, the participants' real handlers, and the network.

    Args:
        stock: The pieces of each product at first.

    Attributes:
        first_stock: The same.
        orders: All that were placed, by their ids.
        sagas: Where each saga stands.
        network: What is between the services.
        participants: Those that do the work.
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
        """Take an order. Its saga begins when that is told to the orchestrator."""
        self.orders[order.order_id] = order
        self._send(self.participants.handle("orders", PlaceOrder(order)))

    def deliver(self, letter: Letter) -> None:
        """Deliver a message, which its receiver ignores if it has seen it before."""
        if self.network.accept(letter):
            self.apply(letter)

    def apply(self, letter: Letter) -> None:
        """Deliver a message past its receiver's inbox."""
        if letter.receiver == ORCHESTRATOR:
            assert not isinstance(letter.message, Command)
            self.happen(letter.order_id, letter.message)
        else:
            self._send(self.participants.handle(letter.receiver, letter.message))

    def happen(self, order_id: str, happening: Happening) -> bool:
        """Let something happen to a saga; tell whether that moved it."""
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
        """Let a saga wait in vain for what it waits for."""
        assert state.awaited is not None
        return self.happen(state.order.order_id, TimedOut(state.awaited, state.attempt))

    def wait_in_vain(self, order_id: str, *, lost: bool) -> None:
        """Let all attempts at what a saga waits for time out, lost or just slow."""
        awaited = self.sagas[order_id].awaited
        while self.sagas[order_id].awaited == awaited:
            if lost:
                self.lose_commands(order_id)
            assert self.time_out(self.sagas[order_id])

    def deliver_round(self, order_id: str | None = None) -> bool:
        """Deliver what is under way now, for one order or for all; tell whether anything was."""
        network = self.network
        lanes = [lane for lane in network.lanes if order_id in {None, lane[1]}]
        events = [one for one in network.events if order_id in {None, one.order_id}]
        for event in events:
            network.events.remove(event)
            self.deliver(event)
        for lane in lanes:
            self.deliver(network.next_command(lane))
        return bool(lanes or events)

    def deliver_all(self) -> None:
        """Deliver all that is under way, and what comes of it."""
        while self.deliver_round():
            pass

    def lose_commands(self, order_id: str) -> None:
        """Lose all commands of an order that are under way."""
        for lane in self.network.lanes:
            if lane[1] == order_id:
                self.network.lost.append(self.network.next_command(lane))

    def bring_to_end(self) -> None:
        """Lose nothing any more, and wait for answers in vain only where a command was lost."""
        for _ in range(MOST_MOVES):
            self.deliver_all()
            for state in self.waiting:
                self.time_out(state)
        assert [] == self.waiting

    def replay_lost(self) -> None:
        """Deliver all that was lost, after everything else."""
        while self.network.lost:
            self.deliver(self.network.lost.pop(0))
        self.deliver_all()

    def close(self) -> None:
        """Forget everything."""
        self.participants.close()

    def _send(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            self.network.send(message)
