"""Batches of a replay: read, filtered as the live consumer does, decoded, and applied in a span."""

from __future__ import annotations

from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracing.core.bounded import OncePerInterval
from tracing.core.log import EventLog
from tracing.headers.codec import latest
from tracing.headers.dead_letter import REPLAY_GROUP, Replay
from tracing.messaging.unreadable import BrokenRecord
from tracing.replay.batch_span import ReplayedBatch
from tracing.replay.left_out import LeftOut
from tracing.replay.positions import LogPartition, Position
from tracing.replay.seams import AppliedBatch, ReplayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from tracing.replay.plan import Decode, ReplayOptions
    from tracing.replay.progress import Account
    from tracing.replay.seams import ReplaySource
    from tracing.telemetry import Telemetry

_logger = EventLog("tracing")
_LOG_INTERVAL_S: Final = 10.0


class BatchReader:
    """Reads batches of events from a log. For one task.

    Args:
        source: The log.
        decode: Decodes a record.
        telemetry: Starts the spans.
        account: Counts the records.
        options: How to replay.
        building: The read model and the generation that is built, for the spans.
    """

    def __init__(
        self,
        source: ReplaySource,
        decode: Decode,
        telemetry: Telemetry,
        account: Account,
        options: ReplayOptions,
        building: tuple[str, int],
    ) -> None:
        self._source, self._decode, self._telemetry = source, decode, telemetry
        self._account, self._options, self._building = account, options, building
        self._log = OncePerInterval[LogPartition](_LOG_INTERVAL_S)
        self.left_out = LeftOut()
        """What was left out so far."""

    async def read(
        self,
        positions: Mapping[LogPartition, Position],
        bounds: Mapping[LogPartition, int] | None,
        wait_s: float,
    ) -> AppliedBatch | None:
        """Read the next batch; `None` if nothing came and no position moved.

        Args:
            positions: Where the generation is.
            bounds: Offsets at which partitions end; by default they have no end.
            wait_s: How long to wait for records, in seconds.

        Raises:
            ReplayError: A record cannot be decoded, and not because it is broken for good; or most
                records of a type cannot.
        """
        read = await self._source.read(self._options.batch_size, wait_s)
        moved = dict(positions)
        records: list[Any] = []
        events: list[Any] = []
        for record in read:
            partition = LogPartition(record.topic, record.partition)
            before = moved[partition]
            if bounds is not None and record.offset >= bounds.get(partition, 0):
                continue
            event = await self._event(record)
            if event is not None:
                records.append(record)
                events.append(event)
            following = getattr(record, "next_offset", record.offset + 1)
            moved[partition] = Position(following, max(before.event_ms, record.timestamp))
        if not self._options.incomplete:
            self.left_out.refuse_most()
        # A compacted log leaves offsets out, and so do transactions.
        for partition, offset in (await self._source.positions()).items():
            at = moved.get(partition)
            if at is not None and offset > at.next_offset:
                limit = offset if bounds is None else min(offset, bounds.get(partition, offset))
                if limit > at.next_offset:
                    moved[partition] = Position(limit, at.event_ms)
        if not records and moved == positions:
            return None
        return AppliedBatch(records, events, moved)

    def span(self, batch: AppliedBatch) -> AbstractContextManager[object]:
        """Return the span in which to apply a batch; none for one that only moves positions."""
        if not batch.records:
            return nullcontext()
        name, generation = self._building
        info = self._source.info
        return ReplayedBatch(self._telemetry, info, name, generation, batch.records)

    async def _event(self, record: Any) -> Any:
        """Return a record's event; `None` if it is left out, which is counted."""
        if isinstance(record, BrokenRecord):
            self._left_out(record, {}, record.problem)
            return None
        present = latest(record.headers)
        if REPLAY_GROUP in present:
            replayed = Replay.of(record)
            if replayed is not None and replayed.group != self._options.group:
                self._account.read("skipped", 1)
                return None
        try:
            event = await self._decode(record)
        except Exception as error:
            if not self._options.undecodable(error):
                raise ReplayError(
                    f"{record.topic}[{record.partition}] offset {record.offset} cannot be decoded "
                    f"now ({type(error).__name__}): the same replay resumes here once that is "
                    "solved"
                ) from error
            self._left_out(record, present, type(error).__name__)
            return None
        if event is None:
            self._account.read("ignored", 1)
        else:
            self._account.read("applied", 1)
            self.left_out.applied(record, present)
        return event

    def _left_out(self, record: Any, present: Mapping[str, object], why: str) -> None:
        self._account.read("undecodable", 1)
        self.left_out.left_out(record, present, why)
        partition = LogPartition(record.topic, record.partition)
        if not self._log.due(partition, monotonic()):
            return
        _logger.warning(
            "%s[%d] offset %d cannot be decoded (%.200s): the replay leaves it out, as the live "
            "consumer did; %d left out so far",
            record.topic,
            record.partition,
            record.offset,
            why,
            self._account.progress().undecodable,
        )
