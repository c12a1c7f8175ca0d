"""Zero-code instrumentation: `opentelemetry-instrument` finds this by its entry point.

It replaces methods of aiokafka's classes, as the instrumentor interface intends; the rest of the
library never does. Every client then behaves as if it were wrapped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace
from opentelemetry.instrumentation import instrumentor as base

from tracing.core.environment import service_name, switched_on
from tracing.core.log import warn_once
from tracing.kafka.zero_code import ZeroCode
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Collection

PIPELINE_VARIABLE: Final = "PIPELINE_TRACING_PIPELINE"
"""Names the pipeline; without it, it is the service's name."""
POLL_LOOPS_VARIABLE: Final = "PIPELINE_TRACING_POLL_LOOPS"
"""`off` leaves what `getone` and `getmany` return without process spans."""

_API: Final = ("opentelemetry.trace", "opentelemetry.metrics")


class PipelineTracingInstrumentor(base.BaseInstrumentor):  # type: ignore[name-defined,misc]  # untyped
    """Makes every aiokafka producer and consumer of the process a traced one.

    `async for` over a consumer gives process spans. Consecutive calls of `getone` in one task
    count as a loop too: a record is handled until the task's next call of `getone` or `getmany`,
    its commit, the consumer's `stop`, or the task's end. What `getmany` returns is handled as one
    batch, until all of it is committed: one span has links to the records, and messages sent
    meanwhile carry the oldest record's origin.

    An exception that the program catches is invisible, unless the consumer commits or stops while
    it is being handled, as in a `finally` block. A task that only receives a record for another
    task, as with Python 3.11's `asyncio.wait_for`, does not handle it, and there is no outcome:
    `asyncio.timeout` stays in the task. For programs that handle records in other tasks,
    `PIPELINE_TRACING_POLL_LOOPS=off`, or `instrument(poll_loops=False)`, switches this off.

    `instrument(pipeline=...)` names the pipeline, else `PIPELINE_TRACING_PIPELINE`, else the
    service's name: `OTEL_SERVICE_NAME`, else `service.name` in `OTEL_RESOURCE_ATTRIBUTES`, else
    `default`. Further options are those of `Telemetry`.

    The official aiokafka instrumentation is switched off, as it would report everything again.
    Without an SDK at the first message, one warning says so.
    """

    _zero_code: ZeroCode | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("aiokafka >= 0.12, < 1",)

    def _instrument(self, **options: Any) -> None:
        import aiokafka  # noqa: PLC0415 - the library itself does without

        pipeline = options.pop("pipeline", None)
        poll_loops = options.pop("poll_loops", None)
        options.pop("skip_dep_check", None)
        options.pop("raise_exception_on_conflict", None)
        telemetry = Telemetry(pipeline, **options) if pipeline else _named(options)
        self._zero_code = ZeroCode(
            telemetry,
            # Not earlier: many programs set an SDK up after their imports.
            at_first_use=_check_sdk if options.get("tracer_provider") is None else None,
            poll_loops=switched_on(POLL_LOOPS_VARIABLE) if poll_loops is None else poll_loops,
        )
        self._zero_code.install(aiokafka.AIOKafkaProducer, aiokafka.AIOKafkaConsumer)

    def _uninstrument(self, **_options: Any) -> None:
        zero_code, self._zero_code = self._zero_code, None
        if zero_code is not None:
            zero_code.remove()


def _named(options: dict[str, Any]) -> Telemetry:
    """Make the telemetry, of the pipeline that the environment names."""
    name = os.environ.get(PIPELINE_VARIABLE) or service_name()
    if name is not None:
        try:
            return Telemetry(name, **options)
        except ValueError as error:
            # An error here would stop all other instrumentation too.
            warn_once(
                f"the environment's {PIPELINE_VARIABLE}, or else its service name, names no "
                f"pipeline ({error}); the pipeline is called 'default'"
            )
    return Telemetry("default", **options)


def _check_sdk() -> None:
    providers = (trace.get_tracer_provider(), metrics.get_meter_provider())
    if all(type(provider).__module__.startswith(_API) for provider in providers):
        warn_once(
            "aiokafka is instrumented by pipeline-tracing, but no OpenTelemetry SDK is set up, so "
            "nothing is exported. Set one up before the first message, or let "
            "opentelemetry-instrument do it: pip install 'pipeline-tracing[zero-code]' and start "
            "the program by OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf opentelemetry-instrument "
            "python ..."
        )
