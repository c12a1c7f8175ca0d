"""The bytes at one offset of a partition, fetched through a consumer's own connection.

aiokafka hands out no bytes, so this reads private attributes of its consumer: the client, the
isolation level and the deserializers. Where one of them is missing there is nothing to read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tracing.kafka.client import broker_client, deserialize, fetch_isolation
from tracing.kafka.raw_batches import visible

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.kafka.raw_records import RawRecord

_ATTEMPTS: Final = 10
_DELAY_S: Final = 0.5
_WAIT_MS: Final = 500
# The first batch of a request comes however large it is.
_BYTES: Final = 1024 * 1024
_TOPIC_AUTHORIZATION_FAILED: Final = 29


class ReadRefusedError(LookupError):
    """The cluster does not allow to read a topic."""


@dataclass(frozen=True, slots=True)
class RawPart:
    """The batch at which a consumer stands.

    Attributes:
        records: Its records from the place that was asked for, readable or not.
        next_offset: The offset after the batch.
    """

    records: tuple[RawRecord, ...]
    next_offset: int


class RawFetch:
    """Fetches records that a consumer cannot read.

    Args:
        consumer: An aiokafka consumer, or a double.
        committed_only: Whether to leave out records of aborted and undecided transactions; by
            default as the consumer does.
        may_refuse: Whether to raise that the cluster does not allow to read, instead of returning
            nothing.

    Task safety: one event loop, that of the consumer.
    """

    def __init__(
        self, consumer: object, *, committed_only: bool | None = None, may_refuse: bool = False
    ) -> None:
        self._consumer = consumer
        self._committed_only = committed_only
        self._may_refuse = may_refuse

    @property
    def able(self) -> bool:
        """Whether the consumer has a connection to read with; test doubles have none."""
        return broker_client(self._consumer) is not None

    async def read(self, tp: TopicPartition, offset: int) -> RawPart | None:
        """Read the first batch at or after an offset that a consumer would receive.

        Returns:
            The batch; `None` where there is none, or no broker answers.

        Raises:
            ReadRefusedError: With `may_refuse` only.
        """
        left = _ATTEMPTS if self.able else 0
        while left:
            try:
                part, reached = await self._ask(tp, offset)
            except Exception as error:
                if self._may_refuse and isinstance(error, ReadRefusedError):
                    raise
                # The leader may have moved, or the connection broken: try again.
                part, reached = None, offset
            if part is not None:
                return part
            if reached > offset:
                # An answer may hold nothing but records of aborted transactions.
                offset = reached
                continue
            left -= 1
            if left:
                await asyncio.sleep(_DELAY_S)
        return None

    def record(self, tp: TopicPartition, raw: RawRecord) -> ConsumerRecord[Any, Any]:
        """Make the record that the consumer would have returned for readable bytes.

        Raises:
            Exception: What a deserializer raised.
        """
        from aiokafka.structs import ConsumerRecord  # noqa: PLC0415 - the library does without

        key, value = raw.key, raw.value
        headers: Any = raw.headers
        return ConsumerRecord(
            tp.topic,
            tp.partition,
            raw.offset,
            raw.timestamp_ms,
            raw.timestamp_type,
            deserialize(self._consumer, "key", key),
            deserialize(self._consumer, "value", value),
            None,
            -1 if key is None else len(key),
            -1 if value is None else len(value),
            headers,
        )

    async def _ask(self, tp: TopicPartition, offset: int) -> tuple[RawPart | None, int]:
        """Fetch once; return the batch, and the offset up to which there is none."""
        from aiokafka.protocol.fetch import FetchRequest  # noqa: PLC0415 - as above

        client = broker_client(self._consumer)
        if self._committed_only is None:
            isolation = fetch_isolation(self._consumer)
        else:
            isolation = int(self._committed_only)
        wanted = [(tp.topic, [(tp.partition, offset, _BYTES)])]
        answer = await client.send(
            client.cluster.leader_for_partition(tp),
            FetchRequest(_WAIT_MS, 1, _BYTES, isolation, wanted),
        )
        parts = answered(answer).get((tp.topic, tp.partition))
        if parts is None or parts["error_code"]:
            if parts is not None and parts["error_code"] == _TOPIC_AUTHORIZATION_FAILED:
                raise ReadRefusedError(f"the cluster does not allow Read on topic {tp.topic}")
            return None, offset
        aborted = parts.get("aborted_transactions") if isolation else None
        return _first(parts["message_set"] or b"", offset, aborted, parts["highwater_offset"])


def answered(answer: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the fields of a fetch response for each partition, by name.

    Which fields there are depends on the version of the protocol.
    """
    schema = answer.SCHEMA
    names = schema.fields[schema.names.index("topics")].array_of.fields[1].array_of.names
    return {
        (topic, part[0]): dict(zip(names, part, strict=True))
        for topic, parts in answer.topics
        for part in parts
    }


def _first(
    data: bytes, offset: int, aborted: list[tuple[int, int]] | None, end: int
) -> tuple[RawPart | None, int]:
    part: RawPart | None = None
    reached = offset
    for batch, records in visible(data, aborted):
        if part is not None:
            return _ended(part, offset, batch.base_offset), offset
        behind = tuple(record for record in records or () if record.next_offset > offset)
        if behind:
            part = RawPart(behind, batch.next_offset)
        else:
            reached = max(reached, batch.next_offset)
    return part and _ended(part, offset, end), reached


def _ended(part: RawPart, offset: int, end: int) -> RawPart:
    """End a batch where the next one begins: a broken batch may state a wrong end."""
    if not offset < end < part.next_offset:
        return part
    records = tuple(
        replace(record, next_offset=max(end, record.offset + 1))
        if record.next_offset > end
        else record
        for record in part.records
    )
    return RawPart(records, end)
