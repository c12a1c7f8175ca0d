"""What the public modules export: sorted, complete and documented."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

PUBLIC = ["tracing", "tracing.lag", "tracing.sql", "tracing.testing"]


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted_and_without_doubles(name: str) -> None:
    exported = importlib.import_module(name).__all__

    assert sorted(set(exported)) == list(exported)


@pytest.mark.parametrize("name", PUBLIC)
def test_all_names_exactly_what_the_module_imports_for_others(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert imported - {"annotations"} == set(module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    objects = {exported: getattr(module, exported) for exported in module.__all__}
    undocumented = {
        exported
        for exported, found in objects.items()
        if (inspect.isclass(found) or inspect.isfunction(found)) and not inspect.getdoc(found)
    }

    assert set() == undocumented
