"""The services that take part in a saga: their real handlers, each on an in-memory database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, create_engine, insert, select
from sqlalchemy.pool import StaticPool

from demo_pipeline.domain.commands import PlaceOrder
from demo_pipeline.domain.messages import Message
from demo_pipeline.services import SERVICES
from demo_pipeline.services.inventory import RELEASED, RESERVED
from demo_pipeline.services.payment import CHARGED, REFUNDED
from demo_pipeline.services.shipping import CANCELLED, SHIPPED

TABLE_OF: Final[Mapping[str, str]] = {
    "orders": "orders",
    "inventory": "reservations",
    "payment": "payments",
    "shipping": "shipments",
}
"""By participant, the table in which it has one row for each order."""


class Work(NamedTuple):
    """A step of a participant: the states of its row after doing and after undoing it."""

    participant: str
    done: str
    undone: str


WORK_OF: Final[Mapping[str, Work]] = {
    "reserve-inventory": Work("inventory", RESERVED, RELEASED),
    "charge-card": Work("payment", CHARGED, REFUNDED),
    "ship-order": Work("shipping", SHIPPED, CANCELLED),
}
"""By the step's name."""


class Change(NamedTuple):
    """A change of the state of a participant's row."""

    participant: str
    order_id: str
    before: str | None
    after: str | None


class Participants:
    """Orders, inventory, payment and shipping.

    Args:
        stock: The initial stock of each product.
    """

    def __init__(self, stock: Mapping[str, int]) -> None:
        self.changes: Counter[Change] = Counter()
        self._engines = {
            name: create_engine("sqlite://", poolclass=StaticPool) for name in TABLE_OF
        }
        for name, engine in self._engines.items():
            SERVICES[name].tables.create_all(engine)
        with self._engines["inventory"].begin() as connection:
            for sku, pieces in stock.items():
                values = {"sku": sku, "available": pieces}
                connection.execute(insert(_table("inventory", "stock")).values(values))

    def handle(self, participant: str, message: Message | PlaceOrder) -> tuple[Message, ...]:
        """Handle a message in a transaction of its own; record what it changed."""
        order_id = message.order.order_id
        before = self.states(participant).get(order_id)
        with self._engines[participant].begin() as connection:
            handler = SERVICES[participant].handlers[type(message)]
            answers = handler(message, connection)
        after = self.states(participant).get(order_id)
        if before != after:
            self.changes[Change(participant, order_id, before, after)] += 1
        return answers

    def states(self, participant: str) -> dict[str, str]:
        """Return the states of a participant's rows, by order."""
        rows = self.rows(participant, TABLE_OF[participant])
        return {row.order_id: str(row.state) for row in rows}

    def rows(self, participant: str, table: str) -> list[Row[Any]]:
        """Return all rows of a participant's table."""
        with self._engines[participant].begin() as connection:
            return list(connection.execute(select(_table(participant, table))))

    def times_done(self, order_id: str, work: Work) -> int:
        """Return how often a step was done for an order."""
        return sum(
            times
            for change, times in self.changes.items()
            if (change.participant, change.order_id, change.after)
            == (work.participant, order_id, work.done)
        )

    def times_undone(self, order_id: str, work: Work) -> int:
        """Return how often a step was undone after it had been done."""
        return self.changes[Change(work.participant, order_id, work.done, work.undone)]

    def close(self) -> None:
        """Close the databases."""
        for engine in self._engines.values():
            engine.dispose()


def _table(participant: str, name: str) -> Any:
    return SERVICES[participant].tables.tables[name]
