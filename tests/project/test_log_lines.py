"""The library logs only through its event log, which escapes foreign text and never raises."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The event log itself, and the command line, which only sets the levels of loggers.
ALLOWED = {"core/log.py", "cli/attempts.py", "cli/lag.py"}


def loggers_of(file: Path) -> list[int]:
    """Return the lines in which a file uses a logger of the standard library."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "logging"
        and node.attr in {"getLogger", "debug", "info", "warning", "error", "exception"}
    ]


def test_every_line_of_the_library_goes_through_its_event_log() -> None:
    library = ROOT / "tracing"
    offenders = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in sorted(library.rglob("*.py"))
        if str(file.relative_to(library)) not in ALLOWED and "testing" not in file.parts
        for line in loggers_of(file)
    ]

    assert [] == offenders


def test_the_names_of_loggers_do_not_depend_on_where_a_module_lives() -> None:
    offenders = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for package in ("tracing", "demo_pipeline", "dashboards")
        for file in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in {"getLogger", "EventLog"}
        and "__name__" in map(ast.unparse, node.args)
    ]

    assert [] == offenders
