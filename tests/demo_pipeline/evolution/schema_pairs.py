"""Pairs of schemas for property tests, and records that reach everything in a schema."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

Json = Any
"""A schema, or a value, as JSON."""

_PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "string", "bytes")
_VALUES: Final[dict[str, list[Any]]] = {
    "null": [None],
    "boolean": [True],
    "int": [0, 2**31 - 1],
    "long": [0, 2**63 - 1],
    "float": [0.0, 1.5],
    "double": [0.0, 1.5],
    "string": ["", "ü"],
    "bytes": [b"", b"\xff"],
}
# fastavro fills in the default of bytes as the string that it is in JSON.
_DEFAULTS: Final[dict[str, Any]] = {
    "null": None, "boolean": False, "int": 1, "long": 2**40, "float": 0.5, "double": 0.5,
    "string": "s",
}  # fmt: skip
# Unions whose values fastavro's writer can tell apart by their Python type.
_UNIONS: Final = (
    ["null", "string"], ["string", "null"], ["null", "int"], ["null", "long"], ["null", "double"],
    ["null", "int", "string"], ["null", "long", "string"], ["null", "boolean"],
    ["string", "bytes"], ["bytes", "string"], ["null", "bytes"], ["bytes", "null"],
)  # fmt: skip
_SYMBOLS: Final = ("A", "B", "C")


_FLAT: Final = ("primitive", "union", "enum", "fixed")
_NESTED: Final = ("array", "map", "record", "nullable")


@st.composite
def _types(draw: st.DrawFn, path: str, depth: int, kind: str = "") -> Json:
    """A type; the names in it come from its path, so that they are unique."""
    kinds = [*_FLAT, "primitive", *(_NESTED if depth else ())]
    kind = kind or draw(st.sampled_from(kinds))
    other = draw(st.sampled_from(["", "", "", "_other"]))
    schema: Json
    match kind:
        case "primitive":
            schema = draw(st.sampled_from(_PRIMITIVES))
        case "union":
            schema = draw(st.sampled_from(_UNIONS))
        case "enum":
            symbols = draw(st.lists(st.sampled_from(_SYMBOLS), min_size=1, unique=True))
            default = draw(st.sampled_from([{}, {"default": symbols[0]}]))
            schema = {"type": "enum", "name": f"E_{path}{other}", "symbols": symbols, **default}
        case "fixed":
            size = draw(st.integers(1, 2))
            schema = {"type": "fixed", "name": f"F_{path}{other}", "size": size}
        case "array":
            schema = {"type": "array", "items": draw(_types(f"{path}i", depth - 1))}
        case "map":
            schema = {"type": "map", "values": draw(_types(f"{path}v", depth - 1))}
        case "nullable":
            schema = ["null", draw(_records(f"{path}n", depth - 1, f"R_{path}{other}"))]
        case _:
            schema = draw(_records(path, depth - 1, f"R_{path}{other}"))
    return schema


@st.composite
def _records(draw: st.DrawFn, path: str, depth: int, name: str) -> Json:
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True))
    return {
        "type": "record",
        "name": name,
        "fields": [draw(_fields(each, draw(_types(path + each, depth)))) for each in names],
    }


@st.composite
def _fields(draw: st.DrawFn, name: str, type_: Json) -> Json:
    default = _default(type_)
    return {"name": name, "type": type_} | (
        {} if default is None or draw(st.booleans()) else default
    )


def _default(type_: Json) -> Json | None:
    """Return the default of a field, as the part of it in JSON; `None` if it has none here."""
    first = type_[0] if isinstance(type_, list) else type_
    if isinstance(first, str):
        return {"default": _DEFAULTS[first]} if first in _DEFAULTS else None
    match first["type"]:
        case "enum":
            return {"default": first["symbols"][0]}
        case "array":
            return {"default": []}
        case "map":
            return {"default": {}}
    return None


@st.composite
def _evolved(draw: st.DrawFn, schema: Json, path: str, depth: int) -> Json:
    """A record that differs from another one here and there, as a later version does."""
    fields = []
    for field in schema["fields"]:
        name, type_ = field["name"], field["type"]
        change = draw(st.sampled_from(["none", "none", "inside", "type", "rename", "remove"]))
        kind = type_["type"] if isinstance(type_, dict) else "primitive"
        if change == "inside" and kind == "record":
            fields.append({**field, "type": draw(_evolved(type_, path + name, depth - 1))})
        elif change == "inside":
            fields.append(draw(_fields(name, draw(_types(path + name, depth, kind)))))
        elif change == "type":
            fields.append(draw(_fields(name, draw(_types(path + name, depth)))))
        elif change == "rename":
            fields.append({**field, "name": f"{name}_new", "aliases": [name]})
        elif change != "remove":
            fields.append(field)
    used = {field["name"].removesuffix("_new") for field in fields}
    new = draw(st.sampled_from("bde"))
    if new not in used:
        fields.append(draw(_fields(new, draw(_types(path + new, depth)))))
    return {**schema, "fields": fields}


@st.composite
def schema_pairs(draw: st.DrawFn) -> tuple[Json, Json]:
    """Two versions of a record: what was written, and what a reader expects."""
    old = draw(_records("", 2, "Message"))
    new = draw(_evolved(old, "", 2))
    # Either may be the older one.
    return (old, new) if draw(st.booleans()) else (new, old)


def reaching(schema: Json) -> list[Any]:
    """Return values that reach every branch, symbol and item of a schema."""
    if isinstance(schema, list):
        return [
            (branch["name"], value) if isinstance(branch, dict) else value
            for branch in schema
            for value in reaching(branch)
        ]
    if isinstance(schema, str):
        return _VALUES[schema]
    if schema["type"] == "record":
        return _reaching_fields(schema)
    values: list[Any] = []
    match schema["type"]:
        case "enum":
            values += schema["symbols"]
        case "fixed":
            values.append(b"\x00" * schema["size"])
        case "array":
            values += [[], *([value] for value in reaching(schema["items"]))]
        case "map":
            values += [{}, *({"key": value} for value in reaching(schema["values"]))]
    return values


def _reaching_fields(schema: Json) -> list[Any]:
    values = {field["name"]: reaching(field["type"]) for field in schema["fields"]}
    first = {name: some[0] for name, some in values.items()}
    return [first, *(first | {name: each} for name, some in values.items() for each in some[1:])]


def text(schema: Json) -> str:
    """Return a schema as a file has it."""
    return json.dumps(schema)
