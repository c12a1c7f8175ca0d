"""Polls that get past records which the client cannot read, and lose no others.

Because of one such record aiokafka fails a whole poll. It loses the records before it, those of
other partitions in the same poll, and for good the records behind it in its batch. Here, all
partitions go back to where they were before the poll, each is read up to the bad record, and the
rest of that record's batch is read from the bytes.
"""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from tracing.kafka.raw_fetch import RawFetch
from tracing.messaging.unreadable import BrokenRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.kafka.raw_fetch import RawPart
    from tracing.kafka.raw_records import RawRecord

_UNREADABLE: Final = frozenset(
    {"CorruptRecordException", "RecordTooLargeError", "UnicodeDecodeError", "UnsupportedCodecError"}
)
"""Errors that are always about a record; by name, as aiokafka is no dependency."""
_OTHERS: Final = frozenset(
    {"ConsumerStoppedError", "IllegalOperation", "KafkaError", "MemoryError", "TimeoutError"}
)
"""Errors that are not about a record."""

_AT_ONCE: Final = 500
"""Records of one partition to read one by one before the next partition."""
_SEARCH_S: Final = 30.0
_PAUSE_S: Final = 0.02
_SKEW_MS: Final = 86_400_000


class ReadablePolls:
    """Polls a consumer, and returns an unreadable record as a `BrokenRecord` in its place.

    Args:
        client: The consumer, started.
        getmany: Polls it; by default its own `getmany`.

    Task safety: one task.
    """

    def __init__(
        self, client: Any, getmany: Callable[..., Awaitable[Mapping[Any, list[Any]]]] | None = None
    ) -> None:
        self._consumer = client
        self._getmany = client.getmany if getmany is None else getmany
        self._raw = RawFetch(client)
        self._next: dict[TopicPartition, int] = {}
        self._search_until: float | None = None
        self._in_vain = False
        self._postponed: Exception | None = None
        self._failed_at: dict[TopicPartition, int] = {}
        self._gathered: dict[TopicPartition, list[Any]] = {}
        self._before: dict[TopicPartition, int] = {}

    @property
    def searching(self) -> bool:
        """Whether a search for an unreadable record is under way."""
        return self._search_until is not None

    async def position(self, tp: TopicPartition) -> int:
        """Return a partition's position; -1 where it is unknown."""
        try:
            # Do not wait until the position is known.
            async with asyncio.timeout(0):
                return int(await self._consumer.position(tp))
        except Exception:
            # Unknown so far, or no longer assigned.
            return -1

    async def poll(
        self, timeout_ms: int, max_records: int | None = None
    ) -> Mapping[TopicPartition, list[Any]]:
        """Get records, as `AIOKafkaConsumer.getmany`.

        A cancelled poll takes no records.

        Raises:
            Exception: The consumer's error, where it is not about a record, or the record cannot
                be located.
        """
        postponed, self._postponed = self._postponed, None
        if postponed is not None:
            raise postponed
        if self._search_until is not None:
            return await self._search()
        known, unknown = await self._known()
        try:
            records = await self._taken(known, unknown, timeout_ms, max_records)
        except Exception as error:
            if not _about_a_record(error):
                raise
            self._rewind(self._next)
            if not self._raw.able or self._fails_without_records(error):
                raise
            self._search_until = monotonic() + _SEARCH_S
            return {}
        self._in_vain = False
        self._took(records)
        return records

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget the positions of partitions that were revoked or sought."""
        for tp in partitions:
            self._next.pop(tp, None)
            # Its records are delivered again, to this member or to another one.
            self._gathered.pop(tp, None)
            self._before.pop(tp, None)

    def _took(self, records: Mapping[TopicPartition, list[Any]]) -> None:
        for tp, batch in records.items():
            if batch:
                self._next[tp] = batch[-1].offset + 1

    async def _known(self) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """Return the partitions with a known position, and the others.

        After a failed poll, only partitions with a known position can go back to it.
        """
        assigned = self._consumer.assignment()
        if assigned != self._next.keys():
            self.forget([tp for tp in self._next if tp not in assigned])
            for tp in assigned - self._next.keys():
                offset = await self.position(tp)
                if offset >= 0:
                    self._next[tp] = offset
        return list(self._next), [tp for tp in assigned if tp not in self._next]

    async def _taken(
        self,
        known: list[TopicPartition],
        unknown: list[TopicPartition],
        timeout_ms: int,
        max_records: int | None,
    ) -> Mapping[TopicPartition, list[Any]]:
        if not known:
            # One record at a time loses none.
            return await self._getmany(timeout_ms=timeout_ms, max_records=1)
        if not unknown:
            return await self._getmany(timeout_ms=timeout_ms, max_records=max_records)
        # The others are polled without waiting: only a poll shows why one has no position, such as
        # `auto_offset_reset="none"` where nothing is committed.
        records = await self._getmany(*unknown, timeout_ms=0, max_records=1)
        if any(records.values()):
            return records
        return await self._getmany(*known, timeout_ms=timeout_ms, max_records=max_records)

    def _rewind(self, places: dict[TopicPartition, int]) -> None:
        for tp, offset in places.items():
            self._seek(tp, offset)

    def _seek(self, tp: TopicPartition, offset: int) -> None:
        self._next[tp] = offset
        try:
            self._consumer.seek(tp, offset)
        except Exception:
            # No longer assigned: its next owner begins at the committed offset.
            self._next.pop(tp, None)

    async def _search(self) -> dict[TopicPartition, list[Any]]:
        """Read partitions one by one, up to an unreadable record."""
        self._before = dict(self._next)
        gathered = self._gathered = {}
        assigned = sorted(self._consumer.assignment())
        if not assigned:
            self._search_until = None
        try:
            for tp in assigned:
                # Polls that do not wait would never yield to other tasks.
                await asyncio.sleep(0)
                if await self._read_alone(tp, gathered.setdefault(tp, [])):
                    self._search_until = None
            taken = {tp: batch for tp, batch in gathered.items() if batch}
            if not taken:
                if self._search_until is not None and monotonic() > self._search_until:
                    # The error did not come again.
                    self._search_until = None
                    self._in_vain = True
                await asyncio.sleep(_PAUSE_S)
        except Exception as error:
            taken = {tp: batch for tp, batch in gathered.items() if batch}
            if not taken:
                raise
            self._postponed = error
        except BaseException:
            self._rewind(self._before)
            raise
        return taken

    def _fails_without_records(self, error: Exception) -> bool:
        """Return whether no record can be the cause of an error."""
        nowhere = self._in_vain or not self._consumer.assignment()
        return nowhere and type(error).__name__ not in _UNREADABLE

    async def _read_alone(self, tp: TopicPartition, batch: list[Any]) -> bool:
        """Read a partition one record at a time; return whether one was unreadable."""
        if tp not in self._next:
            offset = await self.position(tp)
            if offset < 0:
                # Its records could not be read again after an error.
                return False
            self._next[tp] = self._before[tp] = offset
        while len(batch) < _AT_ONCE:
            try:
                got = await self._getmany(tp, timeout_ms=0, max_records=1)
            except Exception as error:
                if not _about_a_record(error):
                    raise
                return await self._failed(tp, error, batch)
            records = got.get(tp)
            if not records:
                return False
            batch += records
            self._next[tp] = records[-1].offset + 1
        return False

    async def _failed(self, tp: TopicPartition, error: Exception, batch: list[Any]) -> bool:
        """Skip the unreadable batch of a partition; return false to try the client again."""
        if tp not in self._next:
            # Revoked or sought meanwhile.
            return False
        offset = self._next[tp]
        if self._failed_at.get(tp) != offset:
            # The error may come from the end of the batch before: try again from here.
            self._failed_at[tp] = offset
            self._seek(tp, offset)
            return False
        del self._failed_at[tp]
        batch += await self._past(tp, offset, error)
        return True

    async def _past(self, tp: TopicPartition, offset: int, error: Exception) -> Sequence[Any]:
        """Return the contents of the batch at a partition's position, and continue behind it."""
        part = await self._raw.read(tp, offset)
        if self._next.get(tp) != offset:
            # Revoked or sought meanwhile; the records are delivered again if needed.
            return ()
        if part is None:
            raise error
        items, after = self._items(tp, part, error)
        self._seek(tp, after)
        return items

    def _items(
        self, tp: TopicPartition, part: RawPart, error: Exception
    ) -> tuple[list[ConsumerRecord[Any, Any] | BrokenRecord], int]:
        items: list[ConsumerRecord[Any, Any] | BrokenRecord] = []
        for raw in part.records:
            if raw.problem is not None:
                items.append(_broken(tp, raw, raw.problem))
                continue
            try:
                items.append(self._raw.record(tp, raw))
            except Exception as fault:
                items.append(_broken(tp, raw, f"a deserializer raised {type(fault).__name__}"))
        readable = not any(isinstance(item, BrokenRecord) for item in items)
        if readable and type(error).__name__ not in _UNREADABLE:
            raise error
        # Records that are readable here are returned, whatever kept the client from reading them.
        return items, max(part.next_offset, part.records[-1].offset + 1)


def _broken(tp: TopicPartition, raw: RawRecord, problem: str) -> BrokenRecord:
    # The timestamp of a broken batch may be wrong.
    plausible = raw.whole or 0 <= raw.timestamp_ms <= time() * 1000 + _SKEW_MS
    return BrokenRecord(
        topic=tp.topic,
        partition=tp.partition,
        offset=raw.offset,
        next_offset=raw.next_offset,
        timestamp=raw.timestamp_ms if plausible else -1,
        key=raw.key,
        value=raw.value,
        headers=raw.headers,
        problem=problem,
        whole=raw.whole,
    )


def _about_a_record(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint(_UNREADABLE) or names.isdisjoint(_OTHERS)
