"""The hook for what decodes and encodes messages.

With `schemas = tracing.Schemas(telemetry, lookup)`, where `lookup` is a mapping of ids to
`(subject, version)`, a function or a registry client:

- `schemas.deserializer(f)` and `schemas.serializer(f)` stand in for functions and objects that
  decode and encode, sync or async, Confluent's or plain ones;
- `with schemas.reading(record):` is the block in which a codec decodes by hand, async or not. It
  may raise `tracing.UndecodableRecord` or its subclass `tracing.UnknownSchema`, without a message
  or with one of its own; other errors are recognized;
- `schemas.written(value, topic=...)` reports bytes that a codec has encoded;
- `tracing.schema_id(value, headers)` reads the id alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from tracing.messaging.send import SERIALIZING
from tracing.metrics.schema_metrics import WRITTEN
from tracing.schemas.counts import SchemaCounts
from tracing.schemas.reading import Reading, of_context
from tracing.schemas.sources import source_of
from tracing.schemas.wire import schema_id
from tracing.schemas.wrappers import Deserializer, Serializer, not_twice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracing.core.semconv import AttributeValue
    from tracing.headers.codec import Record
    from tracing.schemas.sources import SchemaSource
    from tracing.telemetry import Telemetry

Function = TypeVar("Function", bound="Callable[..., Any]")


class Schemas:
    """Counts the schemas that messages are written and read with, and notes them on spans.

    Give it what decodes and encodes your messages, and use what it returns in its place. It takes
    the sync and async serializers of `confluent_kafka.schema_registry`, which are called with a
    `SerializationContext`, and plain functions of bytes or objects, as for `value_deserializer`::

        schemas = tracing.Schemas(telemetry, registry_client)
        decode = schemas.deserializer(AvroDeserializer(registry_client))
        encode = schemas.serializer(AvroSerializer(registry_client, ORDER_PLACED))

        async def handle(record):
            order = decode(record.value, SerializationContext(record.topic, MessageField.VALUE))

    A hand-written decoder, async or not, runs in a block; an encoder reports what it has made::

        with schemas.reading(record):
            order = await codec.decode(record.value)
        schemas.written(value, topic="orders")

    The schema is known by its id in the bytes or headers (Confluent's wire format), and its subject
    and version by `lookup`: until they are known, they are `unknown`. A lookup never delays a
    message.

    Bytes that cannot be decoded raise `UndecodableRecord`, and those with an id that the registry
    does not know `UnknownSchema`: neither is retried, and a dead letter says what is wrong. All
    other errors pass through as they are, such as those of a registry that is down.

    Where a value is decoded while its record is handled, the process span has the schema's id,
    subject and version. A consumer's own deserializer runs before there is that span: its records
    are only counted. The span of a send has them where the value is bytes when it is sent, or where
    the producer's own serializer is one of these.

    Args:
        telemetry: What the service's clients share.
        lookup: Where subject and version of an id come from: a mapping of ids to `(subject,
            version)`; a function of an id that returns them, or `None`; or a sync or async client
            of `confluent_kafka.schema_registry`. A plain function or client is called in a thread
            of its own. An id is looked up once; one that could not be, again after a minute. Ids
            are numbers, or `uuid.UUID` for those of headers.
        reader_versions: The versions that this service reads with, by subject. Where a message was
            written with another one, its process span has both.

    Raises:
        TypeError: `lookup` is of another type.

    Thread safety: it, and what it returns, can be used from any thread.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        lookup: SchemaSource | None = None,
        *,
        reader_versions: Mapping[str, int] | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._counts = SchemaCounts(telemetry, source_of(lookup), reader_versions or {})
        telemetry.describe_schema = self._of_sent

    def deserializer(self, deserialize: Function, *, key: bool = False) -> Function:
        """Return a deserializer that does the same, and is counted.

        Args:
            deserialize: A function of bytes, and perhaps of a `SerializationContext`. Attributes
                of it are attributes of the result, too.
            key: Whether it decodes keys, where no `SerializationContext` says so.

        Raises:
            TypeError: It cannot be called.
        """
        if not_twice(deserialize):
            return deserialize
        return cast("Function", Deserializer(deserialize, self._begin, key=key))

    def serializer(self, serialize: Function, *, key: bool = False) -> Function:
        """Return a serializer that does the same, and is counted; arguments as `deserializer`."""
        if not_twice(serialize):
            return serialize
        return cast("Function", Serializer(serialize, self._serialized, key=key))

    def reading(self, record: Record, *, key: bool = False) -> Reading:
        """Return the block in which a record's value, or key, is decoded by hand.

        Args:
            record: The record, its key and value as bytes.
            key: Whether its key is decoded.
        """
        data = getattr(record, "key" if key else "value", None)
        return Reading(self._telemetry, self._counts, data, None, record, key=key)

    def written(
        self, value: object, *, topic: str = "", headers: object = None, key: bool = False
    ) -> None:
        """Count a value, or key, that was encoded by hand. Never raises.

        Args:
            value: The bytes; `None`, a tombstone, is not counted.
            topic: Where it goes. It chooses the subject where several share a schema.
            headers: The message's headers, if the schema's id is in them.
            key: Whether it is a key.
        """
        self._count(value, topic, headers, key=key)

    def _count(
        self, value: object, topic: str, headers: object, *, key: bool
    ) -> dict[str, AttributeValue]:
        """Count a key or value that was written, and describe its schema."""
        if value is None:
            return {}
        identity = schema_id(value, headers, key=key)
        use = None if identity is None else (identity, topic, key)
        return self._counts.succeeded(WRITTEN, use).as_written

    def _begin(self, data: object, context: object, key: bool) -> Reading:  # noqa: FBT001 - as called
        return Reading(self._telemetry, self._counts, data, context, key=key)

    def _serialized(self, value: object, context: object, key: bool) -> None:  # noqa: FBT001 - as called
        try:
            topic, headers, key = of_context(context, key=key)
            attributes = self._count(value, topic, headers, key=key)
            span = SERIALIZING.get()
            if span is not None and not key:
                # A producer calls its serializers within the send; the next call is another's.
                SERIALIZING.set(None)
                self._telemetry.spans.enrich(span, attributes.copy())
        except Exception as fault:
            self._telemetry.diagnostics.failed("schema", fault)

    def _of_sent(self, topic: str, value: object, headers: object) -> dict[str, AttributeValue]:
        """Describe the schema of what is sent; nothing where it is not known. Never raises."""
        try:
            identity = schema_id(value, headers) if isinstance(value, bytes) else None
            if identity is None:
                return {}
            # A serializer that learns no topic has looked it up without.
            for name in (topic, ""):
                known = self._counts.known((identity, name, False))
                # Other bytes may look like an id that there is not.
                if known.version is not None:
                    return known.as_written
        except Exception as fault:
            self._telemetry.diagnostics.failed("schema", fault)
        return {}
