"""All versions agree, and the pins name no package index."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import tracing
from tracing.core import semconv

ROOT = Path(__file__).parents[2]


def test_the_version_of_the_library_is_that_of_its_spans_and_of_the_changelog() -> None:
    assert tracing.__version__ == semconv.SCOPE_VERSION
    newest = re.search(r"^## \[?([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert tracing.__version__ == newest[1]


@pytest.mark.parametrize("package", ["dashboards", "demo_pipeline"])
def test_the_other_distributions_require_the_library_of_the_same_version(package: str) -> None:
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]

    (library,) = (each for each in project["dependencies"] if each.startswith("pipeline-tracing"))
    assert f"=={tracing.__version__}" == re.sub(r"^pipeline-tracing(\[[a-z,]+\])?", "", library)


def test_requirements_are_pinned_and_name_no_host() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()

    assert [] == [line for line in lines if "==" not in line or "://" in line]


def test_the_oldest_sdk_that_is_allowed_is_the_one_that_the_tests_run_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    oldest = {
        name: bound
        for requirement in project["optional-dependencies"]["otlp"]
        for name, bound in re.findall(r"^([a-z-]+)>=([0-9.]+),", requirement)
    }

    assert {name: version(name) for name in oldest} == oldest
    assert "opentelemetry-sdk" in oldest
