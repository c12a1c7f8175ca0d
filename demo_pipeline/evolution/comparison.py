"""Which versions of a schema to compare, and what changed between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from demo_pipeline.evolution.changes import changes
from demo_pipeline.evolution.check import earlier_versions
from demo_pipeline.evolution.rules import Version
from demo_pipeline.runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demo_pipeline.evolution.changes import Change
    from demo_pipeline.evolution.folder import SchemaFolder

CURRENT = "the current schema"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed between two versions of a schema.

    Attributes:
        schema: The name of the message.
        old: The earlier one, such as `version 1`.
        new: The later one, such as `the current schema`.
        changes: What changed.
    """

    schema: str
    old: str
    new: str
    changes: tuple[Change, ...]


def unregistered_changes(folder: SchemaFolder, names: Iterable[str]) -> list[Comparison]:
    """Return what the current schemas change of the newest registered ones, where they do."""
    compared = (
        compare(name, versions[-2:])
        for name in names
        if len(versions := _all_versions(folder, name)) > 1
    )
    return [each for comparisons in compared for each in comparisons if each.changes]


def steps(folder: SchemaFolder, name: str) -> list[Comparison]:
    """Return what each version of a schema changed, up to the current one if it is another."""
    versions = _all_versions(folder, name)
    if folder.is_registered(name):
        versions.pop()
    return compare(name, versions)


def between(folder: SchemaFolder, name: str, old: int, new: int | None) -> list[Comparison]:
    """Return what changed between two versions of a schema.

    Args:
        folder: The schemas.
        name: The message.
        old: The earlier version.
        new: The later version; `None` for the current schema.

    Raises:
        UsageError: There is no such version.
    """
    labels = {version.label: version for version in _all_versions(folder, name)}
    chosen = []
    for label in (f"version {old}", CURRENT if new is None else f"version {new}"):
        if label not in labels:
            raise UsageError(f"{name} has no {label}, only {', '.join(labels)}")
        chosen.append(labels[label])
    return compare(name, chosen)


def compare(name: str, versions: list[Version]) -> list[Comparison]:
    """Return what changed from each version to the next one."""
    return [
        Comparison(name, old.label, new.label, tuple(changes(old.schema, new.schema)))
        for old, new in pairwise(versions)
    ]


def _all_versions(folder: SchemaFolder, name: str) -> list[Version]:
    current = folder.current.get(name)
    return [
        *earlier_versions(folder, name),
        *([] if current is None else [Version(CURRENT, current.schema)]),
    ]
