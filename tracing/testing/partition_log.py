"""One partition's records, in order, and which of them a transaction hides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class RecordContent:
    """A record as a producer sends it.

    Attributes:
        key: The serialised key.
        value: The serialised value; `None` is a tombstone.
        headers: The headers, in order, duplicates kept.
        timestamp: Unix milliseconds.
    """

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as a partition keeps it.

    Attributes:
        offset: Its offset in the partition.
        content: The record as the producer sent it.
    """

    offset: int
    content: RecordContent


@dataclass(slots=True)
class PartitionLog:
    """The records of one partition.

    A transaction's records get their offsets at once. Readers stop at the first record whose
    transaction is open, and skip records whose transaction was aborted.
    """

    _records: list[StoredRecord] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)
    _aborted: set[int] = field(default_factory=set)

    @property
    def end(self) -> int:
        """The offset that the next record will get."""
        return len(self._records)

    @property
    def stable_end(self) -> int:
        """The offset at which readers stop."""
        return min(self._open, default=self.end)

    def append(self, content: RecordContent, *, in_transaction: bool = False) -> StoredRecord:
        """Store a record at the end."""
        record = StoredRecord(self.end, content)
        self._records.append(record)
        if in_transaction:
            self._open.add(record.offset)
        return record

    def settle(self, offset: int, *, committed: bool) -> None:
        """End the transaction of the record at `offset`."""
        self._open.discard(offset)
        if not committed:
            self._aborted.add(offset)

    def read(self, offset: int) -> Iterator[StoredRecord]:
        """Yield the readable records from `offset` on."""
        for record in self._records[offset : self.stable_end]:
            if record.offset not in self._aborted:
                yield record

    def first_at(self, timestamp: int) -> StoredRecord | None:
        """Return the first readable record at or after `timestamp`, unix ms."""
        return next((r for r in self.read(0) if r.content.timestamp >= timestamp), None)
