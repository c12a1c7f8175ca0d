"""What makes a change incompatible, in words: the field, the reason, and what to do instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.evolution.avro import phrase
from demo_pipeline.evolution.modes import Direction
from demo_pipeline.evolution.resolution import Kind, mismatches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demo_pipeline.evolution.avro import AvroType
    from demo_pipeline.evolution.modes import Mode


@dataclass(frozen=True, slots=True)
class Version:
    """An earlier version that has to stay compatible.

    Attributes:
        label: What people call it, such as `version 2`.
        schema: Its schema.
    """

    label: str
    schema: AvroType


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """Why a new schema is not compatible with an earlier version.

    Attributes:
        against: The earlier versions, such as `version 2`.
        direction: Who cannot read what.
        kind: The rule that is broken.
        field: The field, such as `order.lines[].sku`; empty for the schema itself.
        reason: What is wrong, in a sentence without its subject and stop.
        fix: What to do instead.
    """

    against: tuple[str, ...]
    direction: Direction
    kind: Kind
    field: str
    reason: str
    fix: str


_ADD: Final = "keep {old}, and add another field with a default"

# What a new reader cannot read of old records.
_BACKWARD: Final[dict[Kind, tuple[str, str]]] = {
    Kind.FIELD: (
        "is new and has no default, so records of {against} cannot be read",
        "give it a default",
    ),
    Kind.TYPE: ("changed from {old} to {new}, but records of {against} hold {old}", _ADD),
    Kind.BRANCH: (
        "may no longer be {old}, but records of {against} may hold it",
        "keep {old} in the union",
    ),
    Kind.SYMBOLS: (
        "no longer has {names}, but records of {against} may hold it",
        "keep {names}; writers need not use it",
    ),
    Kind.NAME: (
        "changed from {old} to {new}, but records of {against} hold {old}",
        "keep the name; an alias would only help new readers",
    ),
}

# What old readers cannot read of new records.
_FORWARD: Final[dict[Kind, tuple[str, str]]] = {
    Kind.FIELD: (
        "was removed, but readers of {against} need it: it has no default there",
        "keep it; only a field with a default in every version can be removed",
    ),
    Kind.TYPE: ("changed from {old} to {new}, but readers of {against} expect {old}", _ADD),
    Kind.BRANCH: (
        "may now be {new}, but readers of {against} expect {old}",
        "remove {new}, and add another field with a default",
    ),
    Kind.SYMBOLS: (
        "now has {names}, but readers of {against} do not know it, and their enum has no default",
        "remove {names}, and add another field with a default",
    ),
    Kind.NAME: (
        "changed from {old} to {new}, but readers of {against} expect {old}",
        "keep the name; an alias would only help new readers",
    ),
}

# What is wrong for both in the same way.
_EITHER: Final[dict[Kind, tuple[str, str]]] = {
    Kind.SIZE: ("changed from {old} in {against} to {new}", _ADD),
    Kind.LOGICAL: (
        "changed from {old} in {against} to {new}: the same bytes would mean another value",
        _ADD,
    ),
    Kind.ALIAS: (
        "has the alias {names}, but {against} has a field of each name",
        "remove the alias",
    ),
}


def incompatibilities(
    new: AvroType, earlier: Sequence[Version], mode: Mode
) -> list[Incompatibility]:
    """Return what makes a new schema incompatible with earlier versions.

    A problem with several versions is one incompatibility.

    Args:
        new: The new schema.
        earlier: The earlier versions, oldest first.
        mode: What has to stay readable.
    """
    versions = earlier if mode.transitive else earlier[-1:]
    labels: dict[_Problem, list[str]] = {}
    for version in versions:
        for direction in mode.directions:
            for problem in _problems(new, version.schema, direction):
                labels.setdefault(problem, []).append(version.label)
    return [_explained(problem, tuple(against)) for problem, against in labels.items()]


@dataclass(frozen=True, slots=True)
class _Problem:
    """A mismatch in words that are the same for all versions that have it."""

    kind: Kind
    direction: Direction
    field: str
    old: str
    new: str
    names: str


def _problems(new: AvroType, old: AvroType, direction: Direction) -> Iterator[_Problem]:
    backward = direction is Direction.BACKWARD
    writer, reader = (old, new) if backward else (new, old)
    for each in mismatches(writer=writer, reader=reader):
        written = phrase(each.writer) if each.writer else "nothing"
        expected = phrase(each.reader)
        before, after = (written, expected) if backward else (expected, written)
        yield _Problem(each.kind, direction, each.path, before, after, ", ".join(each.names))


def _explained(problem: _Problem, against: tuple[str, ...]) -> Incompatibility:
    words = {
        "old": problem.old,
        "new": problem.new,
        "names": problem.names,
        "against": listed(against),
    }
    specific = _BACKWARD if problem.direction is Direction.BACKWARD else _FORWARD
    reason, fix = _EITHER.get(problem.kind) or specific[problem.kind]
    return Incompatibility(
        against,
        problem.direction,
        problem.kind,
        problem.field,
        reason.format_map(words),
        fix.format_map(words),
    )


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
