"""What a relay sends with, and what it must not be."""

from __future__ import annotations

from typing import Any, Protocol

from tracing.core.callables import require_async
from tracing.kafka.client import check_durable, client_info
from tracing.kafka.producer import TracedProducer


class Sender(Protocol):
    """What a relay sends with: a `TracedProducer`, or what has its method."""

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


def check_sender(producer: TracedProducer | Sender) -> None:
    """Refuse a producer with which a relay would lose records or could not send them.

    Raises:
        TypeError: It cannot send, or its `send_and_wait` is not async.
        ValueError: It serializes, waits for no acknowledgement or is transactional.
    """
    if not callable(getattr(producer, "send_and_wait", None)):
        raise TypeError(f"OutboxRelay takes a TracedProducer, not {producer!r}")
    require_async(producer.send_and_wait, "the method send_and_wait() of a sender")
    if isinstance(producer, TracedProducer):
        info = producer.info
    else:
        info = client_info(producer, group=None, client_id=None)
    if info.codec:
        raise ValueError(
            "an outbox holds bytes: give OutboxRelay a producer without key_serializer and "
            "value_serializer"
        )
    check_durable(info, "OutboxRelay", "records of the outbox")
