"""The id of the schema that bytes were written with, as Confluent's serializers write it.

It stands before the payload, or in a header: a byte 0 and four bytes of a number (the wire format
of all versions), or a byte 1 and the 16 bytes of a GUID (since confluent-kafka 2.10). A header,
`__value_schema_id` or `__key_schema_id`, comes before the payload, as in Confluent's own
deserializers. See https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final, NamedTuple
from uuid import UUID

from tracing.headers.codec import MAX_SCANNED

SchemaId = int | UUID
"""A number, which one registry gives, or a GUID, which is the same in all of them."""

SubjectVersion = tuple[str, int]
"""The subject of a schema in its registry, and the version there."""

VALUE_HEADER: Final = "__value_schema_id"
KEY_HEADER: Final = "__key_schema_id"

_NUMBER: Final = 0
_GUID: Final = 1
_NUMBER_END: Final = 5
_GUID_END: Final = 17
_PAIR: Final = 2


class SchemaUse(NamedTuple):
    """An id, and where it was met; a tuple, because it is looked up for every record.

    Attributes:
        schema_id: The id.
        topic: The topic of the record; empty where it is not known.
        key: Whether it is the id of a key.
    """

    schema_id: SchemaId
    topic: str
    key: bool

    @property
    def topic_subject(self) -> str:
        """The subject that a registry's clients give a topic's schema by default."""
        return f"{self.topic}-{'key' if self.key else 'value'}"


def schema_id(value: object, headers: object = None, *, key: bool = False) -> SchemaId | None:
    """Return the id of the schema that a value was written with; `None` where there is none.

    Any objects may come in: it never raises, and its work is bounded. It does not look at the
    payload after the id.

    Args:
        value: The value, or the key, as bytes.
        headers: The message's headers, as pairs or as a mapping; the first one of a name counts,
            as for Confluent's deserializers.
        key: Whether it is the message's key.
    """
    try:
        written = _in_headers(headers, KEY_HEADER if key else VALUE_HEADER) if headers else None
        return _parsed(value if written is None else written)
    except Exception:
        # Objects from outside may raise whatever is done with them.
        return None


def _in_headers(headers: object, name: str) -> object:
    if isinstance(headers, Mapping):
        return headers.get(name)
    if not isinstance(headers, Iterable) or isinstance(headers, str | bytes):
        return None
    for pair in islice(headers, MAX_SCANNED):
        if isinstance(pair, tuple | list) and len(pair) == _PAIR and pair[0] == name:
            return pair[1]
    return None


def _parsed(written: object) -> SchemaId | None:
    if written.__class__ is not bytes:
        if not isinstance(written, bytes | bytearray | memoryview):
            return None
        written = bytes(written[:_GUID_END])
    if not written:
        return None
    if written[0] == _NUMBER and len(written) >= _NUMBER_END:
        return int.from_bytes(written[1:_NUMBER_END])
    if written[0] == _GUID and len(written) >= _GUID_END:
        return UUID(bytes=written[1:_GUID_END])
    return None
