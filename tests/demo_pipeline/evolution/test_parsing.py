"""What is no schema is refused with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from demo_pipeline.evolution.avro import Record, phrase
from demo_pipeline.evolution.parsing import SchemaError, parse


def record(*fields: Any) -> str:
    return json.dumps({"type": "record", "name": "demo_pipeline.Order", "fields": list(fields)})


def field(type_: Any, default: Any) -> str:
    return record({"name": "a", "type": type_, "default": default})


FIXED = {"type": "fixed", "name": "F", "size": 2}
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
LINE = {"type": "record", "name": "Line", "fields": [{"name": "n", "type": "int"}]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "this is no JSON"),
        ("[" * 100_000, "this is no JSON"),
        ("1", "this is no Avro schema"),
        ('{"type": "record"}', '"name" is a required field'),
        ('{"type": "wonder", "name": "A"}', "is not defined"),
        (record({"name": "a", "type": "Line"}), "demo_pipeline.Line is not defined"),
        (record({"name": "a"}), "missing 'type'"),
        (record({"name": "a", "type": "int"}, {"name": "a", "type": "int"}), "two fields"),
        (
            record({"name": "a", "type": "int"}, {"name": "b", "type": "int", "aliases": ["a"]}),
            "two fields with the name or alias a",
        ),
        (record({"name": "a", "type": ENUM | {"default": "C"}}), "must be in symbols list"),
        (field("int", "1"), "Default value"),
        (field("int", 2**31), "must be a value of int"),
        (field("long", 2**63), "must be a value of long"),
        (field("int", True), "must be a value of int"),
        (field(["null", "string"], "x"), "must be a value of null"),
        (field({"type": "array", "items": "int"}, ["x"]), "must be a value of array of int"),
        (field({"type": "map", "values": "int"}, {"a": "x"}), "must be a value of map of int"),
        (field(FIXED, "a"), "must be a value of fixed F of size 2"),
        (field(ENUM, "C"), "must be a value of enum E"),
        (field(LINE, {}), "must be a value of record Line"),
        (field("bytes", "\u0100"), "must be a value of bytes"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        parse(text)


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("null", None), ("boolean", False), ("int", -(2**31)), ("long", 2**63 - 1), ("double", 1),
        ("float", 0.5), ("string", ""), ("bytes", "\u00ff"), (["null", "int"], None),
        (["int", "null"], 1), (FIXED, "ab"), (ENUM, "B"), (LINE, {"n": 1}),
        ({"type": "array", "items": LINE}, [{"n": 1}]),
        ({"type": "map", "values": "int"}, {"a": 1}),
    ],
)  # fmt: skip
def test_a_default_of_the_fields_type_is_accepted(type_: Any, default: Any) -> None:
    schema = parse(field(type_, default))

    assert isinstance(schema, Record)
    assert default == schema.fields[0].default


def test_a_record_may_contain_itself() -> None:
    schema = parse(record({"name": "next", "type": ["null", "demo_pipeline.Order"]}))

    assert isinstance(schema, Record)
    assert "null or record Order" == phrase(schema.fields[0].type)
