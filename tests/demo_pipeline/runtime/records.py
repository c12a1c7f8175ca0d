"""Records as aiokafka's consumer gives them."""

from __future__ import annotations

from typing import Any

from aiokafka.structs import ConsumerRecord


def record_with(
    value: bytes | None, headers: Any, *, topic: str = "orders.events", offset: int = 0
) -> ConsumerRecord[Any, Any]:
    """Return a record, with the header that a producer adds."""
    return ConsumerRecord(
        topic=topic,
        partition=0,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=b"user-07",
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=(*headers, ("ce_source", b"/test")),
    )
