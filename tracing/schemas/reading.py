"""One key or value on its way through a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN

from tracing.core import semconv
from tracing.core.text import MAX_PRINTABLE, printable
from tracing.messaging.current import current_batch, current_processing
from tracing.metrics.schema_metrics import READ, UNKNOWN_ID
from tracing.schemas.errors import UndecodableRecord, undecodable, unknown
from tracing.schemas.failures import failure_of
from tracing.schemas.wire import SchemaUse, schema_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from opentelemetry.trace import Span

    from tracing.core.semconv import AttributeValue
    from tracing.schemas.counts import SchemaCounts
    from tracing.schemas.wire import SubjectVersion
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
        reader_versions: The versions that this service reads with, by subject.
        data: The key or value, as bytes.
        record: The record that has it, if the caller knows.
        topic: The record's topic, if the caller knows.
        headers: The record's headers, if the caller knows.
        key: Whether it is the key.
    """

    __slots__ = (
        "_counts",
        "_data",
        "_key",
        "_reader_versions",
        "_record",
        "_span",
        "_telemetry",
        "_topic",
        "_use",
    )

    def __init__(
        self,
        telemetry: Telemetry,
        counts: SchemaCounts,
        reader_versions: Mapping[str, int],
        data: object,
        *,
        record: Any = None,
        topic: str = "",
        headers: object = None,
        key: bool = False,
    ) -> None:
        self._telemetry = telemetry
        self._counts = counts
        self._reader_versions = reader_versions
        self._data = data
        self._record = record
        self._topic = topic
        self._key = key
        self._span: Span = INVALID_SPAN
        self._use: SchemaUse | None = None
        try:
            self._locate(headers)
        except Exception as fault:
            telemetry.diagnostics.failed("schema", fault)

    def _locate(self, headers: object) -> None:
        """Find the record, its span and its schema."""
        processing, data = current_processing(), self._data
        if processing is not None:
            handled = processing.record
            own = handled.value is data or handled.key is data
            if own or handled is self._record or handled.topic == self._topic:
                # Where only the topic says so, the bytes were changed on the way: by decryption.
                self._record = handled
                self._span = processing.span
        elif (batch := current_batch()) is not None:
            # Its one span stands for records of several schemas.
            if self._record is None:
                self._record = next(
                    (each for each in batch.records if each.value is data or each.key is data), None
                )
        else:
            self._span = trace.get_current_span()
        if self._record is not None:
            self._topic = self._topic or self._record.topic
            headers = headers or self._record.headers
        identity = schema_id(data, headers, key=self._key)
        if identity is not None:
            self._use = SchemaUse(identity, self._topic, self._key)

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
        if self._data is None:
            return
        known = self._counts.succeeded(READ, self._use)
        self._note(known.version)

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
        outcome = failure_of(error)
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
        self._note(known.version)
        complete = self._complete(outcome, known.version, error)
        if own is not None and own.args:
            own.schema_id, own.counted = complete.schema_id, True
            return None
        return complete

    def _complete(
        self, outcome: str, version: SubjectVersion | None, error: Exception
    ) -> UndecodableRecord:
        place, part = _place(self._record, self._topic), "key" if self._key else "value"
        identity = None if self._use is None else self._use.schema_id
        cause = error.__cause__ if isinstance(error, UndecodableRecord) else error
        if outcome == UNKNOWN_ID and identity is not None:
            return unknown(place, part, identity, cause)
        return undecodable(place, part, identity, version, self._reader(version), cause)

    def _reader(self, version: SubjectVersion | None) -> int | None:
        return None if version is None else self._reader_versions.get(version[0])

    def _note(self, version: SubjectVersion | None) -> None:
        """Note the schema of a value on the span of its handling. Never raises."""
        if self._key or self._use is None or not self._span.is_recording():
            return
        try:
            attributes = described(self._use, version)
            reader = self._reader(version)
            if version is not None and reader not in {None, version[1]}:
                attributes[semconv.SCHEMA_READER_VERSION] = reader
            self._telemetry.spans.enrich(self._span, attributes)
        except Exception as fault:
            self._telemetry.diagnostics.failed("schema", fault)


def described(use: SchemaUse, version: SubjectVersion | None) -> dict[str, AttributeValue]:
    """Describe a schema on a span."""
    attributes: dict[str, AttributeValue] = {semconv.SCHEMA_ID: str(use.schema_id)}
    if version is not None:
        attributes[semconv.SCHEMA_SUBJECT], attributes[semconv.SCHEMA_VERSION] = version
    return attributes


def _place(record: Any, topic: str) -> str:
    """Return where a record is, for people; as much of it as is known."""
    if not topic:
        return "a record"
    name = printable(topic, MAX_PRINTABLE)
    partition, offset = getattr(record, "partition", None), getattr(record, "offset", None)
    if isinstance(partition, int) and isinstance(offset, int):
        return f"{name}[{partition}] offset {offset}"
    return f"a record of {name}"
