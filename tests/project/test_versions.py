"""All versions agree, and the pins name no package index."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from tracing.core import semconv

ROOT = Path(__file__).parents[2]


def test_the_instrumentation_scope_has_the_version_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert semconv.SCOPE_VERSION == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


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
