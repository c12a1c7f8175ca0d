"""The keys of a context, and where the current one is kept. The API publishes neither.

A probe finds the keys. With them, a context is built at once; the API copies it for every entry.
"""

from contextvars import ContextVar
from typing import Final

from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))
BAGGAGE_KEY: Final = next(iter(baggage.set_baggage("name", "value", Context())))

FLOW_KEY: Final = "pipeline-tracing-flow"
"""The key of the flow that this library put into the context, or took from a record."""
PROCESSING_KEY: Final = "pipeline-tracing-processing"
"""The key of the handling that the running task is in."""
RECORD_KEY: Final = "pipeline-tracing-record"
"""The key of the record that the running task handles.

Its handling lets go of it at the end: as a span, it may wait in an exporter's queue. A task that
the handler started may go on longer, and knows the record by its context.
"""
SUPPRESSED: Final = "suppress_instrumentation"
"""The key by which OpenTelemetry asks instrumentation to do nothing."""


def without_record(context: Context) -> Context:
    """Return a context for what outlives the handling, such as a log record in a queue.

    The record's value may be large, and is nothing that telemetry reads.
    """
    return Context(
        {key: kept for key, kept in context.items() if key not in {RECORD_KEY, PROCESSING_KEY}}
    )


def context_variable() -> ContextVar[Context] | None:
    """Return the variable that holds the current context.

    Reading and setting it is what `get_current`, `attach` and `detach` do, through three calls.

    Returns:
        `None` where the application configured a context of its own, with `OTEL_PYTHON_CONTEXT`,
        or where this version of the API keeps it elsewhere.
    """
    runtime = getattr(context_api, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    if type(runtime) is not ContextVarsRuntimeContext or not isinstance(variable, ContextVar):
        return None
    probe = Context()
    token = context_api.attach(probe)
    try:
        return variable if variable.get() is probe else None
    finally:
        context_api.detach(token)
