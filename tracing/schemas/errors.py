"""What a dead letter says whose bytes could not be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracing.core import semconv
from tracing.messaging.outcome import Unprocessable

if TYPE_CHECKING:
    from tracing.schemas.wire import SchemaId, SubjectVersion


class UndecodableRecord(Unprocessable):
    """A key or value cannot be decoded, now or later: no attempt follows, it is a dead letter.

    The functions of `tracing.Schemas` raise it in place of what a deserializer raised, which is
    its `__cause__`. Its message says where the record is, what it was written with, what is wrong
    and what to do, and holds nothing of the record's content.

    A hand-written decoder may raise it, or a subclass, in a block of `Schemas.reading`: with a
    message of its own, which stays, or without, and then it is replaced by a complete one.

    Attributes:
        schema_id: The id of the schema that the record names; `None` where it names none.
        counted: Whether it is in `pipeline.schema.records` already.
    """

    # Its public place, which `error.type` and the headers of dead letters name.
    __module__ = "tracing"

    schema_id: SchemaId | None = None
    counted: bool = False


class UnknownSchema(UndecodableRecord):
    """The schema registry does not know the schema that a key or value was written with.

    That is the registry's answer. A registry that is down, or slow, gives none: its errors pass
    through as they are, and the record is tried again.
    """

    __module__ = "tracing"


def undecodable(
    place: str,
    part: str,
    identity: SchemaId | None,
    version: SubjectVersion | None,
    reader: int | None,
    cause: BaseException | None,
) -> UndecodableRecord:
    """Make the error for bytes that do not fit.

    Args:
        place: Where the record is, for people.
        part: `key` or `value`.
        identity: The id of the schema that it names, if it does.
        version: The subject and version of that schema, where known.
        reader: The version that the reader uses, where declared.
        cause: What the deserializer raised. Only its type is named: its text may be private.
    """
    if identity is None:
        problem = (
            f"its {part} does not begin with the id of a schema, so it was not written by a "
            "serializer for a schema registry, or is damaged. Correct its producer, or read this "
            "topic without a schema registry"
        )
    else:
        reading = "the reader's schema" if reader is None else f"the reader's version {reader}"
        problem = (
            f"its {part} names {_named(identity, version)}, and does not fit it{_kind(cause)}. "
            f"Either {reading} is not compatible with the written one: correct it, and replay "
            "this dead letter. Or the bytes are damaged: correct their producer"
        )
    error = UndecodableRecord(f"{place} cannot be decoded: {problem}.")
    error.schema_id, error.counted = identity, True
    return error


def unknown(
    place: str, part: str, identity: SchemaId, cause: BaseException | None
) -> UnknownSchema:
    """Make the error for an id that the registry does not know; arguments as `undecodable`."""
    error = UnknownSchema(
        f"{place} cannot be decoded: its {part} names {_named(identity, None)}, which the schema "
        f"registry does not know{_kind(cause)}. Its producer uses another registry, or the "
        "schema was deleted: register it again under this id, and replay this dead letter. Or the "
        "bytes are damaged: correct their producer."
    )
    error.schema_id, error.counted = identity, True
    return error


def _named(identity: SchemaId, version: SubjectVersion | None) -> str:
    if version is None:
        return f"the schema with id {identity}"
    subject, number = version
    return f"the schema with id {identity} ({subject} version {number})"


def _kind(cause: BaseException | None) -> str:
    return "" if cause is None else f" ({semconv.error_type(cause)})"
