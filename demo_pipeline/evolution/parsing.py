"""Reading schemas from JSON, with checks that fastavro lacks."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from fastavro.schema import SchemaParseException, UnknownType, parse_schema

from demo_pipeline.evolution.avro import (
    MISSING,
    Array,
    Enum,
    Field,
    Fixed,
    Logical,
    Map,
    Primitive,
    Record,
    Union,
    phrase,
    short,
)
from demo_pipeline.runtime.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo_pipeline.evolution.avro import AvroType, Named

_INT: Final = 2**31
_LONG: Final = 2**63
_HIGHEST_BYTE: Final = 0xFF


class SchemaError(DemoError):
    """A text is no Avro schema; the message says why."""


def parse(text: str | bytes) -> AvroType:
    """Parse a schema, which contains everything that it refers to.

    Raises:
        SchemaError: It is no JSON, no Avro schema, or has a default that its field cannot hold.
    """
    try:
        normalized = parse_schema(json.loads(text), _write_hint=False)
        return _Parser().type_of(normalized)
    except UnknownType as error:
        raise SchemaError(f"the type {error.name} is not defined in this schema") from None
    except SchemaParseException as error:
        raise SchemaError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"this is no JSON: {error}") from None
    except (LookupError, TypeError, AttributeError) as error:
        # fastavro does not check every shape.
        raise SchemaError(f"this is no Avro schema ({type(error).__name__}: {error})") from None


class _Parser:
    """Builds the types of one schema, whose names fastavro has made full."""

    def __init__(self) -> None:
        self._named: dict[str, Named] = {}

    def type_of(self, schema: Any) -> AvroType:
        if isinstance(schema, list):
            return Union(tuple(map(self.type_of, schema)))
        if isinstance(schema, str):
            return self._named.get(schema) or Primitive(schema)
        match schema["type"]:
            case "array":
                return Array(self.type_of(schema["items"]))
            case "map":
                return Map(self.type_of(schema["values"]))
            case "enum" | "fixed" | "record" | "error" as kind:
                return self._named_type(kind, schema)
            case kind:
                return Primitive(kind, _logical(schema))

    def _named_type(self, kind: str, schema: dict[str, Any]) -> Named:
        name = schema["name"]
        aliases = _full(schema.get("aliases", ()), name)
        if kind == "enum":
            return self._named.setdefault(name, _enum(schema, aliases))
        if kind == "fixed":
            fixed = Fixed(name, schema["size"], _logical(schema), aliases)
            return self._named.setdefault(name, fixed)
        record = Record(name, aliases)
        # Before its fields, which may refer to it.
        self._named[name] = record
        record.fields = tuple(map(self._field, schema["fields"]))
        names = Counter(each for field in record.fields for each in (field.name, *field.aliases))
        for each, count in names.items():
            if count > 1:
                raise SchemaError(f"{short(name)} has two fields with the name or alias {each}")
        for field in record.fields:
            if field.has_default and not _fits(field.default, field.type):
                raise SchemaError(
                    f"the default {json.dumps(field.default)} of the field {short(name)}."
                    f"{field.name} must be a value of {phrase(_default_type(field.type))}"
                )
        return record

    def _field(self, schema: dict[str, Any]) -> Field:
        return Field(
            schema["name"],
            self.type_of(schema["type"]),
            schema.get("default", MISSING),
            tuple(schema.get("aliases", ())),
        )


def _enum(schema: dict[str, Any], aliases: tuple[str, ...]) -> Enum:
    return Enum(schema["name"], tuple(schema["symbols"]), schema.get("default"), aliases)


def _full(aliases: list[str], name: str) -> tuple[str, ...]:
    """Return aliases with the namespace of their type."""
    namespace = name.rpartition(".")[0]
    return tuple(
        alias if "." in alias or not namespace else f"{namespace}.{alias}" for alias in aliases
    )


def _logical(schema: dict[str, Any]) -> Logical | None:
    name = schema.get("logicalType")
    if name != "decimal":
        return None if name is None else Logical(name)
    return Logical(name, schema.get("precision"), schema.get("scale", 0))


def _default_type(type_: AvroType) -> AvroType:
    # Before Avro 1.12, and in most registries, the default of a union is of its first branch.
    return type_.branches[0] if isinstance(type_, Union) and type_.branches else type_


def _fits(default: Any, type_: AvroType) -> bool:
    """Return whether JSON is a default of this type."""
    return _DEFAULTS[_default_type(type_).kind](default, _default_type(type_))


def _is_integer(default: Any, limit: int) -> bool:
    return isinstance(default, int) and not isinstance(default, bool) and -limit <= default < limit


def _is_number(default: Any, _type: Any) -> bool:
    return isinstance(default, int | float) and not isinstance(default, bool)


def _is_bytes(default: Any) -> bool:
    # JSON has no bytes: Avro writes each byte as the character with its number.
    return isinstance(default, str) and all(ord(each) <= _HIGHEST_BYTE for each in default)


def _is_record(default: Any, record: Record) -> bool:
    return isinstance(default, dict) and all(
        _fits(default[field.name], field.type) if field.name in default else field.has_default
        for field in record.fields
    )


_DEFAULTS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "null": lambda default, _: default is None,
    "boolean": lambda default, _: isinstance(default, bool),
    "int": lambda default, _: _is_integer(default, _INT),
    "long": lambda default, _: _is_integer(default, _LONG),
    "float": _is_number,
    "double": _is_number,
    "string": lambda default, _: isinstance(default, str),
    "bytes": lambda default, _: _is_bytes(default),
    "fixed": lambda default, fixed: _is_bytes(default) and len(default) == fixed.size,
    "enum": lambda default, enum: default in enum.symbols,
    "array": lambda default, array: (
        isinstance(default, list) and all(_fits(each, array.items) for each in default)
    ),
    "map": lambda default, map_: (
        isinstance(default, dict) and all(_fits(each, map_.values) for each in default.values())
    ),
    "record": _is_record,
    "union": lambda _default, _union: False,  # empty: nothing fits
}
