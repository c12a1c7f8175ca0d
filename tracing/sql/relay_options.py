"""The sender of an `OutboxRelay`, and the checks of its constructor's arguments."""

from __future__ import annotations

from typing import Any, Final, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from tracing.core.callables import require_async
from tracing.kafka.client import client_info
from tracing.messaging.transport import check_durable, sender_of
from tracing.sql.transactions import Transactions

MAX_BATCH: Final = 10_000
"""The largest batch: a read names the records in progress, and databases limit parameters."""

_DIALECTS: Final = ("postgresql", "sqlite")


class RecordSender(Protocol):
    """Sends the records of an outbox: a `TracedProducer`, or anything with its method."""

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> Any:
        """Send a record and wait until the broker has it."""


def check_sender(producer: RecordSender) -> None:
    """Refuse a producer with which a relay would lose records or could not send them.

    Raises:
        TypeError: It cannot send, or its `send_and_wait` is not async.
        ValueError: It serializes, waits for no acknowledgement or is transactional.
    """
    if not callable(getattr(producer, "send_and_wait", None)):
        raise TypeError(f"OutboxRelay takes a TracedProducer, not {producer!r}")
    require_async(producer.send_and_wait, "the method send_and_wait() of a sender")
    traced = sender_of(producer)
    # A producer without a private side, such as aiokafka's own, is inspected instead.
    info = client_info(producer, group=None, client_id=None) if traced is None else traced.info
    if info.codec:
        raise ValueError(
            "an outbox holds bytes: give OutboxRelay a producer without key_serializer and "
            "value_serializer"
        )
    check_durable(info, "OutboxRelay", "records of the outbox")


def check_engine(engine: AsyncEngine | Transactions) -> None:
    """Refuse a database for which a relay has no lock.

    Raises:
        ValueError: It is neither SQLite nor PostgreSQL with an asyncio driver.
    """
    database = engine.engine if isinstance(engine, Transactions) else engine
    name = database.dialect.name
    if name not in _DIALECTS:
        raise ValueError(f"OutboxRelay works on {' and '.join(_DIALECTS)}, not on {name}")
    if name == "postgresql" and not isinstance(database, AsyncEngine):
        raise ValueError(
            "on PostgreSQL, OutboxRelay takes an AsyncEngine: it keeps a connection for its lock"
        )


def check_batch(batch: int) -> None:
    """Refuse a batch whose numbers are more than a statement can name.

    Raises:
        ValueError: It is not positive, or too large.
    """
    check_positive(batch=batch)
    if batch > MAX_BATCH:
        raise ValueError(f"batch must be at most {MAX_BATCH}, not {batch!r}")


def check_positive(**options: float) -> None:
    """Refuse a number that is not positive.

    Raises:
        ValueError: A number is not positive; the message names it.
    """
    for name, value in options.items():
        if value <= 0:
            raise ValueError(f"{name} must be positive, not {value!r}")
