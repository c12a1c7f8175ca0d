"""Random commands: the log, every snapshot, the current stock and a plain model always agree."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from demo_pipeline.domain.commands import ReleaseInventory, ReserveInventory
from demo_pipeline.domain.events import StockRejected, StockReleased, StockReserved
from demo_pipeline.domain.stock import fold
from tests.demo_pipeline.services.stock_scene import StockScene, order_of

if TYPE_CHECKING:
    from demo_pipeline.domain.messages import Message

FIRST: Final = {"cup": 3, "kettle": 6}
KINDS: Final = (ReserveInventory, ReserveInventory, ReleaseInventory)
COMMANDS: Final = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5)), max_size=40)
ORDERS: Final = st.lists(
    st.dictionaries(st.sampled_from([*FIRST, "unknown"]), st.integers(1, 3), min_size=1),
    min_size=6,
    max_size=6,
)


@dataclass
class Model:
    """What the inventory should do, in the plainest way."""

    available: dict[str, int] = field(default_factory=lambda: dict(FIRST))
    answers: dict[str, str | None] = field(default_factory=dict)
    held: dict[str, dict[str, int]] = field(default_factory=dict)

    def reserve(self, order_id: str, wanted: dict[str, int]) -> str | None:
        """Return why the order is refused; `None` if its items are reserved."""
        if order_id not in self.answers:
            missing = sorted(sku for sku in wanted if self.available.get(sku, 0) < wanted[sku])
            self.answers[order_id] = f"sold out: {', '.join(missing)}" if missing else None
            if not missing:
                self.held[order_id] = wanted
                self._move(wanted, -1)
        return self.answers[order_id]

    def release(self, order_id: str) -> None:
        """Give the items of an order back, and refuse it from now on."""
        self._move(self.held.pop(order_id, {}), +1)
        if self.answers.get(order_id) is None:
            self.answers[order_id] = "the order was cancelled"

    def _move(self, pieces: dict[str, int], sign: int) -> None:
        for sku, quantity in pieces.items():
            self.available[sku] += sign * quantity


# Many statements for each example, so a slow machine has no deadline.
@settings(deadline=None)
@given(orders=ORDERS, commands=COMMANDS, every=st.integers(1, 7))
def test_the_log_snapshots_and_the_current_stock_agree_after_every_command(
    orders: list[dict[str, int]], commands: list[tuple[type, int]], every: int
) -> None:
    model = Model()
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        environment.setenv("INVENTORY_SNAPSHOT_EVERY", str(every))
        scene = stack.enter_context(StockScene(FIRST))
        for attempt, (command, number) in enumerate(commands, 1):
            order = order_of(f"o-{number}", **orders[number])
            expected: Message
            if command is ReleaseInventory:
                model.release(order.order_id)
                expected = StockReleased(order)
            else:
                because = model.reserve(order.order_id, orders[number])
                expected = (
                    StockRejected(order, because)
                    if because
                    else StockReserved(order, f"reservation-{order.order_id}")
                )
            event(type(expected).__name__)
            assert (expected,) == scene.handle(command(order, attempt))
            _check(scene, model, every)
        _check_every_snapshot(scene)


def _check(scene: StockScene, model: Model, every: int) -> None:
    assert model.available == scene.available()
    for sku, pieces in model.available.items():
        rebuilt, product = scene.rebuilt(sku), scene.loaded(sku)
        assert pieces == rebuilt.available
        assert rebuilt == product.state
        assert product.state.sequence - product.snapshot < every


def _check_every_snapshot(scene: StockScene) -> None:
    for sku in FIRST:
        events = scene.events(sku)
        for snapshot in scene.snapshots(sku):
            assert snapshot == fold(events[: snapshot.sequence])
            assert fold(events) == fold(events[snapshot.sequence :], snapshot)
