"""aiokafka's own clients, traced without being wrapped."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from demo_pipeline.broker import create_topics
from tracing.kafka.instrumentor import PipelineTracingInstrumentor
from tracing.testing import Capture

REPLACED = [
    (owner, name)
    for owner, names in (
        (AIOKafkaProducer, ("__init__", "start", "send", "send_batch", "create_batch")),
        (AIOKafkaConsumer, ("__init__", "getone", "getmany", "commit", "stop", "__aiter__")),
    )
    for name in names
]


class ZeroCodeRun:
    """Switches zero-code instrumentation on and off, with providers of the test."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self._instrumentor = PipelineTracingInstrumentor()

    def on(self, **options: Any) -> None:
        self._instrumentor.instrument(
            pipeline="orders",
            tracer_provider=self.capture.tracer_provider,
            meter_provider=self.capture.meter_provider,
            logger_provider=self.capture.logger_provider,
            **options,
        )

    def off(self) -> None:
        if self._instrumentor.is_instrumented_by_opentelemetry:
            self._instrumentor.uninstrument()


@pytest.fixture
def zero_code(capture: Capture) -> Iterator[ZeroCodeRun]:
    """Zero-code instrumentation, off; what was done to aiokafka's classes is undone afterwards."""
    found = [(owner, name, inspect.getattr_static(owner, name)) for owner, name in REPLACED]
    run = ZeroCodeRun(capture)
    yield run
    run.off()
    for owner, name, method in found:
        setattr(owner, name, method)


@pytest.fixture
async def topic(embedded_servers: str) -> str:
    name = f"zero-code-{uuid4().hex[:8]}"
    await create_topics(embedded_servers, {name: 1})
    return name


def consumer_options(servers: str) -> dict[str, Any]:
    """Options for a consumer of a group of its own, which reads from the beginning."""
    return {
        "bootstrap_servers": servers,
        "group_id": f"group-{uuid4().hex[:8]}",
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "fetch_max_wait_ms": 10,
        "session_timeout_ms": 1000,
        "heartbeat_interval_ms": 150,
    }
