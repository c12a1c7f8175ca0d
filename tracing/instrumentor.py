"""Zero-code instrumentation: `opentelemetry-instrument` finds this by its entry point.

It replaces methods of aiokafka's classes, which the rest of the library never does, because that
is what the instrumentor interface is for. Every client then behaves as if it were wrapped.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation import instrumentor as base

from tracing.coexistence import OFFICIAL, official
from tracing.diagnostics import warn_once
from tracing.kafka.zero_code import ZeroCode
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Collection

PIPELINE_VARIABLE: Final = "PIPELINE_TRACING_PIPELINE"


class PipelineTracingInstrumentor(base.BaseInstrumentor):  # type: ignore[name-defined,misc]  # untyped
    """Makes every aiokafka producer and consumer of the process a traced one.

    `async for` over a consumer gives process spans. After `getone` and `getmany` nobody can tell
    when a record's handling ends: wrap the consumer and use `process(record)` there.

    The pipeline is named by `PIPELINE_TRACING_PIPELINE`, else it is the service's name. The
    official aiokafka instrumentation is switched off, since both would report the same.
    """

    _zero_code: ZeroCode | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Tell what must be installed for this to make sense."""
        return ("aiokafka >= 0.12, < 1",)

    def _instrument(self, **options: Any) -> None:
        import aiokafka  # noqa: PLC0415 - the library itself does without

        pipeline = (
            options.pop("pipeline", None)
            or os.environ.get(PIPELINE_VARIABLE)
            or os.environ.get("OTEL_SERVICE_NAME")
            or "default"
        )
        options.pop("skip_dep_check", None)
        options.pop("raise_exception_on_conflict", None)
        telemetry = Telemetry(pipeline, **options)
        _switch_official_off()
        # Instrumentors load in any order: the official one may come after this one.
        self._zero_code = ZeroCode(telemetry, at_construction=_switch_official_off)
        self._zero_code.install(aiokafka.AIOKafkaProducer, aiokafka.AIOKafkaConsumer)

    def _uninstrument(self, **_options: Any) -> None:
        zero_code, self._zero_code = self._zero_code, None
        if zero_code is not None:
            zero_code.remove()


def _switch_official_off() -> None:
    """Undo the official instrumentation; its layer is on top where it came after this one."""
    if OFFICIAL not in sys.modules:
        return
    instrumentor = importlib.import_module(OFFICIAL).AIOKafkaInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        return
    if not _on_top():
        # It removes whatever is on top, which would be somebody else's.
        warn_once(
            "both pipeline-tracing and opentelemetry-instrumentation-aiokafka instrument aiokafka, "
            "and a third library has replaced methods in between; everything is reported twice. To "
            "keep the second one out: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=aiokafka"
        )
        return
    warn_once(
        "both pipeline-tracing and opentelemetry-instrumentation-aiokafka instrument aiokafka; "
        "the latter is switched off, so that nothing is counted twice. To keep it out: "
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=aiokafka"
    )
    instrumentor.uninstrument()


def _on_top() -> bool:
    import aiokafka  # noqa: PLC0415 - the library itself does without

    methods = (
        aiokafka.AIOKafkaProducer.send,
        aiokafka.AIOKafkaConsumer.getone,
        aiokafka.AIOKafkaConsumer.getmany,
    )
    return all(map(official, methods))
