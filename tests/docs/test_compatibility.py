"""The table of versions says what `pyproject.toml` and the pins say."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

import pytest

from demo_pipeline.broker import kafka_jars
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [
    *PROJECT["dependencies"],
    *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
]


def _row(name: str) -> tuple[str, str]:
    """Return what a row says is required, and what the tests run with."""
    (row,) = re.findall(rf"^\| {re.escape(name)}[^|]* \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    required, tested = row
    return str(required), str(tested)


@pytest.mark.parametrize("name", ["opentelemetry-api", "opentelemetry-sdk", "SQLAlchemy"])
def test_a_package_has_the_bounds_of_the_project_and_the_version_of_the_tests(name: str) -> None:
    required, tested = _row(name)
    bounds = {
        re.sub(r"^[\w-]+(\[\w+\])?", "", each)
        for each in REQUIRED
        if re.match(rf"{name.lower()}[\[>]", each)
    }

    assert all(each in required for each in bounds)
    assert bounds
    assert version(name) == tested


def test_aiokafka_and_kafka_have_the_versions_of_the_tests() -> None:
    assert version("aiokafka") == _row("aiokafka")[1]
    assert kafka_jars.VERSION == _row("Apache Kafka")[1]
    assert PROJECT["requires-python"] == ">=" + _row("Python")[0].split()[0]
