"""Test doubles for traced services: in-memory clients, captured telemetry, span trees as text.

Needs the OpenTelemetry SDK, for example from the extra `otlp`. aiokafka's own types are used where
it is installed.
"""

try:
    from tracing.testing.broker import InMemoryBroker
    from tracing.testing.capture import Capture
    from tracing.testing.consumer import InMemoryConsumer
    from tracing.testing.metric_values import HistogramValue
    from tracing.testing.producer import InMemoryProducer
    from tracing.testing.span_trees import assert_span_tree, span_tree
    from tracing.testing.waiting import eventually
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("opentelemetry."):
        raise
    raise ModuleNotFoundError(
        "tracing.testing needs the OpenTelemetry SDK: pip install 'pipeline-tracing[otlp]'",
        name=error.name,
    ) from error

__all__ = [
    "Capture",
    "HistogramValue",
    "InMemoryBroker",
    "InMemoryConsumer",
    "InMemoryProducer",
    "assert_span_tree",
    "eventually",
    "span_tree",
]
