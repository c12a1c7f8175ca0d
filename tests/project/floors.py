"""The packages of this project and their floors, as data, and a reader of imports.

A module imports from its own package, or from packages on floors below it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]

FLOORS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "tracing": (
        # Public doubles for users' tests: they build on nothing, and nothing builds on them.
        ("testing",),
        ("core",),
        ("console", "headers", "metrics", "spans"),
        ("export", "telemetry"),
        ("messaging", "otlp"),
        ("delivery", "kafka", "sagas", "schemas"),
        ("replay",),
        ("dlq", "lag", "sql"),
        ("dlq_web",),
        ("cli",),
        ("__main__",),
    ),
    "dashboards": (
        ("durations", "formats", "own", "patterns", "yaml_keys"),
        ("config",),
        ("model",),
        ("render", "signals"),
        ("boards",),
        ("rules",),
        ("files", "publish"),
        ("cli",),
        ("__main__",),
    ),
    "demo_pipeline": (
        ("domain", "report"),
        ("runtime",),
        ("broker", "evolution", "sagas"),
        ("services",),
        ("app",),
        ("__main__",),
    ),
}
"""By top-level package, from the ground up: what shares a floor does not import each other."""

PUBLIC: Final = frozenset(
    {
        "tracing",
        "tracing.console",
        "tracing.dlq",
        "tracing.lag",
        "tracing.otlp",
        "tracing.replay",
        "tracing.sql",
        "tracing.testing",
    }
)
"""The modules of `tracing` that applications import."""

COMMAND_LINE: Final = frozenset({"tracing.cli.groups", "tracing.cli.program"})
"""What every command line is made of: one style of errors, exit codes, versions and help."""

OUTSIDE: Final[Mapping[str, frozenset[str]]] = {
    "tracing": frozenset(),
    "dashboards": frozenset(
        {"tracing.core.semconv", "tracing.metrics.catalog", "tracing.metrics.metric"}
    )
    | COMMAND_LINE,
    "demo_pipeline": PUBLIC | COMMAND_LINE,
}
"""What a top-level package imports of the others."""

CLIENT_LIBRARIES: Final[Mapping[str, frozenset[str]]] = {
    "aiokafka": frozenset({"cli", "dlq", "dlq_web", "kafka", "lag", "replay", "testing"}),
    "click": frozenset({"__main__", "cli"}),
    "jinja2": frozenset({"dlq_web"}),
    "rich": frozenset({"__main__", "cli"}),
    "starlette": frozenset({"dlq_web"}),
    "uvicorn": frozenset({"dlq_web"}),
}
"""Which packages of `tracing` may import a library; the others stay free of it."""


@dataclass(frozen=True, slots=True)
class Import:
    """An import statement.

    Attributes:
        importer: The module that imports.
        imported: The module that is imported, or what an import takes from it.
        for_types: Whether only type checkers run it.
    """

    importer: str
    imported: str
    for_types: bool = False

    def __str__(self) -> str:
        suffix = " (type checking)" if self.for_types else ""
        return f"{self.importer} -> {self.imported}{suffix}"


@cache
def sources_of(top: str, root: Path = ROOT) -> dict[str, str]:
    """Read the modules of a top-level package: their text by dotted name."""
    return {_name(file.relative_to(root)): file.read_text() for file in (root / top).rglob("*.py")}


def imports_in(sources: Mapping[str, str]) -> list[Import]:
    """Return every import in these modules, wherever it stands.

    An import of a module through its package (`from tracing.core import semconv`) counts as an
    import of the module.
    """
    return [each for name, text in sources.items() for each in _imports(name, text, sources)]


def room_of(module: str) -> str:
    """Return the package, or the module beside the packages, that a module belongs to."""
    _top, _, rest = module.partition(".")
    return rest.partition(".")[0]


def upward(imports: list[Import], floors: tuple[tuple[str, ...], ...]) -> list[str]:
    """Return the imports that do not go down.

    A package's own `__init__` at the top may import everything, and nothing below may import it.
    """
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    above_all = len(floors)
    return [
        str(each)
        for each in imports
        if each.importer.partition(".")[0] == each.imported.partition(".")[0]
        if (importer := room_of(each.importer))
        if importer != (imported := room_of(each.imported))
        if floor.get(imported, above_all) >= floor.get(importer, 0)
    ]


def unlisted(modules: Mapping[str, str], floors: tuple[tuple[str, ...], ...]) -> list[str]:
    """Return the modules that stand on no floor."""
    listed = {room for rooms in floors for room in rooms}
    return [name for name in modules if "." in name and room_of(name) not in listed]


def circles(imports: list[Import], modules: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the groups of modules that import each other, directly or through others."""
    targets: dict[str, set[str]] = {name: set() for name in modules}
    for each in imports:
        if each.imported in targets and each.imported != each.importer:
            targets[each.importer].add(each.imported)
    reach = {name: _reachable(name, targets) for name in modules}
    return sorted(
        {
            tuple(sorted(other for other in reach[name] if name in reach[other]))
            for name in modules
            if name in reach[name]
        }
    )


def _reachable(start: str, targets: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(targets[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(targets[name])
    return seen


def _imports(name: str, text: str, modules: Mapping[str, str]) -> Iterator[Import]:
    tree = ast.parse(text)
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            imported = [
                f"{package}.{alias.name}" if f"{package}.{alias.name}" in modules else package
                for alias in node.names
            ]
        else:
            continue
        for each in dict.fromkeys(imported):
            yield Import(name, each, id(node) in for_types)


def _name(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
