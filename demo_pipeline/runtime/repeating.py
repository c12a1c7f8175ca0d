"""Sending records twice, as a relay does that died before it could note that it had sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demo_pipeline.runtime.faults import Faults
    from tracing import TracedProducer


class RepeatingSender:
    """Sends with a producer, and again where the faults have it so."""

    def __init__(self, producer: TracedProducer, faults: Faults) -> None:
        self._producer = producer
        self._faults = faults

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> Any:
        """Send a record, once or twice."""
        send = self._producer.send_and_wait
        sent = await send(topic, value, key, partition, timestamp_ms, headers)
        if self._faults.repeats():
            await send(topic, value, key, partition, timestamp_ms, headers)
        return sent
