"""Commands that the programs print: every name in them is quoted for a shell."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("tracing", "dashboards", "demo_pipeline")
    for path in (ROOT / folder).rglob("*.py")
)
COMMAND = "python -m "
# They quote the values themselves.
QUOTING = {"quote", "_same_options", "join"}


def _called(node: ast.expr) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _in_command(text: str) -> bool:
    """Return whether what follows the text belongs to a command."""
    _, command, after = text.rpartition(COMMAND)
    return bool(command) and not re.search("[`\n]", after)


def _raw(part: ast.FormattedValue) -> bool:
    whole_number = part.format_spec is not None and "f'd'" == ast.unparse(part.format_spec)
    return not whole_number and _called(part.value) not in QUOTING


def _unquoted(source: str) -> list[str]:
    """Return the values after the name of a command that a shell would read as they are."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            text = ""
            for part in node.values:
                if isinstance(part, ast.Constant):
                    text += str(part.value)
                elif isinstance(part, ast.FormattedValue) and _in_command(text) and _raw(part):
                    found.append(ast.unparse(part.value))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            before, command, after = str(node.args[0].value).partition(COMMAND)
            if command and (count := after.count("%s")):
                values = node.args[1 + before.count("%s") :][:count]
                found += [ast.unparse(each) for each in values if _called(each) not in QUOTING]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_value_in_a_command_is_quoted(path: Path) -> None:
    assert [] == _unquoted(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        'f"run python -m tracing dlq list --group {group}"',
        'f"run " f"python -m tracing dlq list --group {group}"',
        'log("%s: python -m tracing dlq list --group %s", quote(name), group)',
    ],
)
def test_an_unquoted_value_is_noticed(source: str) -> None:
    assert ["group"] == _unquoted(source)
