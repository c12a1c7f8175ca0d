"""The official aiokafka instrumentation: switched off wherever it turns up beside ours."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

from tracing.kafka.coexistence import OFFICIAL, official
from tracing.metrics.diagnostics import warn_once

_HINT: Final = "To keep it out: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=aiokafka"


class OfficialInstrumentation:
    """Switches the official instrumentation off, since both would report the same.

    Instrumentors load in any order, and a program may call one at any time: so ask often.

    Args:
        producer: aiokafka's class of producers.
        consumer: aiokafka's class of consumers.
    """

    def __init__(self, producer: type[Any], consumer: type[Any]) -> None:
        self._producer = producer
        self._consumer = consumer
        self._instrumentor: Any = None

    def switch_off(self) -> None:
        """Undo it where it is active. Never raises."""
        try:
            if self._instrumentor is None:
                if OFFICIAL not in sys.modules:
                    return
                self._instrumentor = importlib.import_module(OFFICIAL).AIOKafkaInstrumentor()
            if self._instrumentor.is_instrumented_by_opentelemetry:
                self._undo()
        except Exception as fault:
            warn_once("aiokafka may be instrumented twice", error=fault)

    def _undo(self) -> None:
        methods = self._producer.send, self._consumer.getone, self._consumer.getmany
        if not all(map(official, methods)):
            # It takes off whatever is on top, which would be somebody else's.
            warn_once(
                "both pipeline-tracing and opentelemetry-instrumentation-aiokafka instrument "
                "aiokafka, and a third library has replaced methods since; everything is reported "
                f"twice. {_HINT}"
            )
            return
        warn_once(
            "both pipeline-tracing and opentelemetry-instrumentation-aiokafka instrument aiokafka; "
            f"the latter is switched off, so that nothing is counted twice. {_HINT}"
        )
        self._instrumentor.uninstrument()
