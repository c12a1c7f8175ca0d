"""Apply each event once: the inbox that remembers events, and reports of duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from opentelemetry import trace

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.messaging.current import current_batch, current_processing
from tracing.metrics import catalog

if TYPE_CHECKING:
    from tracing.headers.codec import Record
    from tracing.headers.identity import EventIdentity
    from tracing.metrics.instruments import Count
    from tracing.telemetry import Telemetry


Connection_contra = TypeVar("Connection_contra", contravariant=True)
"""A connection of the application's database that is inside a transaction."""


class Inbox(Protocol[Connection_contra]):
    """Remembers which events a consumer group has applied, in the transaction that applies them.

    `tracing.sql.SqlInbox` is one for SQLAlchemy.
    """

    async def accept(self, connection: Connection_contra, record: Record) -> bool:
        """Note in the connection's transaction that a record's event is being applied.

        Returns:
            Whether to apply it: `False` where that was done before.
        """


class Duplicates:
    """Counts a group's duplicates by topic and notes each on the current span. Never raises.

    Args:
        telemetry: What the service's clients share.
        group: The consumer group that skips them.

    Task and thread safety: any number of tasks and threads. Each thread has its own counter.
    """

    def __init__(self, telemetry: Telemetry, group: str) -> None:
        self._telemetry = telemetry
        self._group = group
        self._expected = BoundedDict(self._count)

    def expect(self, topic: str) -> None:
        """Let the counter of a topic exist, with 0, before there is a duplicate."""
        if topic not in self._expected:
            try:
                self._expected[topic]
            except Exception as fault:
                self._telemetry.diagnostics.failed("duplicate", fault)

    def skipped(self, topic: str, identity: EventIdentity) -> None:
        """Report a message that is skipped."""
        try:
            # Not the expected one, which may belong to another thread.
            self._count(topic).value += 1
            processing = current_processing()
            if processing is not None:
                processing.duplicate()
            elif (batch := current_batch()) is not None:
                batch.duplicate(identity)
            trace.get_current_span().add_event(semconv.DUPLICATE, {semconv.MESSAGE_ID: identity.id})
        except Exception as fault:
            self._telemetry.diagnostics.failed("duplicate", fault)

    def _count(self, topic: str) -> Count:
        labels = {semconv.DESTINATION: topic, semconv.GROUP: self._group}
        return self._telemetry.metrics.count(catalog.DUPLICATES, labels)
