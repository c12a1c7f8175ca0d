"""One key or value on its way through a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current

from tracing.core.otel_context import PROCESSING_KEY, SPAN_KEY
from tracing.core.text import MAX_PRINTABLE, printable
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.processing import record_in
from tracing.messaging.process import Processing
from tracing.messaging.process_batch import BatchProcessing
from tracing.metrics.schema_metrics import READ, UNKNOWN_ID
from tracing.schemas.errors import UndecodableRecord, undecodable, unknown
from tracing.schemas.failures import failure_of
from tracing.schemas.wire import schema_id

if TYPE_CHECKING:
    from types import TracebackType

    from tracing.schemas.counts import KnownSchema, SchemaCounts
    from tracing.schemas.wire import SchemaUse
    from tracing.telemetry import Telemetry


class Reading:
    """A block that decodes a key or value; made by `Schemas.reading`.

    It counts how the block ends, notes the schema on the span of the record's handling, and
    replaces an error that says that the bytes cannot be decoded by `UndecodableRecord`. All other
    errors leave the block unchanged. A value of `None`, a tombstone, has no schema and is not
    counted.

    Args:
        telemetry: What the service's clients share.
        counts: Counts the outcome.
        data: The key or value, as bytes.
        context: What the caller knows of it, if it has a `SerializationContext`.
        key: Whether it is the key, where no context says so.
        record: The record that has it, if the caller knows.
    """

    # Flat code and slots: one of these is made for every record.
    __slots__ = ("_counts", "_data", "_key", "_record", "_span", "_telemetry", "_topic", "_use")

    def __init__(
        self,
        telemetry: Telemetry,
        counts: SchemaCounts,
        data: object,
        context: object,
        record: Any = None,
        *,
        key: bool,
    ) -> None:
        self._telemetry = telemetry
        self._counts = counts
        self._data = data
        self._record = record
        self._key = key
        self._topic = ""
        # A span, unless an application has put something else into its context.
        self._span: Any = None
        self._use: SchemaUse | None = None
        try:
            self._topic, headers, self._key = of_context(context, key=key)
            self._locate(headers)
        except Exception as fault:
            telemetry.diagnostics.failed("schema", fault)

    def _locate(self, headers: object) -> None:
        """Find the record, its span and its schema."""
        data, current = self._data, get_current()
        handling = current.get(PROCESSING_KEY)
        if isinstance(handling, (Processing, FlatHandling)):
            handled = record_in(current)
            if (
                handled.value is data
                or handled.key is data
                or handled is self._record
                # The bytes may have been changed on the way: by decryption.
                or handled.topic == self._topic
            ):
                self._record = handled
                self._span = handling.span if isinstance(handling, Processing) else handling
        elif isinstance(handling, BatchProcessing):
            # Its one span stands for records of several schemas.
            if self._record is None:
                self._record = next(
                    (each for each in handling.records if each.value is data or each.key is data),
                    None,
                )
        else:
            self._span = current.get(SPAN_KEY)
        if self._record is not None:
            self._topic = self._topic or self._record.topic
            headers = headers or self._record.headers
        identity = schema_id(data, headers, key=self._key)
        if identity is not None:
            self._use = identity, self._topic, self._key

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if exc is None:
            self.succeeded()
        elif isinstance(exc, Exception) and (error := self.failed(exc)) is not None:
            raise error from exc

    def succeeded(self) -> None:
        """Count the record as read. Never raises."""
        if self._data is not None:
            self._note(self._counts.succeeded(READ, self._use))

    def failed(self, error: Exception) -> UndecodableRecord | None:
        """Count the record, and return the error to raise instead; `None` if it stays as it is.

        Never raises.
        """
        try:
            return self._failed(error)
        except Exception as fault:
            self._telemetry.diagnostics.failed("schema", fault)
            return None

    def _failed(self, error: Exception) -> UndecodableRecord | None:
        identity = None if self._use is None else self._use[0]
        outcome = failure_of(error, identity)
        own = error if isinstance(error, UndecodableRecord) else None
        if outcome is None or (own is None and self._data is None):
            return None
        if own is not None and own.counted:
            # By another block in this one.
            return None
        known = self._counts.known(self._use)
        if isinstance(error, LookupError) and known.missing:
            # A decoder without a registry looked for the id in a mapping as well.
            outcome = UNKNOWN_ID
        self._counts.failed(outcome, known)
        self._note(known)
        complete = self._complete(outcome, known, error)
        if own is not None and own.args:
            own.schema_id, own.counted = complete.schema_id, True
            return None
        return complete

    def _complete(self, outcome: str, known: KnownSchema, error: Exception) -> UndecodableRecord:
        place, part = _place(self._record, self._topic), "key" if self._key else "value"
        identity = None if self._use is None else self._use[0]
        cause = error.__cause__ if isinstance(error, UndecodableRecord) else error
        if outcome == UNKNOWN_ID and identity is not None:
            return unknown(place, part, identity, cause)
        return undecodable(place, part, identity, known.version, known.reader, cause)

    def _note(self, known: KnownSchema) -> None:
        """Note the schema of a value on the span of its handling. Never raises."""
        span = self._span
        if self._key or span is None or not known.as_read:
            return
        try:
            if span.is_recording():
                self._telemetry.spans.enrich(span, known.as_read.copy())
        except Exception as fault:
            self._telemetry.diagnostics.failed("schema", fault)


def of_context(context: Any, *, key: bool) -> tuple[str, object, bool]:
    """Return the topic and headers that a `SerializationContext` has, and whether it is a key's.

    It may be something else: a second argument of the user's own function. Never raises.
    """
    if context is None:
        return "", None, key
    try:
        # Its `field` is a member of an enum of texts: `key` or `value`.
        key = key or context.field == "key"
        topic = context.topic
        return topic if isinstance(topic, str) else "", context.headers, key
    except Exception:
        return "", None, key


def _place(record: Any, topic: str) -> str:
    """Return where a record is, for people; as much of it as is known."""
    if not topic:
        return "a record"
    name = printable(topic, MAX_PRINTABLE)
    partition, offset = getattr(record, "partition", None), getattr(record, "offset", None)
    if isinstance(partition, int) and isinstance(offset, int):
        return f"{name}[{partition}] offset {offset}"
    return f"a record of {name}"
