"""How a dead letter gets a transaction of its own, in a loop that handles exactly once."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

letter_sender: ContextVar[
    Callable[[Callable[[], Coroutine[Any, Any, None]]], Awaitable[None]] | None
] = ContextVar("pipeline-letter-sender", default=None)
"""Set where a record is handled in transactions: sends, and returns when that is committed."""


async def in_own_transaction(send: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Send in a transaction that commits the record's offset as well.

    Raises:
        RuntimeError: No `consume(transactional=...)` handles the record.
        Exception: It could not be sent, or the transaction could not be committed.
    """
    sender = letter_sender.get()
    if sender is None:
        raise RuntimeError(
            "DeadLetters(transactional=True) is for consume(transactional=...) alone, which begins "
            "and ends the transactions"
        )
    await sender(send)
