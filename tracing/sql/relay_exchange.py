"""One exchange of a relay with its database: delete what was sent, and read what comes next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from tracing.sql.outbox_rows import OrderKey, OutboxRows, StoredRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What to read.

    Attributes:
        limit: The maximum number of records.
        in_progress: The sequences of records that are being sent.
        left_out: The keys whose records wait.
        failing: The topics with failures that may be tried. They get a share of the limit.
        blocked: The topics with too many waiting keys.
        share: How many of them may be of failing topics.
    """

    limit: int
    in_progress: Collection[int]
    left_out: Collection[OrderKey]
    failing: Collection[str] = ()
    blocked: Collection[str] = ()
    share: int = 0

    @property
    def is_of_all(self) -> bool:
        """Whether it leaves out no records but those that are being sent."""
        return not (self.left_out or self.failing or self.blocked)


@dataclass(slots=True)
class Answer:
    """What the database answered.

    Attributes:
        retried: The records of failing topics.
        records: The other records.
        capacity: The maximum number of the other records.
        complete: Whether they are all records of the outbox but those that are being sent.
        backlog: The number of records in the outbox and when the oldest was stored, unix ms; `None`
            if it was not measured.
    """

    retried: list[StoredRecord] = field(default_factory=list)
    records: list[StoredRecord] = field(default_factory=list)
    capacity: int = 0
    complete: bool = False
    backlog: tuple[int, int | None] | None = None

    @property
    def highest(self) -> int:
        """The highest sequence of a record; 0 without any."""
        # Each list is in the order of the sequences.
        return max((each[-1].sequence for each in (self.retried, self.records) if each), default=0)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The statements of one transaction, as a plain function: it may run in another thread.

    Attributes:
        rows: The outbox.
        acknowledged: The sequences of the records to delete.
        reading: What to read; `None` for nothing.
        measures: Whether to measure the backlog, unless the records that are read show it.
    """

    rows: OutboxRows
    acknowledged: Collection[int] = ()
    reading: Reading | None = None
    measures: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.acknowledged or self.reading or self.measures)

    def __call__(self, connection: Connection) -> Answer:
        """Delete, read and measure, in this order."""
        answer = Answer()
        if self.acknowledged:
            self.rows.delete(connection, self.acknowledged)
        if self.reading is not None:
            self._read(connection, self.reading, answer)
        if self.measures and not answer.complete:
            answer.backlog = self.rows.measure(connection)
        return answer

    def _read(self, connection: Connection, reading: Reading, answer: Answer) -> None:
        answer.capacity = reading.limit
        if reading.failing:
            answer.retried = self.rows.read(
                connection,
                reading.share,
                without=reading.in_progress,
                without_keys=reading.left_out,
                topics=reading.failing,
            )
            answer.capacity -= len(answer.retried)
        answer.records = self.rows.read(
            connection,
            answer.capacity,
            without=reading.in_progress,
            without_keys=reading.left_out,
            without_topics={*reading.failing, *reading.blocked},
        )
        answer.complete = reading.is_of_all and len(answer.records) < answer.capacity
