"""Zero-code started as the guide shows, and the names that it uses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.tracing.export.test_otlp import Collector
from tracing.core.environment import service_name
from tracing.kafka.instrumentor import (
    PIPELINE_VARIABLE,
    POLL_LOOPS_VARIABLE,
    PipelineTracingInstrumentor,
)

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, sys
from aiokafka import AIOKafkaProducer
async def main():
    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1]) as producer:
        for _ in range(2):
            await producer.send_and_wait("started", b"v")
asyncio.run(main())
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def guide_line() -> str:
    """The command that the guide gives."""
    (line,) = re.findall(
        r"^.*opentelemetry-instrument python your_service.py$", GUIDE, re.MULTILINE
    )
    return str(line)


GUIDE = (ROOT / "docs" / "guides" / "zero-code.md").read_text()


def start(
    line: str, program: Path, servers: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line of the guide in the environment of these tests and of nothing else."""
    return subprocess.run(
        ["/bin/sh", "-c", line.replace("your_service.py", f"{program} {servers}")],
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.integration
def test_the_command_of_the_guide_exports_spans_and_metrics(
    embedded_servers: str, collector: Collector, program: Path
) -> None:
    done = start(guide_line(), program, embedded_servers, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)

    assert (0, "") == (done.returncode, done.stderr)
    spans, services = [], set()
    for body in collector.received["/v1/traces"]:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            services |= {
                attribute.value.string_value
                for attribute in resource.resource.attributes
                if attribute.key == "service.name"
            }
            spans += [span.name for scope in resource.scope_spans for span in scope.spans]
    assert ["send started"] * 2 == spans
    assert {"payment"} == services
    sent = [
        point.as_int
        for body in collector.received["/v1/metrics"]
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "messaging.client.sent.messages"
        for point in metric.sum.data_points
    ]
    assert [2] == sent


def test_the_extra_of_the_guide_installs_what_its_command_needs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]

    assert "pip install 'PATH/TO/CHECKOUT[zero-code]'" in GUIDE
    brought = " ".join([*extras["zero-code"], *extras["otlp"]])
    assert "pipeline-tracing[otlp]" in brought
    for needed in (
        "opentelemetry-distro",
        "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-sdk",
    ):
        assert needed in brought


@pytest.mark.integration
def test_one_warning_says_that_no_sdk_is_set_up(embedded_servers: str, program: Path) -> None:
    done = start(
        guide_line(),
        program,
        embedded_servers,
        OTEL_PYTHON_CONFIGURATOR="none-of-these",
        # Its handler would take the place of logging's last resort, and there is nothing behind it.
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="logging",
    )

    assert 0 == done.returncode
    assert 1 == done.stderr.count("no OpenTelemetry SDK is set up")


def test_the_service_name_is_that_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    assert None is service_name()

    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "a=b, broken ,service.name = pay%20ment ,c=d")
    assert "pay ment" == service_name()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "payment")
    assert "payment" == service_name()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=,x")
    assert None is service_name()


@pytest.mark.parametrize(
    ("variables", "option", "expected"),
    [
        ({}, None, "default"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=by-resource"}, None, "by-resource"),
        (
            {
                "OTEL_RESOURCE_ATTRIBUTES": "service.name=by-resource",
                "OTEL_SERVICE_NAME": "by-service",
            },
            None,
            "by-service",
        ),
        ({"OTEL_SERVICE_NAME": "by-service", PIPELINE_VARIABLE: "own"}, None, "own"),
        ({PIPELINE_VARIABLE: "own"}, "by-option", "by-option"),
        ({PIPELINE_VARIABLE: "x" * 129}, None, "default"),
        ({"OTEL_SERVICE_NAME": "two\nlines"}, None, "default"),
    ],
)
def test_the_pipeline_is_named_by_the_first_of_several(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], option: str | None, expected: str
) -> None:
    for name in ("OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME", PIPELINE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    named: list[str] = []

    class ZeroCode:
        def __init__(self, telemetry: Any, **_options: Any) -> None:
            named.append(telemetry.pipeline)

        def install(self, *_classes: Any) -> None: ...

        def remove(self) -> None: ...

    monkeypatch.setattr("tracing.kafka.instrumentor.ZeroCode", ZeroCode)
    instrumentor = PipelineTracingInstrumentor()
    instrumentor.instrument(**({} if option is None else {"pipeline": option}))
    instrumentor.uninstrument()

    assert [expected] == named


@pytest.mark.parametrize(
    ("written", "expected"),
    [("off", False), ("OFF ", False), ("0", False), ("on", True), ("?", True)],
)
def test_the_variable_for_poll_loops_accepts_only_known_values(
    monkeypatch: pytest.MonkeyPatch, written: str, expected: bool
) -> None:
    monkeypatch.setenv(POLL_LOOPS_VARIABLE, written)
    options: dict[str, Any] = {}

    class ZeroCode:
        def __init__(self, _telemetry: Any, **given: Any) -> None:
            options.update(given)

        def install(self, *_classes: Any) -> None: ...

        def remove(self) -> None: ...

    monkeypatch.setattr("tracing.kafka.instrumentor.ZeroCode", ZeroCode)
    instrumentor = PipelineTracingInstrumentor()
    instrumentor.instrument()
    instrumentor.uninstrument()

    assert expected is options["poll_loops"]
