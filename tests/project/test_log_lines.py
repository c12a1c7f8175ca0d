"""The library logs only through its event log, which escapes foreign text and never raises."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The event log itself, and the command line, which only sets the level of aiokafka's logger.
ALLOWED = {"core/log.py", "cli/main.py"}


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
