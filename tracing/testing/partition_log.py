"""One partition's records, in order, with what transactions hide of them."""

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
        offset: Its place in the partition.
        content: What the producer sent.
    """

    offset: int
    content: RecordContent


@dataclass(slots=True)
class PartitionLog:
    """The records of one partition.

    A transaction's records take their offsets at once. Readers stop in front of the first one
    whose transaction is open, and pass over those whose transaction was aborted.
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
        """Iterate over the readable records from `offset` on."""
        for record in self._records[offset : self.stable_end]:
            if record.offset not in self._aborted:
                yield record

    def first_at(self, timestamp: int) -> StoredRecord | None:
        """Find the first readable record that is not older than `timestamp`, unix ms."""
        return next((r for r in self.read(0) if r.content.timestamp >= timestamp), None)
