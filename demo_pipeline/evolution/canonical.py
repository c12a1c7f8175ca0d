"""The fingerprint of a schema: it changes with everything that matters to a reader."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from demo_pipeline.evolution.avro import Array, Enum, Fixed, Map, Primitive, Record, Union

if TYPE_CHECKING:
    from demo_pipeline.evolution.avro import AvroType, Field, Logical, Named


def fingerprint(schema: AvroType) -> str:
    """Return the SHA-256 of a schema's canonical form, as hexadecimal digits."""
    return hashlib.sha256(canonical_form(schema).encode()).hexdigest()


def canonical_form(schema: AvroType) -> str:
    """Return a schema as text without what no reader sees: documentation, order of keys, spaces.

    This is the specification's parsing canonical form, with the defaults, aliases and logical types
    that the specification leaves out.
    """
    return json.dumps(_Writer().write(schema), separators=(",", ":"))


class _Writer:
    def __init__(self) -> None:
        self._defined: set[str] = set()

    def write(self, type_: AvroType) -> Any:
        match type_:
            case Primitive(kind, logical):
                return kind if logical is None else {"type": kind, **_logical(logical)}
            case Array(items):
                return {"type": "array", "items": self.write(items)}
            case Map(values):
                return {"type": "map", "values": self.write(values)}
            case Union(branches):
                return [self.write(branch) for branch in branches]
        return self._named(type_)

    def _named(self, type_: Named) -> Any:
        if type_.name in self._defined:
            return type_.name
        self._defined.add(type_.name)
        form: dict[str, Any] = {"name": type_.name, "type": type_.kind}
        if type_.aliases:
            form["aliases"] = sorted(type_.aliases)
        match type_:
            case Enum(_, symbols, default):
                form |= {"symbols": symbols} | ({} if default is None else {"default": default})
            case Fixed(_, size, logical):
                form |= {"size": size, **_logical(logical)}
            case Record():
                form["fields"] = [self._field(each) for each in type_.fields]
        return form

    def _field(self, field: Field) -> dict[str, Any]:
        form: dict[str, Any] = {"name": field.name, "type": self.write(field.type)}
        if field.aliases:
            form["aliases"] = sorted(field.aliases)
        if field.has_default:
            form["default"] = field.default
        return form


def _logical(logical: Logical | None) -> dict[str, Any]:
    return {} if logical is None else {"logicalType": str(logical)}
