"""The id of the schema that bytes were written with, as Confluent's serializers write it.

It stands before the payload, or in a header: a byte 0 and four bytes of a number (the wire format
of all versions), or a byte 1 and the 16 bytes of a GUID (since confluent-kafka 2.10). A header,
`__value_schema_id` or `__key_schema_id`, comes before the payload, as in Confluent's own
deserializers. See https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from struct import Struct
from typing import Final
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
_FRAME: Final = Struct(">BI")
_GUID_END: Final = 17
_PAIR: Final = 2


SchemaUse = tuple[SchemaId, str, bool]
"""An id, the topic of the record (empty if unknown), and whether it is a key's: it is looked up
for every record, and a plain tuple is made fastest."""


def topic_subject(use: SchemaUse) -> str:
    """Return the subject that a registry's clients give a topic's schema by default."""
    _, topic, key = use
    return f"{topic}-{'key' if key else 'value'}"


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
        if headers:
            written = _in_headers(headers, KEY_HEADER if key else VALUE_HEADER)
            if written is not None:
                value = written
        return _parsed(value)
    except Exception:
        # Objects from outside may raise whatever is done with them.
        return None


def _in_headers(headers: object, name: str) -> object:
    if (headers.__class__ is tuple or headers.__class__ is list) and len(headers) <= MAX_SCANNED:
        try:
            for header in headers:
                if header[0] == name:
                    return header[1]
        except Exception:
            # There are others among them: look at each with more care.
            return _among(headers, name)
        return None
    if isinstance(headers, Mapping):
        return headers.get(name)
    if not isinstance(headers, Iterable) or isinstance(headers, str | bytes):
        return None
    return _among(headers, name)


def _among(headers: Iterable[object], name: str) -> object:
    for pair in islice(headers, MAX_SCANNED):
        if isinstance(pair, tuple | list) and len(pair) == _PAIR and pair[0] == name:
            return pair[1]
    return None


def _parsed(written: object) -> SchemaId | None:
    if written.__class__ is not bytes:
        if not isinstance(written, bytes | bytearray | memoryview):
            return None
        written = bytes(written[:_GUID_END])
    if len(written) < _FRAME.size:
        return None
    magic, number = _FRAME.unpack_from(written)
    if magic == _NUMBER:
        return int(number)
    if magic == _GUID and len(written) >= _GUID_END:
        return UUID(bytes=written[1:_GUID_END])
    return None
