"""Zero-code instrumentation: `opentelemetry-instrument` finds this by its entry point.

It replaces methods of aiokafka's classes, which the rest of the library never does, because that
is what the instrumentor interface is for. Every client then behaves as if it were wrapped.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import wrapt
from opentelemetry.instrumentation import instrumentor as base
from opentelemetry.instrumentation.utils import unwrap

from tracing.coexistence import OFFICIAL
from tracing.consumer import TracedConsumer
from tracing.diagnostics import warn_once
from tracing.producer import TracedProducer
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

PIPELINE_VARIABLE: Final = "PIPELINE_TRACING_PIPELINE"

_TRACED: Final = "_pipeline_tracing"
_PRODUCER_METHODS: Final = ("send", "create_batch", "send_batch")
_CONSUMER_METHODS: Final = ("getone", "getmany", "__aiter__", "commit", "stop")


class PipelineTracingInstrumentor(base.BaseInstrumentor):  # type: ignore[name-defined,misc]  # untyped
    """Makes every aiokafka producer and consumer of the process a traced one.

    `async for` over a consumer gives process spans. After `getone` and `getmany` nobody can tell
    when a record's handling ends: wrap the consumer and use `process(record)` there.

    The pipeline is named by `PIPELINE_TRACING_PIPELINE`, else it is the service's name. The
    official aiokafka instrumentation is switched off, since both would report the same.
    """

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
        for client in (aiokafka.AIOKafkaProducer, aiokafka.AIOKafkaConsumer):
            wrapt.wrap_function_wrapper(client, "__init__", _at_construction)
        for method in _PRODUCER_METHODS:
            wrapt.wrap_function_wrapper(
                aiokafka.AIOKafkaProducer, method, _replacement(TracedProducer, telemetry, method)
            )
        for method in _CONSUMER_METHODS:
            wrapt.wrap_function_wrapper(
                aiokafka.AIOKafkaConsumer, method, _replacement(TracedConsumer, telemetry, method)
            )

    def _uninstrument(self, **_options: Any) -> None:
        import aiokafka  # noqa: PLC0415 - the library itself does without

        for client in (aiokafka.AIOKafkaProducer, aiokafka.AIOKafkaConsumer):
            unwrap(client, "__init__")
        for method in _PRODUCER_METHODS:
            unwrap(aiokafka.AIOKafkaProducer, method)
        for method in _CONSUMER_METHODS:
            unwrap(aiokafka.AIOKafkaConsumer, method)


def _at_construction(
    original: Callable[..., Any], _client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    # Instrumentors load in any order: the official one may have come after this one.
    _switch_official_off()
    original(*args, **kwargs)


def _replacement(
    wrapper: type[TracedProducer | TracedConsumer], telemetry: Telemetry, method: str
) -> Callable[..., Any]:
    def replacement(
        original: Callable[..., Any],
        client: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        traced = client.__dict__.get(_TRACED)
        if traced is None:
            try:
                # On the client itself, so that it goes when the client goes.
                traced = client.__dict__[_TRACED] = wrapper(client, telemetry)
            except Exception as fault:
                warn_once("a client cannot be instrumented and works untraced", error=fault)
                return original(*args, **kwargs)
        return getattr(traced, method)(*args, **kwargs)

    return replacement


def _switch_official_off() -> None:
    """Undo the official instrumentation; its layer is on top where it came after this one."""
    if OFFICIAL not in sys.modules:
        return
    official = importlib.import_module(OFFICIAL).AIOKafkaInstrumentor()
    if official.is_instrumented_by_opentelemetry:
        warn_once(
            "both pipeline-tracing and opentelemetry-instrumentation-aiokafka instrument aiokafka; "
            "the latter is switched off, so that nothing is counted twice. To keep it out: "
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=aiokafka"
        )
        official.uninstrument()
