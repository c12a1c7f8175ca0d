"""Changes of a record, and what the gate says about each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Json = Any


@dataclass(frozen=True)
class Refusal:
    """An incompatible change.

    Attributes:
        rule: The rule that is broken, and who cannot read what.
        before: The fields of version 1.
        after: The fields of the current schema.
        field: The field that the gate names.
        reason: Why it refuses the change.
        fix: What to do instead.
    """

    rule: str
    before: list[Json]
    after: list[Json]
    field: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.rule} {self.field}"


def field(name: str, type_: Any, **more: Any) -> Json:
    """Return a field of a record."""
    return {"name": name, "type": type_, **more}


KEEP = "keep {}, and add another field with a default"


def enum(*symbols: str, **more: Any) -> Json:
    return {"type": "enum", "name": "Paid", "symbols": list(symbols), **more}


def fixed(size: int) -> Json:
    return {"type": "fixed", "name": "Hash", "size": size}


def decimal(scale: int) -> Json:
    return {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": scale}


def record(*fields: Json, name: str = "Order") -> Json:
    return {"type": "record", "name": name, "fields": list(fields)}


def array(items: Json) -> Json:
    return {"type": "array", "items": items}


def a_map(values: Json) -> Json:
    return {"type": "map", "values": values}


LONG = record(field("total", "long"))

REFUSED: Final = [
    Refusal(
        "field-without-default (backward)", [], [field("coupon", "string")], "coupon",
        "coupon is new and has no default, so records of version 1 cannot be read",
        "give it a default",
    ),
    Refusal(
        "field-without-default (forward)", [field("sku", "string")], [], "sku",
        "sku was removed, but readers of version 1 need it: it has no default there",
        "keep it; only a field with a default in every version can be removed",
    ),
    Refusal(
        "type (backward)", [field("total", "long")], [field("total", "int")], "total",
        "total changed from long to int, but records of version 1 hold long",
        KEEP.format("long"),
    ),
    Refusal(
        "type (forward)", [field("total", "int")], [field("total", "long")], "total",
        "total changed from int to long, but readers of version 1 expect int",
        KEEP.format("int"),
    ),
    Refusal(
        "type (backward)", [field("note", "bytes")], [field("note", "string")], "note",
        "note changed from bytes to string, but records of version 1 hold bytes",
        KEEP.format("bytes"),
    ),
    Refusal(
        "type (backward)", [field("lines", array("string"))], [field("lines", a_map("string"))],
        "lines",
        ("lines changed from array of string to map of string, but records of version 1 hold array "
        "of string"),
        KEEP.format("array of string"),
    ),
    Refusal(
        "type (backward)", [field("lines", array(LONG))],
        [field("lines", array(record(field("total", "boolean"))))], "lines[].total",
        "lines[].total changed from long to boolean, but records of version 1 hold long",
        KEEP.format("long"),
    ),
    Refusal(
        "type (backward)", [field("by", a_map(LONG))],
        [field("by", a_map(record(field("total", "boolean"))))], "by{}.total",
        "by{}.total changed from long to boolean, but records of version 1 hold long",
        KEEP.format("long"),
    ),
    Refusal(
        "type (backward)", [field("order", ["null", LONG])],
        [field("order", ["null", record(field("total", "boolean"))])], "order.total",
        "order.total changed from long to boolean, but records of version 1 hold long",
        KEEP.format("long"),
    ),
    Refusal(
        "union-branch (backward)", [field("gift", ["null", "string"])], [field("gift", "string")],
        "gift", "gift may no longer be null, but records of version 1 may hold it",
        "keep null in the union",
    ),
    Refusal(
        "union-branch (forward)", [field("gift", "string")], [field("gift", ["null", "string"])],
        "gift", "gift may now be null, but readers of version 1 expect string",
        "remove null, and add another field with a default",
    ),
    Refusal(
        "enum-symbols (backward)", [field("by", enum("CARD", "CASH"))],
        [field("by", enum("CARD"))], "by",
        "by no longer has CASH, but records of version 1 may hold it",
        "keep CASH; writers need not use it",
    ),
    Refusal(
        "enum-symbols (forward)", [field("by", enum("CARD"))],
        [field("by", enum("CARD", "CASH"))], "by",
        "by now has CASH, but readers of version 1 do not know it, and their enum has no default",
        "remove CASH, and add another field with a default",
    ),
    Refusal(
        "name (backward)", [field("order", LONG)],
        [field("order", record(field("total", "long"), name="Basket"))], "order",
        ("order changed from record Order to record Basket, but records of version 1 hold record "
        "Order"),
        "keep the name; an alias would only help new readers",
    ),
    Refusal(
        "name (forward)", [field("order", LONG)],
        [field("order", record(field("total", "long"), name="Basket") | {"aliases": ["Order"]})],
        "order",
        ("order changed from record Order to record Basket, but readers of version 1 expect record "
        "Order"),
        "keep the name; an alias would only help new readers",
    ),
    Refusal(
        "fixed-size (backward)", [field("hash", fixed(8))], [field("hash", fixed(16))], "hash",
        "hash changed from fixed Hash of size 8 in version 1 to fixed Hash of size 16",
        KEEP.format("fixed Hash of size 8"),
    ),
    Refusal(
        "logical-type (backward)", [field("total", decimal(2))], [field("total", decimal(3))],
        "total",
        ("total changed from bytes (decimal(9,2)) in version 1 to bytes (decimal(9,3)): the same "
        "bytes would mean another value"),
        KEEP.format("bytes (decimal(9,2))"),
    ),
    Refusal(
        "logical-type (forward)",
        [field("at", {"type": "long", "logicalType": "timestamp-millis"})],
        [field("at", {"type": "long", "logicalType": "timestamp-micros"})], "at",
        ("at changed from long (timestamp-millis) in version 1 to long (timestamp-micros): the "
        "same bytes would mean another value"),
        KEEP.format("long (timestamp-millis)"),
    ),
    Refusal(
        "ambiguous-alias (backward)", [field("a", "string"), field("b", "string", default="")],
        [field("a", "string", aliases=["b"])], "a",
        "a has the alias b, but version 1 has a field of each name",
        "remove the alias",
    ),
]  # fmt: skip
"""Every kind of incompatible change; each is one of several fields."""

ACCEPTED: Final[list[tuple[list[Json], list[Json]]]] = [
    ([], [field("coupon", ["null", "string"], default=None)]),
    ([field("coupon", "string", default="")], []),
    ([field("n", "int", default=1)], [field("n", "int", default=2)]),
    ([field("n", "int")], [field("n", "int", doc="a count")]),
    ([field("a", "int"), field("b", "int")], [field("b", "int"), field("a", "int")]),
    ([field("by", enum("A", default="A"))], [field("by", enum("A", "B", default="A"))]),
    ([field("by", enum("A", "B"))], [field("by", enum("B", "A"))]),
    ([field("x", ["null", "int"])], [field("x", ["int", "null"])]),
    ([field("order", LONG)], [field("order", {**LONG, "namespace": "demo_pipeline"})]),
]
"""The fields of version 1 and of the current schema, which is compatible."""
