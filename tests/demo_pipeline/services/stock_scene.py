"""The inventory's handlers on an in-memory database, without an event loop or a driver thread."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self, TypeVar

from sqlalchemy import Connection, Executable, create_engine, event, select
from sqlalchemy.pool import StaticPool

from demo_pipeline.domain.events import Order, OrderLine
from demo_pipeline.services import SERVICES
from demo_pipeline.services.stock_history import decoded_snapshot, history, rebuild
from demo_pipeline.services.stock_log import load, lock, set_up
from demo_pipeline.services.stock_tables import SNAPSHOTS, STOCK, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from demo_pipeline.domain.messages import Message
    from demo_pipeline.domain.stock import ProductStock, StockEvent, StockState

T = TypeVar("T")

PRICE: Final = 100


def order_of(order_id: str, **quantities: int) -> Order:
    """Return an order of some pieces of each product."""
    lines = tuple(OrderLine(sku, quantity, PRICE) for sku, quantity in quantities.items())
    total_cents = PRICE * sum(quantities.values())
    return Order(order_id, "user-07", lines, total_cents, "card-07", "8 Harbour Street")


class StockScene:
    """An inventory with some stock.

    Args:
        first: The pieces of each product.
    """

    def __init__(self, first: Mapping[str, int]) -> None:
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        TABLES.create_all(self.engine)
        self.set_up(first)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.engine.dispose()

    def set_up(self, first: Mapping[str, int]) -> None:
        """Start the service once more."""
        self.run(lambda connection: set_up(first, connection))

    def handle(self, command: Message) -> tuple[Message, ...]:
        """Handle a command in a transaction of its own."""
        handler = SERVICES["inventory"].handlers[type(command)]
        return self.run(lambda connection: handler(command, connection))

    def loaded(self, sku: str) -> ProductStock:
        """Load a product as the service does."""
        return self.run(lambda connection: load(lock([sku], connection), connection)[sku])

    def rebuilt(self, sku: str) -> StockState:
        """Rebuild a product from its first event."""
        return self.run(lambda connection: rebuild(sku, connection))

    def events(self, sku: str, after: int = 0) -> list[StockEvent]:
        """Return a product's events."""
        return self.run(lambda connection: list(history(sku, connection, after=after)))

    def snapshots(self, sku: str) -> list[StockState]:
        """Return the states in a product's snapshots."""
        query = select(SNAPSHOTS.c.sequence, SNAPSHOTS.c.state).where(SNAPSHOTS.c.sku == sku)
        with self.engine.begin() as connection:
            rows = connection.execute(query.order_by(SNAPSHOTS.c.sequence)).all()
        states = [decoded_snapshot(sequence, text) for sequence, text in rows]
        return [state for state in states if state is not None]

    def available(self) -> dict[str, int]:
        """Return the table of the current stock."""
        with self.engine.begin() as connection:
            return {row.sku: row.available for row in connection.execute(select(STOCK))}

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """Collect the statements of a block."""
        statements: list[str] = []

        def collect(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            statements.append(statement)

        event.listen(self.engine, "before_cursor_execute", collect)
        try:
            yield statements
        finally:
            event.remove(self.engine, "before_cursor_execute", collect)

    def plan(self, statement: str) -> list[str]:
        """Return the steps in which SQLite runs a statement."""
        values = (1,) * statement.count("?")
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            return [row[-1] for row in rows]

    def execute(self, statement: Executable) -> None:
        """Change the database behind the service's back."""
        with self.engine.begin() as connection:
            connection.execute(statement)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction."""
        with self.engine.begin() as connection:
            return work(connection)
