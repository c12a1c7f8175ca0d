from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from demo_pipeline.app.logs import LogLevels, console_logs
from demo_pipeline.app.span_logs import SpanLogs

LOGGER = logging.getLogger("demo_pipeline.payment")


def test_lines_are_kept_with_their_span_and_the_console_stays_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    logs = SpanLogs()

    with console_logs(LogLevels()), logs.kept():
        LOGGER.info("before")
        with tracer.start_as_current_span("process") as span:
            LOGGER.info("order %s is done", "a")
            LOGGER.debug("not this one")
            LOGGER.warning("card store is down")
    LOGGER.warning("after")

    context = span.get_span_context()
    ((ids, lines),) = logs.lines.items()
    assert (context.trace_id, context.span_id) == ids
    shown = [(line.level, line.text) for line in lines]
    assert [("INFO", "order a is done"), ("WARNING", "card store is down")] == shown
    printed = capsys.readouterr().err
    assert "card store is down" in printed
    assert "order a is done" not in printed


def test_lines_of_a_trace_that_is_not_kept_are_not_kept() -> None:
    tracer = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
    logs = SpanLogs()

    with logs.kept(), tracer.start_as_current_span("process"):
        LOGGER.info("order a is done")

    assert {} == logs.lines
