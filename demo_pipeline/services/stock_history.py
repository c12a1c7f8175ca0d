"""Reading the log of the stock: events of a product, in bounded memory, and its snapshots."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import select

from demo_pipeline.domain.stock import EMPTY, FOLD_VERSION, StockEvent, StockState, fold
from demo_pipeline.services.stock_tables import EVENT_COLUMNS, EVENTS, SNAPSHOTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_PAGE: Final = 500
_DECODER: Final = msgspec.json.Decoder(StockState)

_logger = logging.getLogger("demo_pipeline.inventory")


def rebuild(sku: str, connection: Connection, *, until: int = sys.maxsize) -> StockState:
    """Fold a product's stream from its beginning, without snapshots and in bounded memory.

    Args:
        sku: The product.
        connection: A connection to the database.
        until: The last event to count.

    Raises:
        BrokenStreamError: The events cannot be folded.
    """
    state = EMPTY
    for event in history(sku, connection):
        if event.sequence > until:
            break
        state = fold((event,), state)
    return state


def history(sku: str, connection: Connection, *, after: int = 0) -> Iterator[StockEvent]:
    """Read a product's events after a sequence, in their order and in bounded memory."""
    query = select(*EVENT_COLUMNS).where(EVENTS.c.sku == sku).order_by(EVENTS.c.sequence)
    while True:
        rows = connection.execute(query.where(EVENTS.c.sequence > after).limit(_PAGE))
        page = [StockEvent(*row) for row in rows.all()]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].sequence


def newest_snapshot(
    sku: str,
    connection: Connection,
    *,
    sequence: int = sys.maxsize,
    at_ns: int = sys.maxsize,
) -> StockState:
    """Return the state in a product's newest usable snapshot up to an event or a time.

    Args:
        sku: The product.
        connection: A connection to the database.
        sequence: The last event that it may count.
        at_ns: The time of the last event that it may count, unix ns.

    Returns:
        The state before the first event, if there is no such snapshot.
    """
    columns = SNAPSHOTS.c
    rows = connection.execute(
        select(columns.sequence, columns.state)
        .where(columns.sku == sku, columns.fold_version == FOLD_VERSION)
        .where(columns.sequence <= sequence, columns.at_ns <= at_ns)
        .order_by(columns.sequence.desc())
        .limit(1)
    )
    row = rows.one_or_none()
    return EMPTY if row is None else usable_snapshot(sku, *row) or EMPTY


def usable_snapshot(sku: str, sequence: int, text: str) -> StockState | None:
    """Decode the state in a snapshot; if it is damaged, return `None` and log it."""
    state = decoded_snapshot(sequence, text)
    if state is None:
        _logger.warning("snapshot %d of %r is damaged: its events are read instead", sequence, sku)
    return state


def decoded_snapshot(sequence: int, text: str) -> StockState | None:
    """Decode the state in the snapshot of an event; `None` if it is damaged."""
    try:
        state = _DECODER.decode(text)
    except msgspec.DecodeError:
        return None
    return state if state.sequence == sequence else None
