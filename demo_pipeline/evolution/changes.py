"""What changed between two versions of a schema, field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo_pipeline.evolution.avro import Array, Enum, Fixed, Map, Primitive, Record, Union, phrase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo_pipeline.evolution.avro import AvroType, Field


@dataclass(frozen=True, slots=True)
class Change:
    """A change between two versions.

    Attributes:
        field: The field, such as `order.lines[].sku`; empty for the schema itself.
        what: What changed, such as `added` or `default`.
        before: What it was, in words; `None` if there was nothing.
        after: What it is, in words; `None` if there is nothing.
    """

    field: str
    what: str
    before: str | None = None
    after: str | None = None


def changes(old: AvroType, new: AvroType) -> list[Change]:
    """Return what changed from one version to the other, in the order of the fields."""
    comparison = _Comparison()
    return list(dict.fromkeys(comparison.compare(old, new, "")))


class _Comparison:
    def __init__(self) -> None:
        # Records by identity: a record may contain itself.
        self._compared: set[tuple[int, int]] = set()

    def compare(self, old: AvroType, new: AvroType, path: str) -> Iterator[Change]:
        match old, new:
            case Array(), Array():
                yield from self.compare(old.items, new.items, f"{path}[]")
            case Map(), Map():
                yield from self.compare(old.values, new.values, f"{path}{{}}")
            case Union(), Union():
                yield from self._unions(old, new, path)
            case Record(), Record():
                pair = (id(old), id(new))
                if pair not in self._compared:
                    self._compared.add(pair)
                    yield from _texts(path, "name", old.name, new.name)
                    yield from _lists(path, "alias", old.aliases, new.aliases)
                    yield from self._fields(old, new, path)
            case Enum(), Enum():
                yield from _texts(path, "name", old.name, new.name)
                yield from _lists(path, "alias", old.aliases, new.aliases)
                yield from _lists(path, "symbol", old.symbols, new.symbols)
                yield from _texts(path, "default of the enum", old.default, new.default)
            case Fixed(), Fixed():
                yield from _texts(path, "name", old.name, new.name)
                yield from _lists(path, "alias", old.aliases, new.aliases)
                yield from _texts(path, "type", _details(old), _details(new))
            case _:
                yield from _texts(path, "type", _details(old), _details(new))

    def _unions(self, old: Union, new: Union, path: str) -> Iterator[Change]:
        before, after = ({_key(each): each for each in union.branches} for union in (old, new))
        if before.keys() != after.keys():
            yield Change(path, "type", phrase(old), phrase(new))
        elif list(before) != list(after):
            yield Change(path, "order of the union", phrase(old), phrase(new))
        for key in before.keys() & after.keys():
            yield from self.compare(before[key], after[key], path)

    def _fields(self, old: Record, new: Record, path: str) -> Iterator[Change]:
        before = {each.name: each for each in old.fields}
        after = {each.name: each for each in new.fields}
        renamed = {
            each.name: alias
            for each in new.fields
            if each.name not in before
            for alias in each.aliases
            if alias in before and alias not in after
        }
        for field in new.fields:
            below = _below(path, field.name)
            former = before.get(renamed.get(field.name, field.name))
            if former is None:
                yield Change(below, "added", None, _described(field))
                continue
            yield from _texts(below, "renamed", former.name, field.name)
            yield from self.compare(former.type, field.type, below)
            yield from _texts(below, "default", _default(former), _default(field))
            yield from _lists(below, "alias", former.aliases, field.aliases)
        for field in old.fields:
            if field.name not in after and field.name not in renamed.values():
                yield Change(_below(path, field.name), "removed", _described(field))
        common = [name for name in after if name in before]
        if common != [name for name in before if name in after]:
            yield Change(path, "order of the fields", ", ".join(before), ", ".join(after))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _texts(path: str, what: str, before: str | None, after: str | None) -> Iterator[Change]:
    if before != after:
        yield Change(path, what, before, after)


def _lists(
    path: str, what: str, before: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[Change]:
    for each in before:
        if each not in after:
            yield Change(path, f"{what} removed", each)
    for each in after:
        if each not in before:
            yield Change(path, f"{what} added", None, each)


def _key(branch: AvroType) -> str:
    """Return what makes a branch of a union the same one in another version."""
    return branch.kind if isinstance(branch, Primitive) else getattr(branch, "name", branch.kind)


def _details(type_: AvroType) -> str:
    logical = type_.logical if isinstance(type_, Fixed) else None
    return phrase(type_) if logical is None else f"{phrase(type_)} ({logical})"


def _described(field: Field) -> str:
    default = _default(field)
    return f"{phrase(field.type)}, {'no default' if default is None else f'default {default}'}"


def _default(field: Field) -> str | None:
    return json.dumps(field.default) if field.has_default else None
