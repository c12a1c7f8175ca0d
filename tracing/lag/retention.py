"""How much of its topic's retention a group's oldest uncommitted record has used.

The share is that of the record's age in `retention.ms`, or of the bytes from the record to the end
of its log in `retention.bytes`, whichever is larger. Topics that are only compacted have none.

Brokers delete whole segments. By age, they delete one when its newest record is too old; by size,
when the segments after it alone reach the limit. So a record is safe while the share is below 1.
From 1 on it may go at any time: at the broker's next check, which is 5 minutes away by default, or
as late as its segment is complete (`segment.ms`, `segment.bytes`). Source: `deleteOldSegments` in
Kafka's `UnifiedLog`.

Bytes are an estimate: brokers report only the size of a whole log, so all its records count as
equally large. Logs in tiered storage count by age alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracing.kafka.cluster import EARLIEST
from tracing.kafka.retention import log_sizes, retentions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.kafka.cluster import Cluster
    from tracing.kafka.retention import Retention

_REFRESH_S: Final = 300.0
# For all requests of a refresh: the sweep must not take longer because of these figures.
_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class RetentionUse:
    """What a group's oldest uncommitted record has used of its retention.

    Attributes:
        used: The share that it has used; 0 if no record waits. Below 1 the record is safe; from 1
            on, the broker may delete it.
        left_s: Seconds until the share is 1 if the group commits nothing more; `None` if no record
            waits, or if that is not known.
    """

    used: float
    left_s: float | None


def use_of(
    retention: Retention,
    *,
    waited_s: float | None,
    waiting_bytes: float | None,
    bytes_per_s: float | None,
) -> RetentionUse | None:
    """Return what a record has used of its retention; `None` if unknown or without limits.

    Args:
        retention: That of its topic.
        waited_s: The record's age, in seconds; `None` if unknown.
        waiting_bytes: Bytes from the record to the end of the log; `None` if unknown.
        bytes_per_s: How fast the log grows; `None` if unknown.
    """
    used: list[float] = []
    left: list[float] = []
    if retention.seconds is not None and waited_s is not None:
        used.append(waited_s / max(retention.seconds, 1e-3))
        left.append(max(0.0, retention.seconds - waited_s))
    if retention.size is not None and waiting_bytes is not None:
        used.append(waiting_bytes / max(retention.size, 1))
        if waiting_bytes >= retention.size:
            left.append(0.0)
        elif bytes_per_s:
            left.append((retention.size - waiting_bytes) / bytes_per_s)
    return RetentionUse(max(used), min(left, default=None)) if used else None


def worst_use(uses: Iterable[RetentionUse | None]) -> RetentionUse | None:
    """Return the highest share and the shortest time of several partitions; `None` if unknown."""
    known = [use for use in uses if use is not None]
    if not known:
        return None
    left = [use.left_s for use in known if use.left_s is not None]
    return RetentionUse(max(use.used for use in known), min(left, default=None))


class Retentions:
    """Retention of topics and sizes of logs, read every few minutes. For one task."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._retentions: dict[str, Retention | None] = {}
        self._record_bytes: dict[TopicPartition, float] = {}
        self._asked: set[str] = set()
        self._missing: set[str] = set()
        self._fresh_until = 0.0

    @property
    def missing(self) -> tuple[str, ...]:
        """The rights and answers that are missing for some figures, sorted."""
        return tuple(sorted(self._missing))

    async def refresh(
        self, partitions: Collection[TopicPartition], ends: Mapping[TopicPartition, int]
    ) -> None:
        """Read what is unknown or too old. What is not answered keeps its last value.

        Args:
            partitions: The partitions that groups read.
            ends: Their end offsets.
        """
        now = monotonic()
        topics = {tp.topic for tp in partitions}
        if now >= self._fresh_until:
            self._fresh_until = now + _REFRESH_S
            self._asked.clear()
            self._missing.clear()
            self._retentions = {
                topic: retention for topic, retention in self._retentions.items() if topic in topics
            }
            self._record_bytes = {
                tp: size for tp, size in self._record_bytes.items() if tp.topic in topics
            }
        asked = topics - self._asked
        if not asked:
            return
        self._asked |= asked
        try:
            async with asyncio.timeout(_PATIENCE_S):
                self._retentions |= await retentions(self._cluster, asked, self._missing)
                await self._read_sizes([tp for tp in partitions if tp.topic in asked], ends)
        except TimeoutError:
            self._missing.add("an answer in time")

    async def _read_sizes(
        self, partitions: Collection[TopicPartition], ends: Mapping[TopicPartition, int]
    ) -> None:
        limited = [
            tp
            for tp in partitions
            if (retention := self._retentions.get(tp.topic)) is not None
            and retention.size is not None
        ]
        if not limited:
            return
        sizes = await log_sizes(self._cluster, limited, self._missing)
        starts = await self._cluster.offsets(sizes, EARLIEST)
        for tp, size in sizes.items():
            if (records := ends.get(tp, 0) - starts.get(tp, 0)) > 0:
                self._record_bytes[tp] = size / records

    def use(
        self, tp: TopicPartition, waiting: int, waited_s: float | None, inflow: float | None
    ) -> RetentionUse | None:
        """Return what the oldest waiting record of a partition has used; `None` if unknown.

        Args:
            tp: The partition.
            waiting: Number of waiting records.
            waited_s: Age of the oldest one, in seconds; `None` if unknown.
            inflow: New records of the partition per second; `None` if unknown.
        """
        retention = self._retentions.get(tp.topic)
        if retention is None or (retention.seconds is None and retention.size is None):
            return None
        if not waiting:
            return RetentionUse(0.0, None)
        record_bytes = self._record_bytes.get(tp)
        return use_of(
            retention,
            waited_s=waited_s,
            waiting_bytes=None if record_bytes is None else waiting * record_bytes,
            bytes_per_s=None if record_bytes is None or inflow is None else inflow * record_bytes,
        )
