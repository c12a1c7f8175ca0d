"""Check the log of the stock: every product's events, snapshots and current stock agree."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from demo_pipeline.domain.stock import EMPTY, FOLD_VERSION, BrokenStreamError, StockEvent, fold
from demo_pipeline.services.stock_history import decoded_snapshot
from tests.chaos.databases import rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from demo_pipeline.domain.stock import StockState

_EVENTS = "SELECT sku, sequence, change, quantity, at_ns, order_id FROM stock_events ORDER BY 1, 2"
_SNAPSHOTS = "SELECT sequence, state FROM stock_snapshots WHERE sku = ? AND fold_version = ?"
_HELD = (
    "SELECT count(*) FROM (SELECT order_id, sum(CASE change WHEN 'reserved' THEN quantity "
    "WHEN 'released' THEN -quantity ELSE 0 END) AS held FROM stock_events "
    "WHERE order_id IS NOT NULL GROUP BY order_id) LEFT JOIN reservations USING (order_id) "
    "WHERE (held > 0) IS NOT (state = 'reserved') OR held < 0"
)


def stock_log_problems(folder: Path) -> Iterable[str]:
    """List contradictions between the events of products and what is computed from them."""
    available = dict(rows(folder, "inventory", "SELECT sku, available FROM stock"))
    for sku, group in groupby(rows(folder, "inventory", _EVENTS), key=itemgetter(0)):
        events = [StockEvent(*row[1:]) for row in group]
        try:
            states = {state.sequence: state for state in _states(events)}
        except BrokenStreamError as error:
            yield f"the stream of {sku} is broken: {error}"
            continue
        stock = available.pop(sku, None)
        if stock != states[len(events)].available:
            yield f"{sku} has {stock} in stock, its events have {states[len(events)].available}"
        if min(state.available for state in states.values()) < 0:
            yield f"{sku} was sold out and sold"
        for sequence, text in rows(folder, "inventory", _SNAPSHOTS, sku, FOLD_VERSION):
            if decoded_snapshot(sequence, text) != states.get(sequence):
                yield f"snapshot {sequence} of {sku} differs from its events"
    if available:
        yield f"products without events: {', '.join(available)}"
    ((held,),) = rows(folder, "inventory", _HELD)
    if held:
        yield f"{held} orders got another answer than their events say"


def _states(events: Iterable[StockEvent]) -> Iterable[StockState]:
    state = EMPTY
    for event in events:
        state = fold((event,), state)
        yield state
