"""Avro schemas as objects: every name is resolved to its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias


class _Missing:
    """The default of a field without one; `None` is the default `null`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Logical:
    """A logical type; precision and scale belong to decimals."""

    name: str
    precision: int | None = None
    scale: int = 0

    def __str__(self) -> str:
        return self.name if self.name != "decimal" else f"decimal({self.precision},{self.scale})"


@dataclass(frozen=True, slots=True)
class Primitive:
    """A type such as `string` or `long`."""

    kind: str
    logical: Logical | None = None


@dataclass(frozen=True, slots=True)
class Array:
    """A list of items of one type."""

    items: AvroType
    kind: str = "array"


@dataclass(frozen=True, slots=True)
class Map:
    """Values of one type by text."""

    values: AvroType
    kind: str = "map"


@dataclass(frozen=True, slots=True)
class Union:
    """A value of one of several types."""

    branches: tuple[AvroType, ...]
    kind: str = "union"


@dataclass(frozen=True, slots=True)
class Enum:
    """One of several symbols; `default` replaces symbols that a reader does not know."""

    name: str
    symbols: tuple[str, ...]
    default: str | None = None
    aliases: tuple[str, ...] = ()
    kind: str = "enum"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed number of bytes."""

    name: str
    size: int
    logical: Logical | None = None
    aliases: tuple[str, ...] = ()
    kind: str = "fixed"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record; aliases are names that writers may use for it."""

    name: str
    type: AvroType
    default: Any = MISSING
    aliases: tuple[str, ...] = ()

    @property
    def has_default(self) -> bool:
        """Whether readers can do without the field in what was written."""
        return self.default is not MISSING


@dataclass(eq=False, slots=True)
class Record:
    """A record; it may contain itself, so it is compared by identity."""

    name: str
    aliases: tuple[str, ...] = ()
    fields: tuple[Field, ...] = field(default=(), repr=False)
    kind: str = "record"


AvroType: TypeAlias = "Primitive | Array | Map | Union | Enum | Fixed | Record"
Named = Record | Enum | Fixed


def short(name: str) -> str:
    """Return a name without its namespace."""
    return name.rpartition(".")[2]


def phrase(type_: AvroType) -> str:
    """Describe a type for people, in a few words."""
    match type_:
        case Primitive(kind, logical):
            return kind if logical is None else f"{kind} ({logical})"
        case Array(items):
            return f"array of {phrase(items)}"
        case Map(values):
            return f"map of {phrase(values)}"
        case Union(branches):
            return " or ".join(map(phrase, branches)) or "nothing"
        case Fixed(name, size):
            return f"fixed {short(name)} of size {size}"
        case _:
            return f"{type_.kind} {short(type_.name)}"
