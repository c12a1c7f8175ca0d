"""Who may import whom, and what importing the library needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN = {
    "tracing": {"dashboards", "demo_pipeline"},
    "dashboards": {"demo_pipeline"},
    "demo_pipeline": {"dashboards"},
}


def imports_of(file: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", [name for name in FORBIDDEN if (ROOT / name).is_dir()])
def test_packages_import_in_the_designed_directions_only(package: str) -> None:
    offenders = {
        f"{file.relative_to(ROOT)}: {module}"
        for file in (ROOT / package).rglob("*.py")
        for module in imports_of(file)
        if module.split(".")[0] in FORBIDDEN[package]
    }

    assert set() == offenders


def test_the_demo_uses_public_names_of_tracing_alone() -> None:
    public = {"tracing", "tracing.otlp", "tracing.sql", "tracing.testing"}
    offenders = set()
    for file in (ROOT / "demo_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tracing"):
                if node.module not in public:
                    offenders.add(f"{file.relative_to(ROOT)}: {node.module}")
                offenders |= {
                    f"{file.relative_to(ROOT)}: {alias.name}"
                    for alias in node.names
                    if alias.name.startswith("_")
                }

    assert set() == offenders


def test_dashboards_know_the_catalogue_of_metrics_alone() -> None:
    found = {
        module
        for file in (ROOT / "dashboards").rglob("*.py")
        for module in imports_of(file)
        if module.split(".")[0] == "tracing"
    }

    assert {
        module
        for module in found
        if not module.startswith(("tracing.metrics.catalog", "tracing.metrics.metric"))
        or module.startswith("tracing.metrics.instruments")
    } == set()


def test_importing_tracing_needs_the_api_alone() -> None:
    program = (
        "import sys, tracing\n"
        "heavy = ('aiokafka', 'opentelemetry.sdk', 'opentelemetry.exporter', 'wrapt', 'click',\n"
        "         'rich', 'opentelemetry.instrumentation')\n"
        "print(sorted(name for name in sys.modules if name.startswith(heavy)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert "[]" == done.stdout.strip()
