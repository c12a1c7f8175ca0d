"""How a relay sends one record: with its own headers, and as part of its own trace."""

from __future__ import annotations

from inspect import isawaitable
from types import CoroutineType
from typing import TYPE_CHECKING

from opentelemetry.context import Context, attach, detach

from tracing.core.callables import not_awaitable
from tracing.headers.codec import latest
from tracing.headers.dead_letter import unmarked
from tracing.sql.outbox_rows import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.sql.outbox_rows import StoredRecord
    from tracing.sql.relay_options import RecordSender


class RecordSending:
    """Sends the records of an outbox, each in the context that is stored with it.

    Args:
        producer: Sends a record.
        unusable: Called once the producer has proved to be of no use.

    Attributes:
        fault: Why the producer is of no use; `None` as long as it is.
    """

    def __init__(self, producer: RecordSender, unusable: Callable[[], None]) -> None:
        self._producer = producer
        self._unusable = unusable
        self.fault: TypeError | None = None

    async def send(self, record: StoredRecord) -> None:
        """Send a record; return when the broker has it.

        Raises:
            TypeError: The producer returned nothing to await.
            ValueError: The stored headers cannot be read.
            Exception: What the producer raised.
        """
        headers = unpack(record.headers)
        # In an empty context, so that the send's span continues the stored one.
        token = attach(Context())
        try:
            sending: object = self._producer.send_and_wait(
                record.topic,
                record.value,
                record.key,
                record.partition,
                headers=unmarked(headers, latest(headers)),
            )
            if type(sending) is not CoroutineType and not isawaitable(sending):
                # The record may have been sent, and every retry would send it again.
                self.fault = not_awaitable(self._producer.send_and_wait, sending)
                self._unusable()
                raise self.fault
            await sending
        finally:
            detach(token)
