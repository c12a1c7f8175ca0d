"""A transactional outbox: records that are sent if, and only if, the transaction commits."""

from __future__ import annotations

from functools import partial
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current
from opentelemetry.trace import get_current_span
from sqlalchemy import MetaData, insert

from tracing.core.bounded import BoundedDict
from tracing.core.otel_context import SUPPRESSED
from tracing.core.text import plain_text
from tracing.headers import cloudevents
from tracing.headers.codec import latest, without
from tracing.headers.dead_letter import unmarked
from tracing.kafka.transport import is_topic_name
from tracing.sql.outbox_rows import AddedRecords, StoredRecord, checked, pack, place_of
from tracing.sql.tables import outbox_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.headers.codec import Header
    from tracing.telemetry import Telemetry


class SqlOutbox:
    """Stores records in the transaction of the effect that they announce.

    An `OutboxRelay` sends them.

    Args:
        telemetry: The telemetry that the service's clients share.
        service: The service that owns the outbox, as on the metrics.
        metadata: The metadata of the table; by default a new one.
        table_name: The table's name.

    Task and thread safety: any number of tasks and threads, each with its own connection.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        service: str,
        metadata: MetaData | None = None,
        table_name: str = "outbox",
    ) -> None:
        self._telemetry = telemetry
        self._service = plain_text(service, "service")
        self._table = outbox_table(MetaData() if metadata is None else metadata, table_name)
        # Without the number that the database gives the row: reading it would cost a round trip.
        self._insert = insert(self._table).inline()
        self._insert_numbered = insert(self._table).returning(self._table.c.sequence)
        self._completions = BoundedDict(partial(cloudevents.Completion, telemetry.source))

    @property
    def table(self) -> Table:
        """The table; create it before the first record is added."""
        return self._table

    @property
    def telemetry(self) -> Telemetry:
        """The telemetry that the service's clients share."""
        return self._telemetry

    @property
    def service(self) -> str:
        """The service that owns the outbox."""
        return self._service

    async def add(
        self,
        connection: AsyncConnection,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Iterable[Header] | None = None,
        partition: int | None = None,
    ) -> None:
        """Store a record in the connection's transaction; a relay sends it after the commit.

        The current span becomes the parent of the record's `send` span. The event's id and time
        are fixed now, so a record that is sent twice is the same event. Without CloudEvents
        (`Telemetry(cloudevents=False)`) a consumer cannot recognize the second one.

        Records of one topic and key are sent in the order in which they were added. If several
        transactions announce changes of the same row, change the row before you add the record:
        then they add their records in the order in which they commit.

        Args:
            connection: Inside the transaction that applies the effect.
            topic: The record's topic.
            value: The serialized value.
            key: The serialized key.
            headers: The headers; those of the trace context are replaced, and marks of a replay
                are removed.
            partition: The partition; by default the producer chooses.

        Raises:
            TypeError: An argument is of a type that no producer sends; the message names it.
            ValueError: There is neither key nor value, or the topic or the partition cannot exist.
        """
        row = self.row(topic, value, key=key, headers=headers, partition=partition)
        await connection.execute(self._insert, row)

    def add_in(
        self,
        connection: Connection,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Iterable[Header] | None = None,
        partition: int | None = None,
    ) -> None:
        """Do the same as `add`, in a plain function that runs a whole transaction.

        The function may run in a worker thread; see `Transactions`. Then the thread needs a copy
        of the handler's context, because the current span becomes the parent.

        Args:
            connection: Inside the transaction that applies the effect.
            topic: The record's topic.
            value: The serialized value.
            key: The serialized key.
            headers: The headers.
            partition: The partition; by default the producer chooses.

        Raises:
            TypeError: An argument is of a type that no producer sends; the message names it.
            ValueError: There is neither key nor value, or the topic or the partition cannot exist.
        """
        connection.execute(
            self._insert, self.row(topic, value, key=key, headers=headers, partition=partition)
        )

    def add_all_in(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Store several records, with one statement, in the order in which they are given.

        Args:
            connection: Inside the transaction that applies the effects.
            rows: What `row` returned for each of them.
        """
        if rows:
            connection.execute(self._insert, rows)

    def hand_over_in(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> AddedRecords:
        """Do the same as `add_all_in`; return the records for `OutboxRelay.wake`.

        After the commit, a relay in the same process sends them without reading them again::

            def place(connection: Connection) -> AddedRecords:
                ...  # the effect
                return outbox.hand_over_in(connection, [outbox.row("orders", value, key=key)])

            relay.wake(await transactions.run(place))

        Args:
            connection: Inside the transaction that applies the effects.
            rows: What `row` returned for each of them.

        Returns:
            The records. Pass them on only after the commit: a relay sends them at once, also if
            their transaction is rolled back. It has none on PostgreSQL, where a relay has to read
            them: others may have added earlier ones of the same key.
        """
        outbox = place_of(connection.engine, self._table)
        if connection.dialect.name != "sqlite" or not rows:
            self.add_all_in(connection, rows)
            return AddedRecords(outbox)
        # SQLite numbers rows in the order of the statement, and may return them in another one.
        numbers = sorted(connection.scalars(self._insert_numbered, rows))
        records = (
            StoredRecord(
                number,
                row["topic"],
                row["key"],
                row["value"],
                row["partition"],
                row["headers"],
                row["created_at"],
            )
            for number, row in zip(numbers, rows, strict=True)
        )
        return AddedRecords(outbox, tuple(records))

    def row(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Iterable[Header] | None = None,
        partition: int | None = None,
    ) -> dict[str, object]:
        """Return the row of a record, for `add_all_in`. It continues the current span.

        Args:
            topic: The record's topic.
            value: The serialized value.
            key: The serialized key.
            headers: The headers.
            partition: The partition; by default the producer chooses.

        Raises:
            TypeError: An argument is of a type that no producer sends; the message names it.
            ValueError: There is neither key nor value, or the topic or the partition cannot exist.
        """
        for name, content in (("key", key), ("value", value)):
            if not isinstance(content, bytes | None):
                raise TypeError(f"{name} must be bytes or None, not {type(content).__name__}")
        # Checked now: once committed, a record that no producer accepts would fail for ever.
        if key is None and value is None:
            raise ValueError("a record needs a key or a value")
        topic = plain_text(topic, "topic")
        if not is_topic_name(topic):
            raise ValueError(f"{topic!r} cannot be the name of a topic")
        if not isinstance(partition, int | None):
            raise TypeError(f"partition must be an int or None, not {type(partition).__name__}")
        if partition is not None and partition < 0:
            raise ValueError(f"partition must not be negative, not {partition!r}")
        now_ms = time_ns() // 1_000_000
        checked_headers = checked(() if headers is None else headers)
        return {
            "topic": topic,
            "key": key,
            "value": value,
            "partition": partition,
            "headers": pack(self._completed(topic, checked_headers, now_ms)),
            "created_at": now_ms,
        }

    def _completed(self, topic: str, headers: list[Header], now_ms: int) -> list[Header]:
        telemetry = self._telemetry
        present = latest(headers)
        outgoing = unmarked(headers, present).copy()
        try:
            if telemetry.cloudevents:
                self._completions[topic].add_to(outgoing, present, now_ms)
            context = get_current()
            creation = get_current_span(context)
            fields = telemetry.propagation.fields
            # Without a current span, a forwarded record keeps its context, as in a send.
            forwarded = not (creation.get_span_context().is_valid or fields.isdisjoint(present))
            if forwarded or context.get(SUPPRESSED):
                return outgoing
            injected = without(outgoing, fields)
            telemetry.propagation.inject(injected, creation, context, topic, now_ms)
        except Exception as fault:
            telemetry.diagnostics.failed("send", fault)
            return outgoing
        return injected
