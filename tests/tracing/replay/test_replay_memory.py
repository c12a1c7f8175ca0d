"""The memory of a replay does not grow with the log."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING, Any

from tests.tracing.replay.doubles import Record, decode
from tracing.kafka.transport import KAFKA
from tracing.messaging.transport import ClientInfo
from tracing.replay import (
    AppliedBatch,
    Claim,
    LogPartition,
    LogRange,
    Position,
    ReplayOptions,
    replay,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tracing import Telemetry
    from tracing.replay import End, Rest, Start

RECORDS = 100_000
PARTITION = LogPartition("orders", 0)


class EndlessSource:
    """Makes records when they are read."""

    def __init__(self) -> None:
        self.info = ClientInfo(transport=KAFKA)
        self._next = 0

    async def ranges(self, topics: Collection[str]) -> dict[LogPartition, LogRange]:
        return {PARTITION: LogRange(0, RECORDS)}

    async def offsets_at(
        self, partitions: Collection[LogPartition], unix_ms: int
    ) -> dict[LogPartition, int]:
        return {}

    async def seek(self, positions: Mapping[LogPartition, int]) -> None:
        self._next = positions[PARTITION]

    def leave(self, partitions: Collection[LogPartition]) -> None: ...

    async def read(self, limit: int, wait_s: float) -> Sequence[Any]:
        offsets = range(self._next, min(self._next + limit, RECORDS))
        self._next = offsets.stop
        return [
            Record("orders", 0, offset, 1000 + offset, b"key=%d" % offset) for offset in offsets
        ]

    async def positions(self) -> dict[LogPartition, int]:
        return {PARTITION: self._next}


class ForgetfulStore:
    """Counts events, and keeps none."""

    name = "orders"
    topics = ("orders",)

    def __init__(self) -> None:
        self.applied = 0
        self.grown: list[int] = []

    async def claim(self, start: Start, end: End, *, restart: bool) -> Claim:
        return Claim(1, {}, {}, None)

    async def begin(self, positions: Mapping[LogPartition, Position], *, copy: bool) -> None: ...

    async def apply(self, batch: AppliedBatch) -> None:
        self.applied += len(batch.events)
        if self.applied in {RECORDS // 10, RECORDS}:
            self.grown.append(_kept())

    async def touch(self) -> None: ...

    async def switch(self, rest: Rest) -> bool:
        return True

    async def finish(self) -> None: ...

    async def clean(self) -> int:
        return 0

    async def release(self) -> None: ...


def _kept() -> int:
    """Return the bytes that this project's code has allocated and that are still in use."""
    gc.collect()
    # Threads of other tests allocate, too.
    ours = tracemalloc.Filter(True, "*/tracing/*")
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)


async def test_a_replay_of_100_000_records_keeps_no_more_than_a_batch(
    telemetry: Telemetry, capture: Any
) -> None:
    store = ForgetfulStore()
    tracemalloc.start()
    try:
        options = ReplayOptions(batch_size=1000)
        await replay(EndlessSource(), store, decode, telemetry, options, lambda _: capture.clear())
    finally:
        tracemalloc.stop()

    assert store.applied == RECORDS
    # From the tenth batch to the last one: what a record leaves behind would be there 90,000 times.
    early, late = store.grown
    assert late - early < 500_000
