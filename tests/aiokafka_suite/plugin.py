"""A pytest plugin with aiokafka's fixtures on a running Kafka, and with the form of the clients.

It replaces aiokafka's own `conftest.py`, which starts Kafka in a container.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiokafka
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.kafka.instrumentor import PipelineTracingInstrumentor

_DETAIL: Final = 3000


class _Counting(SpanProcessor):
    def __init__(self) -> None:
        self.ended = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.ended += 1


class _Wrapping:
    """Replaces a client's class in a test module, and wraps the clients that it makes."""

    def __init__(self, client: Any, wrapper: Any, telemetry: Telemetry) -> None:
        self._client = client
        self._wrapper = wrapper
        self._telemetry = telemetry

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._wrapper(self._client(*args, **kwargs), self._telemetry)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._client)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Suite:
    """Instruments the clients as one form, and writes each test's outcome to the journal."""

    def __init__(self, form: str, journal: Path) -> None:
        self._form = form
        self._journal = journal
        self._counting = _Counting()
        self._ended: dict[str, tuple[str, str]] = {}
        tracers = TracerProvider()
        tracers.add_span_processor(self._counting)
        self._providers = {"tracer_provider": tracers, "meter_provider": MeterProvider()}
        if form == "zero-code":
            PipelineTracingInstrumentor().instrument(pipeline="suite", **self._providers)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._write(collected=[_name(item.nodeid) for item in session.items])
        if self._form != "wrapped":
            return
        telemetry = Telemetry("suite", **self._providers)  # type: ignore[arg-type]  # one of each
        replaced = {
            "AIOKafkaProducer": (aiokafka.AIOKafkaProducer, TracedProducer),
            "AIOKafkaConsumer": (aiokafka.AIOKafkaConsumer, TracedConsumer),
        }
        modules = {item.getparent(pytest.Module).obj for item in session.items}  # type: ignore[union-attr]  # each has one
        modules |= {module for name, module in sys.modules.items() if name.endswith("._testutil")}
        for module in modules:
            for name, (client, wrapper) in replaced.items():
                if getattr(module, name, None) is client:
                    setattr(module, name, _Wrapping(client, wrapper, telemetry))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = _name(report.nodeid)
        outcome = str(report.outcome)
        if report.failed and report.when != "call":
            outcome = "error"
        before, _ = self._ended.get(name, ("passed", ""))
        if before == "passed" and (outcome != "passed" or report.when == "teardown"):
            # A failed test keeps its outcome; a passed test can still fail in teardown.
            self._ended[name] = (outcome, "" if outcome == "passed" else report.longreprtext)
        if report.when == "teardown":
            outcome, detail = self._ended[name]
            self._write(
                test=name, outcome=outcome, detail=detail[-_DETAIL:], spans=self._counting.ended
            )

    def _write(self, **entry: object) -> None:
        with self._journal.open("a") as journal:
            journal.write(json.dumps(entry) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kafka", help="Bootstrap server, host:port.")
    parser.addoption("--kafka-version", help="Version of Kafka.")
    parser.addoption("--form", help="Form of the clients.")
    parser.addoption("--journal", type=Path, help="File for outcomes.")


def pytest_configure(config: pytest.Config) -> None:
    suite = Suite(config.getoption("--form"), config.getoption("--journal"))
    config.pluginmanager.register(suite, "aiokafka-suite")


@pytest.fixture(scope="class")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop in which a test class makes its clients."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    if not made.is_closed():
        # Let pending callbacks run.
        made.run_until_complete(asyncio.sleep(0))
        made.close()
    gc.collect()
    asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def collected_garbage() -> Iterator[None]:
    """Report unclosed clients in the test that left them."""
    yield
    gc.collect()


@pytest.fixture(scope="class")
def setup_test_class_serverless(
    request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop
) -> None:
    """Give a test class its loop."""
    _give(request, loop=loop)


@pytest.fixture(scope="class")
def setup_test_class(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> None:
    """Give a test class its loop and its Kafka."""
    host, _, port = request.config.getoption("--kafka").rpartition(":")
    _give(
        request,
        loop=loop,
        kafka_host=host,
        kafka_port=int(port),
        hosts=[f"{host}:{port}"],
        kafka_version=request.config.getoption("--kafka-version"),
    )


def _give(request: pytest.FixtureRequest, **attributes: object) -> None:
    for name, value in attributes.items():
        setattr(request.cls, name, value)


def _name(nodeid: str) -> str:
    return nodeid.rpartition("/")[2]
