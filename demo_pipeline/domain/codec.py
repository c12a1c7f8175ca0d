"""Messages as Kafka records: Avro values with the id of their schema, CloudEvents headers.

Values are in the wire format of Confluent's serializers: a zero byte, the id of the schema as four
bytes, and the Avro data. The type of the message is in `ce_type`.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from itertools import cycle
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastavro import schemaless_reader, schemaless_writer

import tracing
from demo_pipeline.domain.events import CustomerNotified
from demo_pipeline.domain.schemas import committed
from demo_pipeline.domain.topics import PIPELINE, TOPIC_OF

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord

    from demo_pipeline.domain.messages import Message
    from demo_pipeline.domain.schemas import Schema, Schemas

_FRAME: Final = struct.Struct(">BI")
_MAGIC: Final = 0
# What Avro has a type for, although JSON has none.
_NATIVE: Final = (date,)
_IDENTITIES: Final = uuid.UUID("5e3dbb1c-0f0e-4c27-9e9f-6d4f3d1f5a77")


@dataclass(frozen=True, slots=True)
class _Written:
    """How messages of a type are written."""

    schema: Schema
    frame: bytes


class Codec:
    """Encodes and decodes messages. Decode in one event loop; one other thread may encode.

    Readers skip fields that they do not know and fill in defaults for those that are missing, so
    that writers and readers may have different versions of a schema.

    Args:
        schemas: Where the ids of schemas come from; by default the committed history.
        telemetry: What the service's clients share: written and read schemas are counted, and are
            on the spans. By default it uses the global providers.
        writes: The versions to write in turn, by the name of the message; by default the newest.
        reads: The version to read with, by the name of the message; by default the newest.

    Raises:
        LookupError: There is no such version.
    """

    def __init__(
        self,
        schemas: Schemas | None = None,
        *,
        telemetry: tracing.Telemetry | None = None,
        writes: Mapping[str, Sequence[int]] = MappingProxyType({}),
        reads: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        history = committed()
        self._schemas = history if schemas is None else schemas
        self._writers: dict[type, Iterator[_Written]] = {}
        self._readers: dict[str, tuple[type[Message], Schema]] = {}
        for message in TOPIC_OF:
            name = message.__name__
            written = [history.released(name, each) for each in writes.get(name, (None,))]
            self._writers[message] = cycle([self._written(schema) for schema in written])
            self._readers[name] = message, history.released(name, reads.get(name))
        read = (schema for _, schema in self._readers.values())
        self._report = tracing.Schemas(
            telemetry or tracing.Telemetry(PIPELINE),
            self._schemas.versions,
            reader_versions={each.subject: each.version for each in read if each.version},
        )

    def _written(self, schema: Schema) -> _Written:
        return _Written(schema, _FRAME.pack(_MAGIC, self._schemas.id_of(schema)))

    def encode(self, message: Message) -> bytes:
        """Encode a message as the value of its record."""
        writer = next(self._writers[type(message)])
        value = BytesIO()
        value.write(writer.frame)
        fields = msgspec.to_builtins(message, builtin_types=_NATIVE)
        schemaless_writer(value, writer.schema.parsed, fields)
        encoded = value.getvalue()
        self._report.written(encoded, topic=TOPIC_OF[type(message)])
        return encoded

    async def decode(self, record: ConsumerRecord[Any, Any]) -> Message | None:
        """Decode a record; return `None` for an unknown type, or without a type.

        It waits for nothing, except for a registry that has to be asked for an unknown schema.

        Raises:
            tracing.UndecodableRecord: The record claims to be one of our messages, and is not.
        """
        envelope = tracing.CloudEvent.from_headers(record.headers)
        reader = None if envelope is None else self._readers.get(envelope.type)
        if reader is None:
            return None
        with self._report.reading(record):
            return await self._decoded(record, *reader)

    async def _decoded(
        self, record: ConsumerRecord[Any, Any], message: type[Message], schema: Schema
    ) -> Message:
        value = record.value
        if not value:
            raise tracing.UndecodableRecord(
                f"{record.topic}[{record.partition}] is an empty message"
            )
        written = await self._written_with(value)
        if written.subject != schema.subject:
            raise tracing.UndecodableRecord(
                f"the value is a {written.subject}, but its header ce_type says {message.__name__}"
            )
        return _read(value, written, schema, message)

    async def _written_with(self, value: bytes) -> Schema:
        """Return the schema that a value was written with.

        Raises:
            tracing.UndecodableRecord: It names none, or one that does not exist.
        """
        if len(value) < _FRAME.size or value[0] != _MAGIC:
            raise tracing.UndecodableRecord
        _, schema_id = _FRAME.unpack_from(value)
        schema = await self._schemas.find(schema_id)
        if schema is None:
            raise tracing.UnknownSchema
        return schema


def _read(value: bytes, written: Schema, schema: Schema, message: type[Message]) -> Message:
    """Read the Avro data of a value, inside of a block that completes errors without a message.

    Args:
        value: The value, with its frame.
        written: The schema that it was written with.
        schema: The schema to read it with.
        message: The type to read.

    Raises:
        tracing.UndecodableRecord: The data does not fit.
    """
    data = BytesIO(value)
    data.seek(_FRAME.size)
    try:
        fields = schemaless_reader(
            data, written.parsed, None if written is schema else schema.parsed
        )
        read = msgspec.convert(fields, message, builtin_types=_NATIVE)
    except Exception as error:  # arbitrary bytes lead to errors of many types
        raise tracing.UndecodableRecord from error
    left = len(value) - data.tell()
    if left:
        raise tracing.UndecodableRecord(
            f"the value is longer than {written}; bytes left over: {left:,}"
        )
    return read


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Return the CloudEvents headers of a message.

    The id is derived from the message, so a message that is sent again has the same id.
    """
    name = type(message).__name__
    order_id = message.order.order_id
    return tracing.cloudevent(
        type=name,
        id=str(uuid.uuid5(_IDENTITIES, f"{name}/{order_id}{_which(message)}")),
        subject=order_id,
        content_type="application/avro",
    )


def _which(message: Message) -> str:
    """Distinguish messages of one type and order, where there can be several."""
    if isinstance(message, CustomerNotified):
        return f"/{message.about}"
    attempt = getattr(message, "attempt", 1)
    return f"/{attempt}" if attempt > 1 else ""
