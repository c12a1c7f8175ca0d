"""Whether a reader with one schema can read what was written with another one.

The rules are the schema resolution of the Avro specification. The alternative was Apache's own
`avro.compatibility`. It returns positions such as `/fields/0/type/fields/3` in one set and messages
in another, so that it cannot name the field of a problem, and it loses the position below a union.
It also accepts another scale of a decimal, and milliseconds that are read as microseconds. fastavro
and confluent-kafka have no such check.

Three rules are stricter than the specification, because fastavro would read something else than the
reader's schema says, or nothing:

- A logical type must stay: fastavro converts by the writer's logical type.
- Bytes are not read as a string, also by a union in which a string comes first: they need not be
  UTF-8.
- Only one field of the writer may have a name or alias of a field: fastavro would read both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from demo_pipeline.evolution.avro import (
    Array,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    short,
)
from demo_pipeline.evolution.canonical import canonical_form

if TYPE_CHECKING:
    from demo_pipeline.evolution.avro import AvroType, Field, Named

_PROMOTIONS: Final = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
}


class Kind(StrEnum):
    """Why something cannot be read."""

    FIELD = "field-without-default"
    TYPE = "type"
    BRANCH = "union-branch"
    SYMBOLS = "enum-symbols"
    NAME = "name"
    SIZE = "fixed-size"
    LOGICAL = "logical-type"
    ALIAS = "ambiguous-alias"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that is written and cannot be read.

    Attributes:
        kind: The rule that is broken.
        path: The field, such as `order.lines[].sku`; empty for the schema itself.
        writer: The type that is written there; `None` if nothing is.
        reader: The type that is expected there.
        names: The symbols that the reader does not know, or the alias.
    """

    kind: Kind
    path: str
    writer: AvroType | None
    reader: AvroType
    names: tuple[str, ...] = ()


def mismatches(*, writer: AvroType, reader: AvroType) -> list[Mismatch]:
    """Return what a reader cannot read of the writer's records; nothing if it can read them all."""
    if canonical_form(writer) == canonical_form(reader):
        return []  # nothing to resolve
    comparison = _Comparison()
    comparison.resolve(writer, reader, "")
    # Types that are used in several branches of a union have the same problem at the same place.
    return list(dict.fromkeys(comparison.mismatches))


class _Comparison:
    def __init__(self) -> None:
        self.mismatches: list[Mismatch] = []
        # Records by identity: a record may contain itself.
        self._compared: set[tuple[int, int]] = set()

    def resolve(self, writer: AvroType, reader: AvroType, path: str) -> None:
        if isinstance(writer, Union):
            for branch in writer.branches:
                self._resolve_branch(branch, reader, path)
        elif isinstance(reader, Union):
            self._resolve_branch(writer, reader, path)
        else:
            self._resolve_single(writer, reader, path)

    def _resolve_branch(self, writer: AvroType, reader: AvroType, path: str) -> None:
        if isinstance(writer, Union):  # the specification has no union directly in a union
            self.resolve(writer, reader, path)
            return
        branches = reader.branches if isinstance(reader, Union) else (reader,)
        branch = _branch_for(writer, branches)
        if branch is None:
            self._add(Kind.BRANCH, path, writer, reader)
        else:
            self._resolve_single(writer, branch, path)

    def _resolve_single(self, writer: AvroType, reader: AvroType, path: str) -> None:
        match writer, reader:
            case Primitive(), Primitive():
                if writer.kind != reader.kind and not _promoted(writer, reader):
                    self._add(Kind.TYPE, path, writer, reader)
                elif writer.logical != reader.logical:
                    self._add(Kind.LOGICAL, path, writer, reader)
            case Array(), Array():
                self.resolve(writer.items, reader.items, f"{path}[]")
            case Map(), Map():
                self.resolve(writer.values, reader.values, f"{path}{{}}")
            case Record() | Enum() | Fixed(), Record() | Enum() | Fixed() if (
                writer.kind == reader.kind
            ):
                if _same_name(writer, reader):
                    self._resolve_named(writer, reader, path)
                else:
                    self._add(Kind.NAME, path, writer, reader)
            case _:
                self._add(Kind.TYPE, path, writer, reader)

    def _resolve_named(self, writer: Named, reader: Named, path: str) -> None:
        match writer, reader:
            case Enum(), Enum():
                unknown = tuple(each for each in writer.symbols if each not in reader.symbols)
                if unknown and reader.default is None:
                    self._add(Kind.SYMBOLS, path, writer, reader, unknown)
            case Fixed(), Fixed():
                if writer.size != reader.size:
                    self._add(Kind.SIZE, path, writer, reader)
                elif writer.logical != reader.logical:
                    self._add(Kind.LOGICAL, path, writer, reader)
            case Record(), Record():
                pair = (id(writer), id(reader))
                if pair not in self._compared:
                    self._compared.add(pair)
                    for field in reader.fields:
                        self._resolve_field(writer, field, path)

    def _resolve_field(self, writer: Record, field: Field, path: str) -> None:
        below = f"{path}.{field.name}" if path else field.name
        written = {each.name: each for each in writer.fields}
        names = [name for name in (field.name, *field.aliases) if name in written]
        if len(names) > 1:
            self._add(Kind.ALIAS, below, None, field.type, tuple(names[1:]))
        elif names:
            self.resolve(written[names[0]].type, field.type, below)
        elif not field.has_default:
            self._add(Kind.FIELD, below, None, field.type)

    def _add(
        self,
        kind: Kind,
        path: str,
        writer: AvroType | None,
        reader: AvroType,
        names: tuple[str, ...] = (),
    ) -> None:
        self.mismatches.append(Mismatch(kind, path, writer, reader, names))


def _branch_for(writer: AvroType, branches: tuple[AvroType, ...]) -> AvroType | None:
    """Return the branch that reads a type: the first one that matches."""
    return next((branch for branch in branches if _matches(writer, branch)), None)


def _matches(writer: AvroType, reader: AvroType) -> bool:
    match writer, reader:
        case Primitive(), Primitive():
            # fastavro chooses a string for bytes even if bytes are the next branch.
            text = (writer.kind, reader.kind) == ("bytes", "string")
            return text or writer.kind == reader.kind or _promoted(writer, reader)
        case Record() | Enum() | Fixed(), Record() | Enum() | Fixed():
            return writer.kind == reader.kind and _same_name(writer, reader)
        case _:
            return writer.kind == reader.kind


def _promoted(writer: Primitive, reader: Primitive) -> bool:
    return reader.kind in _PROMOTIONS.get(writer.kind, ())


def _same_name(writer: Named, reader: Named) -> bool:
    # Namespaces do not count, except in aliases.
    return short(writer.name) == short(reader.name) or writer.name in reader.aliases
