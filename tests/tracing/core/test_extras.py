"""A part of the library whose packages are missing says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tracing.core.extras import missing_extra

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("part", "missing", "named", "extra"),
    [
        ("tracing.sql", "sqlalchemy", "sqlalchemy", "sql"),
        ("tracing.lag", "aiokafka", "aiokafka", "cli"),
        ("tracing.dlq", "aiokafka", "aiokafka", "cli"),
        ("tracing.testing", "opentelemetry.sdk", "OpenTelemetry SDK", "otlp"),
        ("tracing.otlp", "opentelemetry.sdk", "OpenTelemetry SDK", "otlp"),
    ],
)
def test_a_part_without_its_packages_names_what_installs_them(
    part: str, missing: str, named: str, extra: str
) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"try: import {part}\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith(f"{part} needs ")
    assert named in done.stdout
    assert done.stdout.endswith(f"pip install 'pipeline-tracing[{extra}]'\n")


def test_the_error_is_of_the_missing_module_and_one_of_our_own_stays_as_it_is() -> None:
    error = ModuleNotFoundError("No module named 'aiokafka.x'", name="aiokafka.x")
    own = ModuleNotFoundError("No module named 'tracing.x'", name="tracing.x")

    assert "aiokafka.x" == missing_extra("tracing.lag", "cli", error).name
    assert own is missing_extra("tracing.lag", "cli", own)
