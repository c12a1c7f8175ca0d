"""What the running task handles, for handlers and for log lines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import get_current, get_value

from tracing.core.otel_context import PROCESSING_KEY
from tracing.core.text import MAX_PRINTABLE, printable
from tracing.headers import cloudevents
from tracing.headers.codec import latest, text
from tracing.messaging.flat.processing import processing_in, record_in
from tracing.messaging.process_batch import BatchProcessing

if TYPE_CHECKING:
    from tracing.messaging.process import Processing


def current_processing() -> Processing | None:
    """Return the handling of one record that the running task is in; `None` outside of any.

    A handler can reject the record through it, or read its `event`.
    """
    return processing_in(get_current())


def current_batch() -> BatchProcessing | None:
    """Return the handling of several records that the running task is in; `None` outside of any."""
    handling = get_value(PROCESSING_KEY)
    return handling if isinstance(handling, BatchProcessing) else None


class EventLogFilter(logging.Filter):
    """Adds `trace_id`, `span_id` and `event_id` to every log record; empty where there is none.

    The ids are as OpenTelemetry writes them, 32 and 16 hexadecimal digits. The event id is the
    `ce_id` of the record that the running task handles. Its sender chooses it: characters that
    could break or forge a line are escaped, and a text of more than 256 characters is cut.

    The filter lets every record pass, never raises, and can be used from any thread. Add it to a
    handler, so that it sees the records of all loggers::

        handler.addFilter(tracing.EventLogFilter())
        handler.setFormatter(logging.Formatter("%(message)s trace=%(trace_id)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids and let the record pass."""
        context = trace.get_current_span().get_span_context()
        handled = record_in(get_current())
        record.trace_id = trace.format_trace_id(context.trace_id) if context.is_valid else ""
        record.span_id = trace.format_span_id(context.span_id) if context.is_valid else ""
        try:
            headers = {} if handled is None else latest(handled.headers)
            event_id = text(headers.get(cloudevents.ID), cloudevents.MAX_VALUE) or ""
            record.event_id = printable(event_id, MAX_PRINTABLE)
        except Exception:
            # A logging filter that raises would stop the application's own line.
            record.event_id = ""
        return True
