"""What the public modules export: sorted, complete and documented."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tracing
from tests.project.floors import PUBLIC

ROOT = Path(__file__).parents[2]

MODULES = sorted(PUBLIC)
# They define what they export. The others are packages, which import it.
DEFINING = [name for name in MODULES if not hasattr(importlib.import_module(name), "__path__")]
PACKAGES = [name for name in MODULES if name not in DEFINING]


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_without_duplicates(name: str) -> None:
    exported = importlib.import_module(name).__all__

    assert sorted(set(exported)) == list(exported)


def test_the_reference_describes_the_public_modules() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text()

    assert MODULES == sorted(re.findall(r"^::: (\S+)$", page, re.MULTILINE))


@pytest.mark.parametrize("name", DEFINING)
def test_all_lists_exactly_the_public_names_that_the_module_defines(name: str) -> None:
    module = importlib.import_module(name)
    defined = {
        own
        for own, value in vars(module).items()
        if getattr(value, "__module__", None) == name and not own.startswith("_")
    }

    assert defined == set(module.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_all_lists_exactly_the_names_that_the_package_exports(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tracing.")
        for alias in node.names
    }

    assert imported - {"missing_extra"} == set(module.__all__)


def test_every_name_that_is_loaded_late_is_that_of_the_module_that_type_checkers_read() -> None:
    tree = ast.parse(Path(tracing.__file__).read_text())
    for_checkers = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert for_checkers.keys() == set(tracing.__all__)
    assert all(
        getattr(importlib.import_module(str(module)), name) is getattr(tracing, name)
        for name, module in for_checkers.items()
    )
    with pytest.raises(AttributeError, match="has no attribute 'Telemetri'"):
        tracing.Telemetri  # type: ignore[attr-defined]  # noqa: B018 - the test's subject


def test_importing_the_library_alone_loads_almost_nothing() -> None:
    program = (
        "import sys, tracing; print(sorted(m for m in sys.modules if m.startswith('tracing.'))); "
        "print(dir(tracing) > ['Aggregator'], tracing.Retry.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ["[]", "True Retry"] == done.stdout.splitlines()


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    objects = {exported: getattr(module, exported) for exported in module.__all__}
    undocumented = {
        exported
        for exported, value in objects.items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)
    }

    assert set() == undocumented


@pytest.mark.parametrize("name", PACKAGES)
def test_no_exported_name_equals_the_name_of_a_submodule(name: str) -> None:
    module = importlib.import_module(name)
    submodules = {submodule.name for submodule in pkgutil.iter_modules(module.__path__)}

    assert set() == submodules & set(module.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_no_exported_function_hides_the_module_that_defines_it(name: str) -> None:
    module = importlib.import_module(name)
    hidden = set()
    for exported in module.__all__:
        function = getattr(module, exported)
        if inspect.isfunction(function):
            package, _, own_name = function.__module__.rpartition(".")
            if package in PUBLIC and own_name == function.__name__:
                hidden.add(function.__module__)

    assert set() == hidden
