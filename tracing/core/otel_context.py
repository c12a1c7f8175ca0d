"""The keys of a context. The API does not publish them, so a probe finds them.

With the keys, a context is built at once. The API copies it for every entry.
"""

from typing import Final

from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))
BAGGAGE_KEY: Final = next(iter(baggage.set_baggage("name", "value", Context())))

FLOW_KEY: Final = "pipeline-tracing-flow"
"""The key of the flow that this library put into the context, or took from a record."""
PROCESSING_KEY: Final = "pipeline-tracing-processing"
"""The key of the handling that the running task is in."""
SUPPRESSED: Final = "suppress_instrumentation"
"""The key by which OpenTelemetry asks instrumentation to do nothing."""
